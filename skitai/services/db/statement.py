"""What ``was.db(...)`` returns: a statement to be executed, and then its call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Never

from skitai.calls.holder import CallHolder
from skitai.errors import MisuseError
from skitai.services.db.query import Query, query, query_of_many


class Statement(CallHolder):
    """Executes one statement, and then behaves like the call of that statement.

    ``start(query)`` starts the statement and returns its call. Used in the app's thread::

        s = was.db("@main")
        s.execute("select name from people where age > %s", (42,))
        s.getwait(2).data
    """

    __slots__ = ("_start",)

    _missing = "no statement was executed yet"

    def __init__(self, start: Callable[[Query], Any]) -> None:
        super().__init__()
        self._start = start

    def execute(self, sql: str, params: Any = None, **others: Never) -> Any:
        """Execute ``sql`` with bound ``params``, and return its ``Call`` (for ``map`` the group of calls).

        ``params``: a tuple or list for places in order, a dict for places with names. PostgreSQL writes the
        places ``%s`` and ``%(name)s``, SQLite ``?`` and ``:name``. The deadline counts from here. Raises
        MisuseError for a second statement, TypeError or ValueError for arguments that are none.
        """
        return self._begin(query(sql, params, others))

    def executemany(self, sql: str, rows: Iterable[Any], **others: Never) -> Any:
        """Execute ``sql`` once for the values of each row, all of them or none; see ``execute``."""
        return self._begin(query_of_many(sql, rows, others))

    def _begin(self, statement: Query) -> Any:
        if self._call is not None:
            raise MisuseError(
                "a second statement on one object: write was.db(...) for each, or a script in one execute()"
            )
        self._call = self._start(statement)
        return self._call
