"""The sending half of a stream: status, fields and pieces of a body in, frames out."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from skitai.server.http1.backlog import Backlog
from skitai.server.http2.fields import encode_field, encode_fields, encode_head, encode_interim, stamp
from skitai.server.http2.frames import END_STREAM, ErrorCode
from skitai.server.request import noroom
from skitai.server.request.connection import Connection

if TYPE_CHECKING:
    from skitai.server.http2.channel import HTTP2Channel
    from skitai.server.request.request import Request


class AnsweringStream(Connection):
    """Sends the response to ``request``. All methods are called in the reactor thread.

    It is a part of ``IConnection``. The stream adds the request's body, and the ends.
    """

    __slots__ = (
        "_breaks_off",
        "_ends",
        "_head",
        "_left",
        "_sent_end",
        "_silent",
        "_trailers",
        "backlog",
        "channel",
        "closed",
        "id",
        "is_ready",
        "request",
        "send_window",
    )

    request: Request

    def __init__(self, channel: HTTP2Channel, stream_id: int, send_window: int) -> None:
        self.transport = channel.transport
        self.client, self.server = channel.client, channel.server
        self.addresses, self.secure = channel.addresses, channel.secure
        self._direct = (channel.client, channel.server, channel.secure)
        self.channel = channel
        self.id = stream_id
        #: Bytes of the response's body that the client lets this stream send.
        self.send_window = send_window
        #: Whether the stream waits for its turn to send.
        self.is_ready = False
        #: Whether the stream is gone.
        self.closed = False
        #: The part of the response's body that waits.
        self.backlog: Backlog | None = None
        # The head of the response, while it waits for the first piece of the body, and how many bytes of that
        # are still to come; None if nobody knows.
        self._head = b""
        self._left: int | None = None
        # Whether no more of the response comes, whether it lacks its end, and whether its end was sent.
        self._ends = self._breaks_off = self._sent_end = False
        # The trailers as a header block, until they are sent.
        self._trailers = b""
        # Ticks of the channel's clock since something happened that is waited for.
        self._silent = 0

    def _response_precedes_body(self, request: Request) -> None:
        """Called when the response begins before the body of ``request`` has arrived."""
        raise NotImplementedError

    def _close(self, code: ErrorCode) -> None:
        """Called when the whole response was sent; ``code`` is for the rest of the request, if any."""
        raise NotImplementedError

    def abort(self) -> None:
        """Reset the stream, so that the client sees that the response is incomplete."""
        raise NotImplementedError

    @property
    def reactor(self) -> Any:
        """The reactor that serves the connection."""
        return self.channel.factory.reactor

    @property
    def waiting(self) -> int:
        """How many bytes wait for the client. Read in any thread."""
        backlog = self.backlog  # read once: this may be an app's thread
        return 0 if backlog is None else len(backlog)

    @property
    def blocked(self) -> bool:
        """Whether anything waits for the client."""
        return self.backlog is not None

    def start(
        self, request: Request, status: str, headers: Sequence[tuple[str, str]], length: int | None
    ) -> int | None:
        """Prepare the head of the response, as ``IConnection`` says."""
        factory = self.channel.factory
        head = encode_head(status, tuple(headers), length, request.bodyless)
        if not request.complete:
            self._response_precedes_body(request)
        block = head.block + stamp(factory.date, head.dated, head.served, factory.software)
        if factory.names_requests and request.request_id and not head.identified:
            block += encode_field("x-request-id", request.request_id)
        if factory.strictness and self.secure and not head.strict:
            block += encode_field("strict-transport-security", factory.strictness)
        self._head = block
        self._left = 0 if request.bodyless else head.length
        if factory.timed:
            request.answered = monotonic()
            request.head_bytes = len(block)
        return head.length

    def inform(self, status: str, headers: Sequence[tuple[str, str]]) -> None:
        """Send an interim response."""
        if not self.closed:
            self.channel.emit(self.channel.headers(self.id, encode_interim(status, headers)))

    def send(self, data: bytes) -> None:
        """Send a piece of the body."""
        if self.closed or self._sent_end or self._ends:
            return
        if self._left is not None:
            self._left -= len(data)
        self._write(data, self._left == 0)

    def _write(self, data: bytes, ends: bool) -> None:
        """Send ``data``; ``ends``: it is the last piece."""
        self.request.bytes_sent += len(data)
        if self._head:
            head, self._head = self._head, b""
            self.request.bytes_sent += len(head)
            self._sent_end = ends and not data
            self.channel.emit(self.channel.headers(self.id, head, END_STREAM if self._sent_end else 0))
        self._ends = ends
        if self.backlog is not None:
            self._wait(data)
        elif data or (ends and not self._sent_end):
            sent = self.channel.send_data(self, data, ends)
            if sent < len(data):
                self._wait(memoryview(data)[sent:])
            else:
                self._sent_end = ends

    def _wait(self, data: bytes | memoryview) -> None:
        """Keep ``data`` until it may be sent."""
        if self.backlog is None:
            self.backlog = Backlog(self.channel.factory.storage)
            self._silent = 0
        try:
            self.backlog.append(data)
        except OSError as error:
            noroom.cut_off(self.request, error)
            self.abort()
        else:
            self.channel.wants_to_send(self)

    def is_last(self, left: int) -> bool:
        """Return whether nothing follows a piece after which ``left`` bytes wait."""
        if left or not self._ends:
            return False
        self._sent_end = True
        return True

    def piece_sent(self) -> None:
        """Note that a piece of what waits was sent."""
        self._silent = 0
        backlog, request = self.backlog, self.request
        assert backlog is not None
        if len(backlog):
            request.progressed()
            return
        backlog.close()
        self.backlog = None
        request.progressed()
        if self.backlog is None and not self.closed:
            request.drained()
        if request.written and self.backlog is None and not self.closed:
            self._complete()

    def flush(self) -> None:
        """Send at once what waits for the end of the turn."""
        self.channel.flush()

    def end(self, trailers: Sequence[tuple[str, str]] = ()) -> None:
        """Complete the response: its last byte was written, but may still wait to be sent."""
        request = self.request
        if self.closed or request.written:
            return
        if self._left:  # the client must see that the rest is missing
            self._breaks_off = True
            if self._head:
                self._write(b"", False)
        elif not self._sent_end and not self._ends:
            self._trailers = encode_fields(trailers)
            self._write(b"", not trailers)
        request.written = True
        if self.backlog is None and not self.closed:
            self._complete()

    def _complete(self) -> None:
        """Note that the whole response was sent."""
        if not self._sent_end and not self._breaks_off:  # what waited was all, which was not known then
            self._sent_end = True
            if self._trailers:
                self.channel.emit(self.channel.headers(self.id, self._trailers, END_STREAM))
            else:
                self.channel.send_data(self, b"", True)
        self._close(ErrorCode.INTERNAL_ERROR if self._breaks_off else ErrorCode.NO_ERROR)
        self.channel.calm.earn()
        self.request.completed()
        self.channel.factory.ended(self.request)
        del self.request  # which knows this object: a cycle would keep both, and all of the connection
