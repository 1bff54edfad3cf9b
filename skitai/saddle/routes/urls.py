"""URLs of an app's functions: ``was.ab("hello", "Hans Roh")``."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from skitai.saddle.part import Handler, MountedPart, Route
from skitai.saddle.routes.rules import quote_path
from skitai.saddle.routes.sockets import PARAMETER

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class BuildError(LookupError):
    """No view has this name."""


class URLBuilder:
    """Builds paths below the mount point for the views of the ``mounted`` parts, the app's own first."""

    def __init__(self, mounted: Iterable[MountedPart]) -> None:
        # By name and by id(), because two parts may have an ``index`` each. A route keeps its function alive.
        self._routes: dict[str | int, list[tuple[Route, str]]] = {}
        for place in mounted:
            for route in place.part.routes:
                for key in (route.name, id(route.view)):
                    self._routes.setdefault(key, []).append((route, place.prefix))

    def build(self, function: str | Handler, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> str:
        """Return the path, with a query for the arguments that are not in the rule.

        ``arguments`` are in the order of the view's parameters after ``was``. Of several rules, the first
        that takes them is used. Raises BuildError for an unknown view. Raises AssertionError for too many
        arguments, or one that is missing or given twice. Raises ValueError for one that cannot be in a path.
        """
        refused: ValueError | None = None
        missing: list[str] = []
        for route, prefix in self._routes_of(function):
            values = _values(route, arguments, named)
            lacking = [parameter for parameter in route.rule.names if parameter not in values]
            missing = missing or lacking
            if lacking:
                continue
            try:
                return quote_path(prefix) + _with_query(route, values)
            except ValueError as error:
                refused = refused or error
        if refused is not None:
            raise refused
        raise AssertionError(f"{_name_of(function)}: the path needs {', '.join(missing)}")

    def _routes_of(self, function: str | Handler) -> list[tuple[Route, str]]:
        """Return the routes of a view, or of its name; a wrapped view is found by its name."""
        key = function if isinstance(function, str) else id(function)
        routes = self._routes.get(key) or self._routes.get(_name_of(function))
        if not routes:
            raise BuildError(f"no route has a function named {_name_of(function)!r}")
        return routes


def _name_of(function: str | Handler) -> str:
    return function if isinstance(function, str) else str(getattr(function, "__name__", function))


def _values(route: Route, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments by name; parameters of the path may come from the view's defaults."""
    names, defaults = _parameters(route)
    if len(arguments) > len(names):
        raise AssertionError(f"{route.name} takes {len(names)} arguments, not {len(arguments)}")
    values = dict(zip(names, arguments, strict=False))
    if twice := values.keys() & named.keys():
        raise AssertionError(f"{route.name}: {', '.join(sorted(twice))} is given twice")
    return _Defaulted({**values, **named}, defaults)


class _Defaulted(dict[str, Any]):
    """Arguments, with defaults that are found but not listed."""

    def __init__(self, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        super().__init__(given)
        self._defaults = defaults

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self._defaults

    def __missing__(self, name: str) -> Any:
        return self._defaults[name]


@lru_cache(maxsize=4096)
def _parameters(route: Route) -> tuple[tuple[str, ...], dict[str, Any]]:
    parameters = list(inspect.signature(route.view).parameters.values())[1:]
    if route.websocket is not None:  # the server gives that one
        parameters = [parameter for parameter in parameters if parameter.name != PARAMETER]
    names = tuple(parameter.name for parameter in parameters if parameter.kind in _POSITIONAL)
    defaults = {
        parameter.name: parameter.default
        for parameter in parameters
        if parameter.default is not inspect.Parameter.empty
    }
    return names, defaults


def _with_query(route: Route, values: dict[str, Any]) -> str:
    path = route.rule.build(values)
    rest = [(name, value) for name, value in values.items() if name not in route.rule.names]
    return f"{path}?{urlencode(rest, doseq=True)}" if rest else path
