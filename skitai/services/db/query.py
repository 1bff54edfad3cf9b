"""One statement and its parameters, as engines get it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from skitai.services.db.words import EXECUTE_KEYWORDS, EXECUTEMANY_KEYWORDS

#: Values for the places of a statement: in order, or by name.
Params = tuple[Any, ...] | Mapping[str, Any]


@attrs.frozen
class Query:
    """A statement to execute, immutable.

    ``params`` are the values to bind, None if there are none. ``rows`` are the values of each execution of an
    ``executemany``, None for a single one. ``internal`` ones are of Skitai itself, such as savepoints.
    """

    sql: str
    params: Params | None = attrs.field(default=None, repr=False)
    rows: tuple[Params, ...] | None = attrs.field(default=None, repr=False)
    internal: bool = attrs.field(default=False, repr=False)


def query(sql: str, params: Any = None, others: Iterable[str] = ()) -> Query:
    """Return the query of one statement; raise TypeError or ValueError that names the wrong argument.

    ``others`` are the names of arguments that there are not.
    """
    EXECUTE_KEYWORDS.refuse("execute()", others)
    return Query(_checked(sql), None if params is None else _params(params, "params"))


def query_of_many(sql: str, rows: Iterable[Any], others: Iterable[str] = ()) -> Query:
    """Return the query that executes ``sql`` for each of ``rows``; raise TypeError or ValueError as above."""
    EXECUTEMANY_KEYWORDS.refuse("executemany()", others)
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
        raise TypeError(f"rows must be a list of parameters, one for each execution, not {rows!r:.100}")
    return Query(_checked(sql), rows=tuple(_params(row, "each of rows") for row in rows))


def _checked(sql: Any) -> str:
    if not isinstance(sql, str):
        raise TypeError(f"sql must be a str, not {sql!r:.100}")
    if not sql.strip():
        raise ValueError("sql is empty")
    if "\0" in sql:
        raise ValueError("sql has a NUL character, which no statement may have")
    return sql


def _params(params: Any, name: str) -> Params:
    """Return a copy, because the app may change its own while the statement waits."""
    if type(params) is tuple:  # what nearly all are, so it comes first
        return params
    if isinstance(params, Mapping):
        return dict(params)
    if isinstance(params, Sequence) and not isinstance(params, str | bytes | bytearray):
        return tuple(params)
    what = f"{name} must be a tuple, a list or a dict of values, not {type(params).__name__}"
    raise TypeError(f"{what}; a tuple of one value is (value,)")
