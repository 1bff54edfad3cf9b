"""What the exceptions of sqlite3 say: who is to blame, and whether it helps to try again."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, TypeGuard, TypeVar

from skitai.errors import OperationError, UnsentError, words_of
from skitai.services.db.result import DBResult

if TYPE_CHECKING:
    from skitai.services.sqlite.node import SQLiteNode

E = TypeVar("E", bound=BaseException)

#: Nothing was executed, because the file cannot be used. (https://sqlite.org/rescode.html)
_UNUSABLE = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_PERM})
#: The file has failed in the middle.
_FAILING = frozenset(
    {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_PROTOCOL,
    }
)


class BusyError(Exception):
    """Another process holds a lock of the file; nothing was changed, and it may be tried again."""


def is_busy(error: BaseException) -> bool:
    """Whether ``error`` says that somebody else has a lock."""
    return _code(error) == sqlite3.SQLITE_BUSY


def is_full(error: BaseException | None) -> TypeGuard[Exception]:
    """Whether ``error`` says that the disk is full."""
    return isinstance(error, Exception) and _code(error) == sqlite3.SQLITE_FULL


def is_of_file(error: BaseException) -> bool:
    """Whether ``error`` is the fault of the file and not of the statement."""
    return _code(error) in _UNUSABLE | _FAILING


def outcome_of(error: Exception, node: SQLiteNode, *, may_write: bool) -> DBResult | Exception:
    """Return what a call comes to that failed with ``error``: the result of a statement, or a failure.

    ``may_write`` says whether the connection would write, if the file let it.
    """
    if isinstance(error, OperationError):
        return DBResult.failed(error)
    if is_busy(error):
        return BusyError()
    code = _code(error)
    if code in _UNUSABLE:
        return _caused(UnsentError(f"{node.label}: {_reason(error, node)}"), error)
    if code == sqlite3.SQLITE_READONLY and may_write:
        return _caused(UnsentError(f"{node.label}: the file or its folder cannot be written"), error)
    if code == sqlite3.SQLITE_READONLY and _is_extended(error):
        # A statement that must not write has the plain code; so this one would only have read.
        why = "which SQLite needs even to read a file in WAL mode, or one that was not closed in good order"
        return _caused(UnsentError(f"{node.label}: the file or its folder cannot be written, {why}"), error)
    if code in _FAILING:
        return _caused(OperationError(f"{node.label}: {words_of(error)}"), error)
    return refused(error)


def refused(error: Exception) -> DBResult:
    """Return the result of a statement that SQLite refuses with ``error``."""
    name = getattr(error, "sqlite_errorname", None)
    message = f"{type(error).__name__}: {words_of(error)}"
    if 'near "%"' in message:
        message += " (the place of a value is ? or :name)"
    return DBResult.of_statement_error(_bare(error), message, {"sqlite_errorname": name} if name else None)


def locked(node: SQLiteNode, seconds: float) -> DBResult:
    """Return the result of a statement that has waited in vain for the lock of a file."""
    error = sqlite3.OperationalError(
        f"database is locked: {node.label} was in use for {seconds:g} s (busy_timeout in the section [sqlite]"
        " of the config)"
    )
    error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_BUSY, "SQLITE_BUSY"
    return refused(error)


def _code(error: BaseException) -> int:
    """Return the primary result code of SQLite, 0 if ``error`` has none."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _is_extended(error: BaseException) -> bool:
    """Whether SQLite says more than the primary result code."""
    return _code(error) != getattr(error, "sqlite_errorcode", 0)


def _reason(error: Exception, node: SQLiteNode) -> str:
    """Return why a file cannot be used, better than SQLite says it."""
    folder = os.path.dirname(node.label)
    if _code(error) != sqlite3.SQLITE_CANTOPEN:
        return words_of(error)
    if not os.path.isdir(folder):
        return f"there is no folder {folder}"
    if os.path.isdir(node.label):
        return "is a folder, not a file"
    if not os.path.exists(node.label) and node.read_only:
        return "there is no such file (read_only = yes)"
    return f"{words_of(error)}: is it readable and its folder writable?"


def _caused(failure: E, error: Exception) -> E:
    failure.__cause__ = _bare(error)
    return failure


def _bare(error: Exception) -> Exception:
    """Return ``error`` without frames, which hold connections."""
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)
