"""Results from psycopg2's cursors; a large one in steps, so that the reactor has its turns in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Cooperator

from skitai.errors import OperationError
from skitai.services.db.result import CODE_STATEMENT, DBResult
from skitai.services.db.rows import Row, rows_of

#: Rows that are made in one step.
_STEP = 500


def fetch(
    cursor: Any, rows_max: int, reactor: Any, wanted: Callable[[], bool]
) -> DBResult | Deferred[DBResult]:
    """Return the result that ``cursor`` has, or a Deferred that fires with it.

    It is a failed one if there are more than ``rows_max`` rows. Fails with CancelledError when it is not
    ``wanted()`` any more, and with DataError for a value that Python cannot have, such as a date before the
    year 1.
    """
    description = cursor.description
    rowcount = cursor.rowcount
    if description is None:
        return DBResult(rowcount=rowcount)
    if rowcount > rows_max:
        return too_large(f"the result has {rowcount} rows; rows_max allows {rows_max}")
    columns = [column[0] for column in description]
    if rowcount <= _STEP:
        return DBResult(_next(cursor, columns), description=description, rowcount=rowcount)
    rows: list[Row] = []

    def steps() -> Iterator[None]:
        while step := _next(cursor, columns):
            rows.extend(step)
            yield
            if not wanted():
                raise CancelledError

    made = Cooperator(scheduler=lambda step: reactor.callLater(0, step)).coiterate(steps())
    return made.addCallback(lambda _: DBResult(rows, description=description, rowcount=rowcount))


def _next(cursor: Any, columns: list[str]) -> list[Row]:
    try:
        return rows_of(columns, cursor.fetchmany(_STEP))
    except psycopg2.Error:
        raise
    except Exception as error:  # noqa: BLE001 - the app may have registered converters that raise anything
        raise psycopg2.DataError(f"Python cannot have a value of the result: {error}") from None


def too_large(text: str) -> DBResult:
    """Return the failed result for one that is larger than the config allows."""
    return DBResult.failed(OperationError(text, code=CODE_STATEMENT))
