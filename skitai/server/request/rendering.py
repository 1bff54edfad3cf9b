"""Twisted's way of answering a request: ``write`` and ``finish`` (``twisted.web.iweb.IRequest``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger, LogLevel
from twisted.web.http import datetimeToString

from skitai.http.statuses import BODYLESS
from skitai.server.request.compress import Compressor, negotiate
from skitai.server.request.lazy import LazyRequest
from skitai.server.request.producing import Production

if TYPE_CHECKING:
    from twisted.python.failure import Failure

_log = Logger()


class RenderedRequest(LazyRequest):
    """A request that any Twisted resource can answer. All methods are called in the reactor thread.

    What it says goes the way of the server's own answers: ``start``, ``send`` and ``end``.
    """

    #: The status code of the response, or 0 before the response has begun.
    status_code = 0
    #: Whether the client is gone.
    gone = False
    #: The producer of the response's body, if any.
    production: Production | None = None
    _compressor: Compressor | None = None

    def start(self, status: str, headers: Sequence[tuple[str, str]], length: int | None = None) -> None:
        """Prepare the head of the response."""
        raise NotImplementedError

    def send(self, data: bytes) -> None:
        """Send a piece of the body."""
        raise NotImplementedError

    def end(self, trailers: Sequence[tuple[str, str]] = ()) -> None:
        """Complete the response."""
        raise NotImplementedError

    def abort(self) -> None:
        """Abort the connection."""
        raise NotImplementedError

    def fail(self, code: int, *headers: tuple[str, str], detail: str = "") -> None:
        """Answer with an error page."""
        raise NotImplementedError

    # -- IRequest ------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send a piece of the body. The first one also sends status and header fields."""
        if self.finished:
            raise RuntimeError("Request.write called on a request after Request.finish was called.")
        if self.gone:
            return
        if not self.status_code:
            self._start_from_headers()
        if self._compressor is not None:
            data = self._compressor.compress(data)
        if data:
            self.send(data)
            if self.production is not None:
                self.production.hold_back()

    def finish(self) -> None:
        """Complete the response."""
        if self.finished:
            raise RuntimeError("Request.finish called twice.")
        if self.gone:
            raise RuntimeError("Request.finish called on a request after its connection was lost.")
        if not self.status_code:
            if self.method != b"HEAD" and not self.responseHeaders.hasHeader(b"content-length"):
                self.responseHeaders.setRawHeaders(b"content-length", [b"0"])
            self._start_from_headers()
        if self._compressor is not None:
            self.send(self._compressor.flush())
        self.finished = True
        self.production = None
        self.end()

    def _start_from_headers(self) -> None:
        fields = self.responseHeaders
        if self.lastModified is not None and not fields.hasHeader(b"last-modified"):
            fields.setRawHeaders(b"last-modified", [datetimeToString(self.lastModified)])  # type: ignore[no-untyped-call]
        if self.etag is not None:
            fields.setRawHeaders(b"etag", [self.etag])
        for cookie in self.cookies:
            fields.addRawHeader(b"set-cookie", cookie)
        wants_type = self.code not in BODYLESS and fields.getRawHeaders(b"content-length") != [b"0"]
        if wants_type and self.defaultContentType is not None and not fields.hasHeader(b"content-type"):
            fields.setRawHeaders(b"content-type", [self.defaultContentType])
        pairs = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, values in fields.getAllRawHeaders()
            for value in values
        ]
        self._compressor, pairs = negotiate(self, self.code, pairs, None)
        self.startedWriting = 1
        try:
            self.start(f"{self.code} {self.code_message.decode('latin-1')}", pairs)
        except ValueError as error:
            # Raised, it would be lost in a resource's Deferred, and the client would wait.
            _log.error("{uri}: {error}", uri=self.uri, error=error)
            self.fail(500)

    @property
    def compresses(self) -> bool:
        """Whether what is written is compressed before it is sent."""
        return self._compressor is not None

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let ``producer`` make the body, as fast as the client reads it."""
        if self.production is not None:
            raise ValueError("there is a producer already")
        if self.gone:
            producer.stopProducing()
            return
        self.production = Production(self, producer, streaming)
        if streaming:
            self.production.hold_back()
        else:
            self.production.resume()

    def unregisterProducer(self) -> None:
        """Forget the producer, which is done."""
        self.production = None

    def processingFailed(self, reason: Failure) -> None:
        """Log what a resource raised, and answer with 500."""
        _log.failure("{uri}: the resource failed", failure=reason, uri=self.uri, level=LogLevel.error)
        self.fail(500)

    def notifyFinish(self) -> Deferred[None]:
        """Return a Deferred that fires when the response was sent, and fails if the client is gone first."""
        deferred: Deferred[None] = Deferred()
        self.notifications.append(deferred)
        return deferred

    def loseConnection(self) -> None:
        """Abort the connection."""
        self.abort()

    def isSecure(self) -> bool:
        """Whether the request came over TLS."""
        return bool(self._forceSSL) or self.connection.secure
