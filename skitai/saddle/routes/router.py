"""Finds the view for a path: exact rules first, then those with the most literal text before a parameter.

Rules without parameters are in a dict, the others in a tree of segments. So a search among a thousand routes
takes as long as among ten.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from skitai.errors import SkitaiError
from skitai.http.fields import METHODS
from skitai.saddle.routes.rules import Rule, quote_path

__all__ = [
    "Match",
    "MethodNotAllowed",
    "NotFound",
    "Router",
    "RoutingError",
    "Rule",
    "SlashRedirect",
    "quote_path",
]

# The Allow field for a route that takes every method. It need not list them all.
_USUAL_METHODS = tuple(method for method in METHODS if method != "OPTIONS")
_ORDER = {method: place for place, method in enumerate(METHODS)}


class RoutingError(SkitaiError):
    """No route takes the request as it is."""


class NotFound(RoutingError):  # noqa: N818 - the name that people look for
    """No rule matches the path."""


class MethodNotAllowed(RoutingError):  # noqa: N818 - the name that people look for
    """The rules that match the path take other methods: ``allowed``, for the Allow field."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self.allowed = allowed
        super().__init__(f"allowed: {', '.join(allowed)}")


class SlashRedirect(RoutingError):  # noqa: N818 - the client is sent to another path, which is no error
    """A rule matches only with, or only without, a slash at the end: ``path``, percent-encoded.

    This is also raised if an exact rule matches with the slash, and a pattern without it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(path)


class Match(NamedTuple):
    """The route of a path: its endpoint, its rule and the path's parameters.

    For an OPTIONS request that no rule takes, endpoint and rule are None, and ``allowed`` is for Allow.
    """

    endpoint: Any
    rule: Rule | None
    arguments: dict[str, Any]
    allowed: tuple[str, ...] = ()


class Router:
    """All routes of an app. When all are added, it may be used in any thread."""

    def __init__(self) -> None:
        self._exact: dict[str, list[_Route]] = {}
        self._tree = _Node()
        self._added = 0

    def add(self, rule: Rule, endpoint: Any, prefix: str = "") -> None:
        """Add a route: paths that match ``rule`` below ``prefix``, such as "/admin", have ``endpoint``.

        Of rules that match equally well, one that lists its methods comes first, then the one added first.
        Raises ValueError for a prefix that does not start with a slash.
        """
        prefix = prefix.rstrip("/")
        if prefix and not prefix.startswith("/"):
            raise ValueError(f"prefix {prefix!r} must start with a slash")
        self._added += 1
        order = (*rule.specificity, rule.methods is None, self._added)
        route = _Route(order, rule, endpoint, len(prefix))
        if rule.names:
            self._tree.add(prefix, route)
        else:
            insort(self._exact.setdefault(prefix + rule.text, []), route)

    def match(self, path: str, method: str) -> Match:
        """Return the route of ``path``, the text of PATH_INFO after percent- and UTF-8 decoding.

        Raises NotFound, MethodNotAllowed or SlashRedirect. Called in any thread.
        """
        found = self._match(path, method)
        if isinstance(found, Match):
            if found.arguments and self._takes_exactly(f"{path}/", method):  # before any pattern
                raise _slash_redirect(f"{path}/")
            return found
        if found:
            raise MethodNotAllowed(_sorted(found))
        other = path[:-1] if path.endswith("/") else f"{path}/"
        found = self._match(other, method)
        if isinstance(found, Match):
            raise _slash_redirect(other)
        if found:
            raise MethodNotAllowed(_sorted(found))
        raise NotFound(path)

    def _takes_exactly(self, path: str, method: str) -> bool:
        return any(_takes(route.rule.methods, method) for route in self._exact.get(path, ()))

    def _match(self, path: str, method: str) -> Match | set[str]:
        """Return the match, or else the methods that the path takes."""
        allowed: set[str] = set()
        for route, arguments in self._candidates(path):
            methods = route.rule.methods
            if _takes(methods, method):
                return Match(route.endpoint, route.rule, arguments)
            if methods is None:
                allowed.update(_USUAL_METHODS)
            else:
                allowed.update(methods, ("HEAD",) if "GET" in methods else ())
        if allowed:
            allowed.add("OPTIONS")
            if method == "OPTIONS":
                return Match(None, None, {}, _sorted(allowed))
        return allowed

    def _candidates(self, path: str) -> Iterator[tuple[_Route, dict[str, Any]]]:
        for route in self._exact.get(path, ()):
            yield route, {}
        if path.startswith("/"):
            for route in self._tree.search(path[1:].split("/"), 0):
                arguments = route.rule.match(path[route.prefix_length :])
                if arguments is not None:
                    yield route, arguments


@dataclass(order=True, slots=True)
class _Route:
    order: tuple[Any, ...]
    rule: Rule = field(compare=False)
    endpoint: Any = field(compare=False)
    prefix_length: int = field(compare=False)


class _Node:
    """The segments that may follow at one point of a path.

    ``leads`` are the segments with parameters, by the literal text at their start.
    """

    __slots__ = ("ends", "leads", "lengths", "literals", "rests")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.leads: dict[str, _Node] = {}
        self.lengths: list[int] = []  # of the leads, the longest first
        self.ends: list[_Route] = []  # routes that end here
        self.rests: list[_Route] = []  # routes whose last parameter began here and takes all that is left

    def add(self, prefix: str, route: _Route) -> None:
        """Add a route below a mount point."""
        node = self
        for literal in prefix.split("/")[1:]:
            node = node.literals.setdefault(literal, _Node())
        for literal, kind in route.rule.segments:
            node = node.literals.setdefault(literal, _Node()) if kind is None else node._lead(literal)
            if kind == "path":
                insort(node.rests, route)
                return
        insort(node.ends, route)

    def _lead(self, literal: str) -> _Node:
        if literal not in self.leads:
            self.leads[literal] = _Node()
            self.lengths = sorted({len(lead) for lead in self.leads}, reverse=True)
        return self.leads[literal]

    def search(self, segments: list[str], place: int) -> Iterator[_Route]:
        """Yield the routes that may match, those with the longest literal text first."""
        if place == len(segments):
            yield from self.ends
            return
        segment = segments[place]
        literal = self.literals.get(segment)
        if literal is not None:
            yield from literal.search(segments, place + 1)
        for length in self.lengths:
            lead = self.leads.get(segment[:length])
            if lead is not None and len(segment) >= length:
                yield from lead.search(segments, place + 1)
                yield from lead.rests


def _takes(methods: frozenset[str] | None, method: str) -> bool:
    if methods is None:
        return method != "OPTIONS"
    return method in methods or (method == "HEAD" and "GET" in methods)


def _slash_redirect(path: str) -> RoutingError:
    try:
        return SlashRedirect(quote_path(path))
    except UnicodeEncodeError:
        return NotFound(path)


def _sorted(methods: set[str]) -> tuple[str, ...]:
    return tuple(sorted(methods, key=lambda method: (_ORDER.get(method, len(_ORDER)), method)))
