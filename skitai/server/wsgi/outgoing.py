"""The body of a WSGI response: held to its Content-Length, and compressed if the client accepts that.

No more bytes are sent than were announced (PEP 3333, "Handling the Content-Length Header"). If there are
fewer, the connection is closed: only that tells the client that the body is incomplete.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from skitai.http.statuses import BODYLESS
from skitai.server.request.compress import LENGTH_MIN, PARTIAL_CODES, Compressor, Headers, negotiate
from skitai.server.wsgi.checks import as_bytes

if TYPE_CHECKING:
    from skitai.server.request.request import Request
    from skitai.server.wsgi.filewrapper import FileWrapper

_log = Logger()


def whole_body(
    request: Request, status: str, headers: Headers, announced: int | None, body: bytes
) -> tuple[Headers, bytes]:
    """Return the header fields and the body of a response as they are sent. Called in any thread.

    ``announced`` is the Content-Length among the fields. A shorter body is left as it is: the request closes
    the connection after it.
    """
    length = len(body)
    is_head = request.method == b"HEAD"
    if announced is not None and announced != length:
        if not length and is_head:
            # Frameworks leave out the body here, but the head must be the same as for GET.
            length = announced
        elif announced < length:
            body, length = body[:announced], announced
            if not is_head and int(status[:3]) not in BODYLESS:
                warn_of_excess(request)
        else:  # too short: compressed, it would look complete
            return headers, body
    code = int(status[:3])
    if length < LENGTH_MIN and code not in PARTIAL_CODES:
        return headers, body
    compressor, headers = negotiate(request, code, headers, length)
    return headers, compressor.flush(body) if compressor is not None and body else body


class OutgoingBody:
    """A body that is sent piece by piece. ``headers`` are the fields that are sent with it.

    Used in the app's thread, and by a file's producer in the reactor thread.
    """

    __slots__ = ("_bodyless", "_compressor", "_remaining", "_request", "headers", "overflown")

    def __init__(self, request: Request, status: str, headers: Headers, announced: int | None) -> None:
        code = int(status[:3])
        self._request = request
        self._bodyless = request.method == b"HEAD" or code in BODYLESS
        #: How many of the announced bytes are missing; None if no length was announced.
        self._remaining = 0 if self._bodyless else announced
        self._compressor: Compressor | None
        self._compressor, self.headers = negotiate(request, code, headers, None)
        #: Whether the app has given more than it announced.
        self.overflown = False

    @property
    def complete(self) -> bool:
        """Whether all announced bytes were given."""
        return self._remaining == 0

    def piece(self, data: bytes) -> bytes:
        """Return what is sent for ``data``."""
        remaining = self._remaining
        if remaining is not None:
            if len(data) > remaining:
                if not (self._bodyless or self.overflown):
                    warn_of_excess(self._request)
                self.overflown = True
                data = data[:remaining]
            self._remaining = remaining - len(data)
        return data if self._compressor is None else self._compressor.compress(data)

    def last(self) -> bytes:
        """Return what is sent after the last piece. Raises AssertionError if a compressed body is too short.

        A compressed body announces no length, so its regular end would hide that bytes are missing.
        """
        if self._compressor is None:
            return b""
        if self._remaining:
            raise AssertionError(f"the body is {self._remaining} bytes shorter than its Content-Length")
        return self._compressor.flush()

    def of_file(self, file: FileWrapper) -> Iterator[bytes]:
        """Yield what is sent for ``file``, which is read no further than the Content-Length."""
        for block in file:
            yield self.piece(as_bytes(block))
            if self.complete:
                break
        yield self.last()


def close_body(iterable: Any) -> None:
    """Call what an app has to close its body, if anything (PEP 3333). Called where apps run."""
    close = getattr(iterable, "close", None)
    if close is not None:
        close()


def warn_of_excess(request: Request) -> None:
    """Log that an app gave more than it announced."""
    _log.warn("{line}: the body is longer than its Content-Length", line=request_line(request))


def request_line(request: Request) -> str:
    """Return method and target for the log. They are not from the environ, which the app may have changed."""
    return (request.method + b" " + request.uri).decode("latin-1")
