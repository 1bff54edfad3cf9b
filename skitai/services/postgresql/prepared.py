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
from psycopg2.extras import Json, UUID_adapter

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
_TYPES: Mapping[type, str] = {
    str: "unknown",
    Json: "unknown",
    type(None): "unknown",
    bool: "bool",
    bytes: "bytea",
    datetime.date: "date",
    datetime.timedelta: "interval",
    UUID_adapter: "uuid",
}
#: The same where it depends on the value.
_TYPES_BY_VALUE: Mapping[type, Callable[[Any], str | None]] = {
    int: _int_type,
    float: lambda value: "numeric" if isfinite(value) else None,
    Decimal: lambda value: "numeric" if value.is_finite() and "." in str(value) else None,
    datetime.datetime: lambda value: "timestamp" if value.tzinfo is None else "timestamptz",
    datetime.time: lambda value: "time" if value.tzinfo is None else "timetz",
}


_INTEGER = frozenset((int,))

#: A statement and the types of its parameters.
Key = tuple[str, tuple[str, ...]]


@attrs.define
class Execution:
    """A prepared statement: ``sql`` executes it. ``preparing`` are the messages to send before, if any."""

    name: str
    key: Key
    sql: str
    preparing: tuple[str, ...] = ()

    def bound(self, values: tuple[Any, ...] | None) -> tuple[str, Any]:
        """Return the text to send, and the values that psycopg2 has to put into it.

        Integers, as keys of rows are, need no quotes: psycopg2 would take a microsecond for each.
        """
        if values is not None and _INTEGER.issuperset(map(type, values)):
            return self.sql % values, None
        return self.sql, values


class PreparedStatements:
    """The prepared statements of one connection, the last used ones."""

    def __init__(self) -> None:
        self._uses: OrderedDict[str, int] = OrderedDict()
        self._kept: OrderedDict[Key, Execution] = OrderedDict()
        #: Those that the server has and nobody uses.
        self._stale: list[Execution] = []
        self._numbers = count(1)

    def choose(self, sql: str, params: Any, in_transaction: bool) -> tuple[Execution, Any] | None:
        """Return what to execute instead of ``sql``, and with which values; None if nothing.

        Counts the use. Preparing may fail, which would end a transaction: nothing new is prepared in one.
        """
        uses = self._uses.get(sql, 0)
        if uses == _NEVER or len(sql) > _CHARACTERS_MAX or params == ():
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
            key = (sql, tuple([_TYPES.get(type(value)) or _type_by_value(value) for value in values]))
        except (LookupError, TypeError, ValueError):
            return None  # psycopg2 finds the words for what is wrong
        execution = self._kept.get(key)
        if execution is not None:
            self._kept.move_to_end(key)
        elif in_transaction:
            return None
        else:
            execution = self._new(key, template)
        return execution, values or None

    def _new(self, key: Key, template: Template) -> Execution:
        name = f"_skitai_{next(self._numbers)}"
        declared = f" ({', '.join(key[1])})" if key[1] else ""
        places = f"({', '.join(['%s'] * len(key[1]))})" if key[1] else ""
        dropped = [f"DEALLOCATE {stale.name}" for stale in self._stale]
        self._stale.clear()
        preparing = (*dropped, f"PREPARE {name}{declared} AS {template.sql}")
        return Execution(name, key, f"EXECUTE {name}{places}", preparing)

    def keep(self, execution: Execution) -> None:
        """Note that it was prepared."""
        execution.preparing = ()
        self._kept[execution.key] = execution
        if len(self._kept) > PREPARED_MAX:
            self._stale.append(self._kept.popitem(last=False)[1])

    def refuse(self, execution: Execution) -> None:
        """Note that the server cannot prepare it."""
        self._count(execution.key[0], _NEVER)

    def forget(self, execution: Execution) -> None:
        """Note that the server cannot execute it any more as it was prepared."""
        if self._kept.pop(execution.key, None) is not None:
            self._stale.append(execution)

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
    if type(params) is not tuple:
        return tuple([params[key] for key in template.keys])
    if len(params) != len(template.keys):
        raise ValueError
    return params


def _type_by_value(value: Any) -> str:
    found = _TYPES_BY_VALUE[type(value)](value)
    if found is None:
        raise TypeError
    return found
