"""The sending half of an HTTP/1.1 connection: status, fields and pieces of a body in, bytes out."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from skitai.server.http1.framing import render_head, render_interim, render_trailers
from skitai.server.http1.output import Output
from skitai.server.request import noroom
from skitai.server.request.connection import Connection

if TYPE_CHECKING:
    from skitai.server.http1.factory import HTTPFactory
    from skitai.server.request.request import Request


class AnsweringConnection(Connection):
    """Sends the response to the ``current`` request. All methods are called in the reactor thread.

    It is a part of ``IConnection``. The channel adds what happens to the connection before and after.
    """

    __slots__ = ("_chunked", "_unsent_head", "current", "factory", "output")

    output: Output

    def __init__(self, factory: HTTPFactory) -> None:
        self.factory = factory
        #: The request being answered, if any.
        self.current: Request | None = None
        # The head of the response, while it waits for the first piece of the body.
        self._unsent_head = b""
        self._chunked = False

    def _response_precedes_body(self, request: Request) -> None:
        """Called when the response begins before the body of ``request`` has arrived."""
        raise NotImplementedError

    def _response_sent(self, request: Request) -> None:
        """Called when the last byte of the response was sent."""
        raise NotImplementedError

    @property
    def reactor(self) -> Any:
        """The reactor that serves the connection."""
        return self.factory.reactor

    @property
    def waiting(self) -> int:
        """How many bytes wait for the client. Read in any thread."""
        return self.output.waiting

    @property
    def blocked(self) -> bool:
        """Whether anything waits for the client."""
        return self.output.blocked

    def start(
        self, request: Request, status: str, headers: Sequence[tuple[str, str]], length: int | None
    ) -> int | None:
        """Prepare the head of the response, as ``IConnection`` says."""
        if not request.complete:
            self._response_precedes_body(request)
        factory = self.factory
        head = render_head(
            status, tuple(headers), length, request.version, request.bodyless, request.keep_alive
        )
        data = head.data
        if factory.names_requests and request.request_id and not head.identified:
            data += b"X-Request-ID: " + request.request_id.encode() + b"\r\n"
        if factory.transport_security and self.secure and not head.strict:
            data += factory.transport_security
        self._unsent_head = data + factory.stamps[head.dated, head.served]
        self._chunked = head.chunked
        if head.close:
            request.keep_alive = False
        if factory.timed:
            request.answered = monotonic()
            request.head_bytes = len(self._unsent_head)
        return head.length

    def inform(self, status: str, headers: Sequence[tuple[str, str]]) -> None:
        """Send an interim response."""
        self.output.write(render_interim(status, headers))

    def send(self, data: bytes) -> None:
        """Send a piece of the body."""
        if self._chunked and data:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if self._unsent_head:
            data = self._unsent_head + data
            self._unsent_head = b""
        request = self.current
        if not data or request is None:
            return
        request.bytes_sent += len(data)
        try:
            self.output.write(data)
        except OSError as error:  # no room to buffer what the client has not read
            noroom.cut_off(request, error)
            self.abort()

    def flush(self) -> None:
        """Send at once what waits for the end of the turn."""
        self.output.flush()

    def end(self, trailers: Sequence[tuple[str, str]] = ()) -> None:
        """Complete the response: its last byte was written, but may still wait to be sent."""
        request = self.current
        if request is None:
            return
        if self._chunked:
            self._chunked = False  # what follows is no chunk
            self.send(render_trailers(trailers) if trailers else b"0\r\n\r\n")
        elif self._unsent_head:
            self.send(b"")
        request.written = True
        if self.current is not request:
            return
        if not request.keep_alive:
            self.output.flush()  # if it all leaves at once, the connection can close now
        if not self.output.blocked:
            self._response_sent(request)

    def abort(self) -> None:
        """Abort the connection, after an attempt to send what waits for the end of the turn."""
        self.output.flush()
        self.transport.abortConnection()
