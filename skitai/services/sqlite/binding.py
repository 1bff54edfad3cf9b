"""What values are bound as, where sqlite3 would leave it to its default adapters.

These are deprecated from Python 3.12 on, with a warning for each date that is bound. What they do is right.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skitai.services.db.query import Params

_TEXTS: dict[type, Callable[[Any], str]] = {
    date: date.isoformat,
    datetime: lambda value: value.isoformat(" "),
}


def bindable(params: Params) -> Params:
    """Return ``params`` with dates as texts, unless the app has registered adapters of its own for them."""
    if isinstance(params, Mapping):
        return {name: _bound(value) for name, value in params.items()} if _has(params.values()) else params
    return tuple(map(_bound, params)) if _has(params) else params


def _has(values: Iterable[Any]) -> bool:
    return any(type(value) in _TEXTS for value in values)


def _bound(value: Any) -> Any:
    kind = type(value)
    return _TEXTS[kind](value) if kind in _TEXTS and not _is_adapted(kind) else value


def _is_adapted(kind: type) -> bool:
    """Whether an app has said what values of ``kind`` are bound as."""
    adapter = sqlite3.adapters.get((kind, sqlite3.PrepareProtocol))
    return adapter is not None and adapter.__module__ != "sqlite3.dbapi2"
