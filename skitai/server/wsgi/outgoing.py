"""The body of a WSGI response on its way out: kept to its Content-Length, and compressed for who wants it."""

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


def whole_body(request: Request, status: str, headers: Headers, body: bytes) -> tuple[Headers, bytes]:
    """Return header fields and body as they go out where all of the body is at hand. Called in any thread."""
    length = len(body)
    if not length and request.method == b"HEAD":
        # Frameworks leave out the body, but the head must be the one that GET would get.
        length = announced_length(headers) or 0
    if length < LENGTH_MIN:
        return headers, body
    compressor, headers = negotiate(request, int(status[:3]), headers, length)
    return headers, compressor.flush(body) if compressor is not None and body else body


class OutgoingBody:
    """A body that is sent piece by piece; ``headers`` are the fields that go with it.

    Used in the app's thread, and by a file's producer in the reactor thread.
    """

    __slots__ = ("_bodyless", "_compressor", "_remaining", "_request", "headers", "overflown")

    def __init__(self, request: Request, status: str, headers: Headers) -> None:
        self._request = request
        self._bodyless = request.method == b"HEAD" or status[:3] in ("204", "304")
        #: What is missing from the announced length; None: none was announced.
        self._remaining = 0 if self._bodyless else announced_length(headers)
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
                self.overflown = True
                data = data[:remaining]
                if not self._bodyless:
                    uri = self._request.uri.decode("latin-1")
                    _log.warn("{uri}: the body is longer than its Content-Length", uri=uri)
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


def announced_length(headers: Headers) -> int | None:
    """Return the Content-Length among the app's header fields, None where there is none."""
    for name, value in headers:
        if name.lower() == "content-length" and value.strip().isdecimal():
            return int(value)
    return None
