"""The arguments of a view: collected from path, query, form and body, and matched to its parameters."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import attrs

from skitai.errors import SkitaiError
from skitai.formats.jsontext import read_json
from skitai.saddle.incoming.forms import Form
from skitai.saddle.incoming.pairs import text_pairs

_INTEGER = re.compile(r"[-+]?[0-9]+", re.ASCII)
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})
_LONGEST_SHOWN = 60


class ArgumentError(SkitaiError):
    """The request's arguments do not fit the view: the client's mistake, answered with 400."""


def merge(
    path: Mapping[str, Any],
    query: str,
    form: Form | None,
    body: Mapping[str, Any] | None = None,
    *,
    strict: bool = False,
) -> dict[str, Any]:
    """Return all arguments of a request by name.

    ``path`` holds the parameters of the route, ``query`` is QUERY_STRING, and ``body`` holds the members of a
    JSON object. A name that comes more than once gets a list of its values, in the order query, form fields,
    files, body. Only a path parameter is never joined by others: nobody can turn ``/users/<int:id>`` into
    another user's.

    A name in the query or the form may carry a type, as in ``int:z=3``. The types are ``int``, ``float``,
    ``bit`` (a bool), ``json`` and ``list`` (separated by commas; several are joined). Bytes of the query that
    are not UTF-8 become U+FFFD; with ``strict``, they are refused. Raises ArgumentError.
    """
    merged: dict[str, Any] = dict(path)
    several: set[str] = set()
    for name, value, is_list in _values(query, form, body or {}, strict):
        if name in path:
            continue
        if name not in merged:
            merged[name] = value
            if is_list:
                several.add(name)
            continue
        if name not in several:
            merged[name] = [merged[name]]
            several.add(name)
        merged[name].extend(value if is_list else [value])
    return merged


def _values(
    query: str, form: Form | None, body: Mapping[str, Any], strict: bool
) -> Iterator[tuple[str, Any, bool]]:
    """Yield (name, value, whether the value is a list to be extended)."""
    for key, text in _query_pairs(query, strict):
        yield _typed(key, text)
    if form is not None:
        for key, text in form.fields:
            yield _typed(key, text)
        for key, file in form.files:
            yield key, file, False
    for key, value in body.items():
        yield key, value, False


def _query_pairs(query: str, strict: bool) -> list[tuple[str, str]]:
    if not query:
        return []
    try:
        # PEP 3333: the bytes of the environ, as latin-1.
        return text_pairs(query if query.isascii() else query.encode("latin-1", "replace"), strict=strict)
    except UnicodeError:
        raise ArgumentError("the query string is not UTF-8 text") from None


def _typed(key: str, text: str) -> tuple[str, Any, bool]:
    kind, colon, name = key.partition(":")
    cast = _CASTS.get(kind) if colon and name else None
    if cast is None:
        return key, text, False
    try:
        return name, cast(text), kind == "list"
    except ValueError:
        raise ArgumentError(f"the argument {_shown(key)} cannot be {_shown(text)}") from None


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}...")


def _to_int(text: str) -> int:
    # int() alone would also take "1_000" and digits of every script.
    if not _INTEGER.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _to_float(text: str) -> float:
    number = float(text)
    if "_" in text or not math.isfinite(number):
        raise ValueError(text)
    return number


def _to_list(text: str) -> list[str]:
    return text.split(",") if text else []


def _to_bool(text: str) -> bool:
    lowered = text.lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError(text)


_CASTS: dict[str, Callable[[str], Any]] = {
    "int": _to_int,
    "float": _to_float,
    "list": _to_list,
    "bit": _to_bool,
    "json": partial(read_json, finite=True),
}


@attrs.frozen
class _Parameters:
    """The parameters of a view besides ``was``.

    ``reserved`` are the names of the first parameters, which are given ``was``; ``star`` is the name in
    ``*name``.
    """

    required: tuple[str, ...]
    accepted: frozenset[str]
    reserved: frozenset[str]
    takes_all: bool
    star: str | None


_parameters_of: WeakKeyDictionary[Callable[..., Any], _Parameters] = WeakKeyDictionary()


def bind(view: Callable[..., Any], arguments: Mapping[str, Any], route: str) -> dict[str, Any]:
    """Return the keyword arguments for ``view(was, **keywords)``.

    Raises ArgumentError, which names ``route`` and the argument, if one is missing or unknown. A view with
    ``**form`` takes every name. A decorator that passes ``**keywords`` on takes the names of the view that it
    wraps, too. It may fill in what that view requires, so only its own parameters can be missing. Called in
    any thread.
    """
    takes = _parameters(view)
    missing = [name for name in takes.required if name not in arguments]
    if missing:
        noun = "argument" if len(missing) == 1 else "arguments"
        names = ", ".join(map(repr, missing))
        raise ArgumentError(
            f"{_name(view)}() missing {len(missing)} required {noun}: {names} (route {route})"
        )
    for name in arguments:
        if name in takes.accepted or (takes.takes_all and name not in takes.reserved):
            continue
        hint = f"; write **{takes.star} to take all" if takes.star and not takes.takes_all else ""
        raise ArgumentError(
            f"{_name(view)}() got an unexpected keyword argument {_shown(name)} (route {route}{hint})"
        )
    return dict(arguments)


def place_of(view: Callable[..., Any]) -> str:
    """Return the place of a view as the log shows it, ``[file|function|line]``, or nothing if unknown."""
    function = inspect.unwrap(view)
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    return "" if code is None else f"[{code.co_filename}|{code.co_name}|{code.co_firstlineno}]"


def _name(view: Callable[..., Any]) -> str:
    return getattr(view, "__name__", type(view).__name__)


def _parameters(view: Callable[..., Any]) -> _Parameters:
    try:
        known = _parameters_of.get(view)
        if known is None:
            known = _parameters_of[view] = _inspect(view)
    except TypeError:  # cannot be hashed or weakly referenced
        return _inspect(view)
    return known


def _inspect(view: Callable[..., Any]) -> _Parameters:
    outer = _inspect_layer(view)
    accepted, reserved, layer, takes = outer.accepted, outer.reserved, view, outer
    while takes.takes_all and hasattr(layer, "__wrapped__"):
        layer = layer.__wrapped__
        takes = _inspect_layer(layer)
        accepted |= takes.accepted
        reserved |= takes.reserved
    return attrs.evolve(
        outer, accepted=accepted - reserved, reserved=reserved, takes_all=takes.takes_all, star=takes.star
    )


def _inspect_layer(view: Callable[..., Any]) -> _Parameters:
    parameters = list(inspect.signature(view, follow_wrapped=False).parameters.values())
    by_kind: dict[Any, list[inspect.Parameter]] = {}
    for parameter in parameters:
        by_kind.setdefault(parameter.kind, []).append(parameter)
    positional = by_kind.get(inspect.Parameter.POSITIONAL_ONLY, [])
    named = by_kind.get(inspect.Parameter.POSITIONAL_OR_KEYWORD, [])
    was = (positional or named)[:1]
    if len(positional) > 1:
        raise TypeError(f"{_name(view)}() cannot be a view: {positional[1].name!r} takes no keyword")
    by_name = [*(named if positional else named[1:]), *by_kind.get(inspect.Parameter.KEYWORD_ONLY, [])]
    stars = by_kind.get(inspect.Parameter.VAR_POSITIONAL, [])
    return _Parameters(
        required=tuple(each.name for each in by_name if each.default is inspect.Parameter.empty),
        accepted=frozenset(each.name for each in by_name),
        reserved=frozenset(each.name for each in was) if not positional else frozenset(),
        takes_all=inspect.Parameter.VAR_KEYWORD in by_kind,
        star=stars[0].name if stars else None,
    )
