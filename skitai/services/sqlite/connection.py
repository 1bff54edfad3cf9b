"""One connection to a file. A thread uses it, and no other at the same time."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import attrs
from twisted.internet.defer import CancelledError

from skitai.errors import OperationError
from skitai.services.db.result import CODE_STATEMENT, DBResult
from skitai.services.db.rows import rows_of
from skitai.services.sqlite import errors
from skitai.services.sqlite.binding import bindable

if TYPE_CHECKING:
    from skitai.services.db.query import Params, Query
    from skitai.services.sqlite.node import SQLiteNode
    from skitai.services.sqlite.statements import Script, Statement

T = TypeVar("T")

#: The savepoint for a script within a transaction.
_PART = "skitai_part"


@attrs.frozen
class Settings:
    """How connections behave: the keys of the section ``[sqlite]`` with the same names."""

    rows_max: int
    foreign_keys: bool


class Connection:
    """A connection, opened at once; raises what sqlite3 raises, without waiting for locks.

    One that ``writes`` switches the file to WAL. All methods but ``interrupt`` are called in one thread at a
    time.
    """

    def __init__(self, node: SQLiteNode, settings: Settings, *, writes: bool) -> None:
        self.node = node
        self.writes = writes
        self._begin = "BEGIN IMMEDIATE" if writes else "BEGIN"
        self._rows_max = settings.rows_max
        # Each is for itself: any of them may come at any time.
        self._stopped = self._soiled = self._failed = self._guarded = False
        self.is_closed = False
        self._db = sqlite3.connect(
            node.uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False
        )
        self._file = _identity(node)
        try:
            self._set_up(settings)
        except BaseException:
            self._db.close()
            raise

    def _set_up(self, settings: Settings) -> None:
        if settings.foreign_keys:
            self._db.execute("PRAGMA foreign_keys = ON")
        if self.writes:
            self._db.execute("PRAGMA journal_mode = WAL").close()
        else:
            self._db.execute("PRAGMA query_only = ON")

    @property
    def may_write(self) -> bool:
        """Whether SQLite would write, if the file let it."""
        return self.writes and not self._guarded

    # -- use ------------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Forget that it was interrupted: somebody else uses it now."""
        self._stopped = False

    def interrupt(self) -> None:
        """Stop what runs. Called in the reactor thread, while it is in use."""
        self._stopped = True
        self._db.interrupt()

    def run(self, query: Query, script: Script) -> DBResult:
        """Execute what ``script``, taken from ``query``, says; all of it or nothing."""
        self._soiled = self._soiled or script.soils
        for setting in script.settings:
            self._execute(setting, None)
        if query.rows is not None:
            return self._as_one(lambda: self._execute_many(query.sql, query.rows or ()))
        if script.as_one:
            return self._as_one(lambda: self._execute_all(script, query.params))
        return self._execute_all(script, query.params)

    def _execute_all(self, script: Script, params: Params | None) -> DBResult:
        if params and len(script.statements) > 1:
            raise sqlite3.ProgrammingError("a script of several statements takes no parameters")
        result = DBResult(rowcount=0)
        for statement in script.statements:
            result = self._execute(statement, params)
        return result

    def _execute(self, statement: Statement, params: Params | None) -> DBResult:
        self._check()
        cursor = self._db.execute(statement.text, () if params is None else bindable(params))
        try:
            if cursor.description is not None:
                return self._rows(cursor)
            rowcount = cursor.rowcount
        finally:
            cursor.close()
        if rowcount < 0 and statement.is_counted:  # Python's module does not count after WITH
            rowcount = self._db.execute("SELECT changes()").fetchone()[0]
        return DBResult(rowcount=rowcount)

    def _rows(self, cursor: sqlite3.Cursor) -> DBResult:
        found = cursor.fetchmany(self._rows_max + 1)
        if len(found) > self._rows_max:
            raise OperationError(
                f"the statement gives more than {self._rows_max} rows (rows_max in the section [sqlite] of"
                " the config)",
                code=CODE_STATEMENT,
            )
        columns = [column[0] for column in cursor.description]
        return DBResult(rows_of(columns, found), description=cursor.description, rowcount=len(found))

    def _execute_many(self, sql: str, rows: tuple[Params, ...]) -> DBResult:
        cursor = self._db.cursor()
        try:
            return DBResult(rowcount=cursor.executemany(sql, self._while_wanted(rows)).rowcount)
        finally:
            cursor.close()

    def _while_wanted(self, rows: tuple[Params, ...]) -> Iterator[Params]:
        for row in rows:
            self._check()
            yield bindable(row)

    def _check(self) -> None:
        """Raise CancelledError if it was stopped where there was nothing to interrupt."""
        if self._stopped:
            raise CancelledError

    def _as_one(self, work: Callable[[], T]) -> T:
        """Do ``work`` as a transaction, or as a part of the one under way that is undone alone."""
        if self._db.in_transaction:
            begin, keep, undo = f"SAVEPOINT {_PART}", f"RELEASE {_PART}", f"ROLLBACK TO {_PART}"
        else:
            begin, keep, undo = self._begin, "COMMIT", "ROLLBACK"
        self._db.execute(begin)
        try:
            result = work()
            self._db.execute(keep)
        except BaseException:
            if self._db.in_transaction:  # SQLite may have rolled back by itself
                self._db.execute(undo)
            raise
        return result

    # -- transactions ---------------------------------------------------------------------------------------

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction has begun, and has not ended for whatever reason. Called in any thread."""
        return not self.is_closed and self._db.in_transaction

    def begin(self, *, readonly: bool) -> Connection:
        """Begin a transaction and return the connection; one that may write takes the lock for writing."""
        if readonly and self.writes:
            self._db.execute("PRAGMA query_only = ON")
            self._guarded = True
        self._db.execute("BEGIN" if readonly else self._begin)
        return self

    def run_within(self, query: Query, script: Script) -> DBResult:
        """Execute what ``script`` says within the transaction; see ``run``."""
        self._check_transaction()
        return self.run(query, script)

    def commit(self) -> None:
        """Commit the transaction."""
        self._check_transaction()
        self._db.execute("COMMIT")

    def _check_transaction(self) -> None:
        if not self._db.in_transaction:
            raise sqlite3.OperationalError(
                "SQLite has rolled back the transaction, because of what came before"
            )

    # -- between two users ----------------------------------------------------------------------------------

    @property
    def is_current(self) -> bool:
        """Whether its file is still the one that has the name."""
        return self._file == _identity(self.node)

    def note(self, error: Exception) -> None:
        """Note that what it was used for has failed with ``error``."""
        self._failed = self._failed or errors.is_of_file(error)

    @property
    def is_clean(self) -> bool:
        """Whether another may use it as it is. Called in any thread."""
        return not (
            self.is_closed or self._soiled or self._failed or self._guarded or self._db.in_transaction
        )

    def clean(self) -> bool:
        """Undo what is not committed; return whether another may use it."""
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if self._guarded:
                self._db.execute("PRAGMA query_only = OFF")
                self._guarded = False
        except sqlite3.Error:
            return False
        return self.node.in_memory or not (self._soiled or self._failed)

    def close(self) -> None:
        """Close it, which undoes what is not committed. The second time, nothing happens.

        The last one of a file writes the log back into the file and removes it.
        """
        self.is_closed = True
        self._db.close()


def _identity(node: SQLiteNode) -> tuple[int, int] | None:
    """Return what tells a file from another one with its name; None without a file."""
    if node.in_memory:
        return None
    try:
        found = os.stat(node.label)
    except OSError:
        return None
    return found.st_dev, found.st_ino
