"""The body of a WSGI response on its way out: kept to its Content-Length, and compressed where wanted.

PEP 3333, "Handling the Content-Length Header": no more leaves than was announced. Where less comes, the
connection is closed, because only that tells the client that the body is not whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from twisted.logger import Logger

from skitai.server.request.compress import LENGTH_MIN, Compressor, Headers, negotiate
from skitai.server.wsgi.checks import as_bytes

if TYPE_CHECKING:
    from skitai.server.request.request import Request
    from skitai.server.wsgi.filewrapper import FileWrapper

_log = Logger()

#: The statuses of answers without a body (RFC 9110, section 6.4.1).
BODYLESS = ("204", "304")


def whole_body(
    request: Request, status: str, headers: Headers, announced: int | None, body: bytes
) -> tuple[Headers, bytes]:
    """Return header fields and body as they go out where all of the body is at hand. Called in any thread.

    ``announced`` is the Content-Length among the fields. The request is told of it by the fields, and closes
    the connection after a body that is shorter.
    """
    length = len(body)
    is_head = request.method == b"HEAD"
    if announced is not None and announced != length:
        if not length and is_head:
            # Frameworks leave out the body, but the head must be the one that GET would get.
            length = announced
        elif announced < length:
            body, length = body[:announced], announced
            if not is_head and status[:3] not in BODYLESS:
                warn_of_excess(request)
        else:  # as it is: compressed it would look whole
            return headers, body
    if length < LENGTH_MIN:
        return headers, body
    compressor, headers = negotiate(request, int(status[:3]), headers, length)
    return headers, compressor.flush(body) if compressor is not None and body else body


class OutgoingBody:
    """A body that is sent piece by piece; ``headers`` are the fields that go with it.

    Used in the app's thread, and by a file's producer in the reactor thread.
    """

    __slots__ = ("_bodyless", "_compressor", "_remaining", "_request", "headers", "overflown")

    def __init__(self, request: Request, status: str, headers: Headers, announced: int | None) -> None:
        self._request = request
        self._bodyless = request.method == b"HEAD" or status[:3] in BODYLESS
        #: What is missing from the announced length; None: none was announced.
        self._remaining = 0 if self._bodyless else announced
        self._compressor: Compressor | None
        self._compressor, self.headers = negotiate(request, int(status[:3]), headers, None)
        #: Whether more was given than can be sent.
        self.overflown = False

    @property
    def complete(self) -> bool:
        """Whether all is given that can be sent."""
        return self._remaining == 0

    def piece(self, data: bytes) -> bytes:
        """Return what goes out for ``data``."""
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
        """Return what goes out after the last piece; raises AssertionError where something is missing.

        That is for a compressed body only, which announces no length: its regular end would hide the loss.
        Others show it themselves.
        """
        if self._compressor is None:
            return b""
        if self._remaining:
            raise AssertionError(f"the body is {self._remaining} bytes shorter than its Content-Length")
        return self._compressor.flush()

    def of_file(self, file: FileWrapper) -> Iterator[bytes]:
        """Yield what goes out for ``file``, which is not read further than is needed."""
        for block in file:
            yield self.piece(as_bytes(block))
            if self.complete:
                break
        yield self.last()


def warn_of_excess(request: Request) -> None:
    """Have the log say that an app gave more than it announced."""
    _log.warn("{line}: the body is longer than its Content-Length", line=request_line(request))


def request_line(request: Request) -> str:
    """Name the request for the log: not by the environ, which the app may have changed."""
    return (request.method + b" " + request.uri).decode("latin-1")
