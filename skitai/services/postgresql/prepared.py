"""Statements that are executed often enough are prepared, so that the server does not parse them again.

The values still go into the text of EXECUTE, as psycopg2 writes them, so a prepared statement gets the same
values as a plain one. Its parameters are declared with the types that these literals have. The server would
guess another type in some places: where it guesses an integer, it rounds ``1.5``.
"""

from __future__ import annotations

import datetime
from collections import OrderedDict
from collections.abc import Callable, Mapping
from decimal import Decimal
from itertools import count
from math import isfinite
from typing import Any

import attrs

from skitai.services.postgresql.placeholders import Template, template_of

#: From this use on a statement is prepared, as psycopg 3 does.
_USES = 5
#: Prepared statements of a connection, and statements whose uses it counts.
PREPARED_MAX = 100
_COUNTED_MAX = 1000
#: A longer statement is not prepared: those that are counted are kept, and would fill the memory.
_CHARACTERS_MAX = 10_000
#: Instead of a number of uses: it cannot be prepared.
_NEVER = -1


def _int_type(value: int) -> str:
    if -(1 << 31) <= value < 1 << 31:
        return "int4"
    return "int8" if -(1 << 63) <= value < 1 << 63 else "numeric"


#: The types of psycopg2's literals, by the types of the values. Any other is not prepared.
_TYPES: Mapping[type, Callable[[Any], str | None]] = {
    str: lambda _: "unknown",
    type(None): lambda _: "unknown",
    int: _int_type,
    bool: lambda _: "bool",
    float: lambda value: "numeric" if isfinite(value) else None,
    Decimal: lambda value: "numeric" if value.is_finite() and "." in str(value) else None,
    bytes: lambda _: "bytea",
    datetime.date: lambda _: "date",
    datetime.datetime: lambda value: "timestamp" if value.tzinfo is None else "timestamptz",
    datetime.timedelta: lambda _: "interval",
}


#: A statement and the types of its parameters.
Key = tuple[str, tuple[str, ...]]


@attrs.define
class Execution:
    """How a statement is executed as a prepared one: psycopg2 gets ``sql`` and ``values``.

    ``prepare`` are messages to send before.
    """

    key: Key
    sql: str
    values: Any
    prepare: tuple[str, ...] = ()


class PreparedStatements:
    """The prepared statements of one connection, the last used ones."""

    def __init__(self) -> None:
        self._uses: OrderedDict[str, int] = OrderedDict()
        #: What executes each.
        self._kept: OrderedDict[Key, str] = OrderedDict()
        #: The same of those that the server has and nobody uses.
        self._stale: list[str] = []
        self._numbers = count(1)

    def execution(self, sql: str, params: Any, may_prepare: bool) -> Execution | None:
        """Return how to execute ``sql``, None for as it is. Counts the use."""
        uses = self._uses.get(sql, 0)
        if uses == _NEVER or len(sql) > _CHARACTERS_MAX:
            return None
        if uses < _USES - 1:
            self._count(sql, uses + 1)
            return None
        template = template_of(sql, params is not None)
        if template is None:
            self._count(sql, _NEVER)
            return None
        try:
            values = _values(template, params)
            types = tuple(map(_type, values))
        except (LookupError, TypeError, ValueError):
            return None  # psycopg2 finds the words for what is wrong
        key = (sql, types)
        known = self._kept.get(key)
        if known is not None:
            self._kept.move_to_end(key)
            return Execution(key, known, values or None)
        return self._new(key, template, values) if may_prepare else None

    def _new(self, key: Key, template: Template, values: Any) -> Execution:
        name = f"_skitai_{next(self._numbers)}"
        declared = f" ({', '.join(key[1])})" if key[1] else ""
        dropped = [sql.partition("(")[0].replace("EXECUTE", "DEALLOCATE") for sql in self._stale]
        self._stale.clear()
        places = f"({', '.join(['%s'] * len(key[1]))})" if key[1] else ""
        prepare = (*dropped, f"PREPARE {name}{declared} AS {template.sql}")
        return Execution(key, f"EXECUTE {name}{places}", values or None, prepare)

    def keep(self, execution: Execution) -> None:
        """Note that it was prepared."""
        self._kept[execution.key] = execution.sql
        if len(self._kept) > PREPARED_MAX:
            self._stale.append(self._kept.popitem(last=False)[1])

    def refuse(self, execution: Execution) -> None:
        """Note that the server cannot prepare it."""
        self._count(execution.key[0], _NEVER)

    def forget(self, execution: Execution) -> None:
        """Note that the server cannot execute it any more as it was prepared."""
        if self._kept.pop(execution.key, None) is not None:
            self._stale.append(execution.sql)

    def clear(self) -> None:
        """Note that the server has forgotten all of them."""
        self._kept.clear()
        self._stale.clear()

    def _count(self, sql: str, uses: int) -> None:
        self._uses[sql] = uses
        if len(self._uses) > _COUNTED_MAX:
            self._uses.popitem(last=False)


def _values(template: Template, params: Any) -> tuple[Any, ...]:
    if params is None:
        return ()
    if isinstance(params, Mapping):
        return tuple([params[key] for key in template.keys])
    if len(params) != len(template.keys):
        raise ValueError
    return params  # type: ignore[no-any-return]


def _type(value: Any) -> str:
    found = _TYPES[type(value)](value)
    if found is None:
        raise TypeError
    return found
