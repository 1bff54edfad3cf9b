"""What psycopg2's exceptions mean, and copies of them that hold nothing of the driver."""

from __future__ import annotations

import copy
import re
from typing import Any

import psycopg2

from skitai.errors import CODE_BUSY, CODE_CLOSED, CODE_EXCEPTION, OperationError, UnsentError, words_of
from skitai.services.db.result import DBResult

#: What the server says of a failed statement: the attributes of psycopg2's Diagnostics.
_DIAGNOSTICS = tuple(name for name in dir(psycopg2.extensions.Diagnostics) if not name.startswith("_"))
#: What begins the codes of errors after which the connection is of no use (PostgreSQL, appendix A).
_LOST = ("08", "57P0")
_PROTOCOL_VIOLATION = "08P01"
#: What the server says if it takes no further connection, of a database or a user.
_BUSY = re.compile("too many (?:clients|connections)|connection slots are reserved")
#: How libpq begins what it says of an attempt to connect.
_ATTEMPT = re.compile(r"^connection to server (?:at|on) .*? failed: ", re.MULTILINE)
#: What psycopg2 says of values that do not fit the statement, and what that means.
_UNFIT = {
    "tuple index out of range": "there are fewer values than places (%s); write %% for a % of the text",
    "not all arguments converted during string formatting": "there are more values than places (%s)",
    "tuple indices must be integers or slices, not str": "places with names, %(name)s, need a dict of values",
    "dict is not a sequence": "places without names, %s, need a tuple or a list of values",
}


def means_lost(error: psycopg2.Error, closed: bool) -> bool:
    """Return whether ``error`` tells of a lost connection; ``closed`` is whether psycopg2 has closed it."""
    if closed:
        return True
    if error.pgcode is not None:
        code: str = error.pgcode
        # With ERROR the server goes on: the code is that of another connection (dblink), or of RAISE.
        # But PgBouncer says ERROR, too, with the code of a violated protocol, and closes the connection.
        goes_on = error.diag.severity_nonlocalized == "ERROR" and code != _PROTOCOL_VIOLATION
        return code.startswith(_LOST) and not goes_on
    return type(error) in (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.DatabaseError)


def refused(error: Any) -> DBResult:
    """Return the result of a statement that failed with ``error`` on a healthy connection.

    psycopg2 raises a TypeError, ValueError, KeyError or IndexError for some parameters: these become a
    ProgrammingError.
    """
    if not isinstance(error, psycopg2.Error):
        text = words_of(error)
        if isinstance(error, KeyError):
            text = f"there is no parameter {error}"
        elif text.startswith("unsupported format character"):
            text += ": a place is %s or %(name)s, and a % of the text is written %%"
        error = psycopg2.ProgrammingError(_UNFIT.get(text, text))
    said = {name: getattr(error.diag, name) for name in _DIAGNOSTICS}
    diagnostics = {name: value for name, value in said.items() if value is not None}
    # The copy has class, pgcode and pgerror, but neither cursor nor frames nor context.
    kept: Exception = copy.copy(error)
    return DBResult.of_statement_error(kept, f"{type(kept).__name__}: {_text(kept)}", diagnostics)


def lost_error(error: BaseException) -> OperationError:
    """Return the error for a statement whose connection was lost."""
    said = _text(error).partition("\n")[0].removeprefix("FATAL:").strip()
    return OperationError(f"the connection was lost: {said}", code=CODE_CLOSED)


def connect_error(text: str, where: str) -> UnsentError:
    """Return the error for a connection to ``where`` that could not be made, because of libpq's ``text``."""
    if "Connection refused" in text:
        return UnsentError(f"{where} refused the connection")
    # Each attempt of libpq, such as one with TLS and one without, is a line: where it went to, how bad the
    # server finds it, and the reason.
    attempts = [part.removeprefix("FATAL:").strip() for part in _ATTEMPT.split(text) if part.strip()]
    said = "; ".join(dict.fromkeys(attempts))
    busy = _BUSY.search(text) is not None
    return UnsentError(f"no connection to {where}: {said}", code=CODE_BUSY if busy else CODE_EXCEPTION)


def _text(error: BaseException) -> str:
    return words_of(error).strip() or type(error).__name__
