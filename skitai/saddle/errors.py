"""The exceptions that end a request with an error response."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from skitai.errors import SkitaiError

#: What an app's code may raise to end a request but never the server, ``sys.exit()`` included.
FAILURES = (Exception, SystemExit)


class HTTPError(SkitaiError):
    """Ends a request with the status ``code`` (RFC 9110, section 15); ``message`` is shown to the client."""

    def __init__(self, code: int, message: str = "", headers: Iterable[tuple[str, str]] = ()) -> None:
        if not 300 <= code <= 599:
            raise ValueError(f"{code!r} cannot end a request: the status must be from 300 to 599")
        self.code = code
        self.message = message
        self.headers = list(headers)
        super().__init__(message or HTTPStatus(code).phrase)


def status_line(code: int) -> str:
    """Return a status with its phrase, such as ``404 Not Found``."""
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return f"{code} Unknown"
