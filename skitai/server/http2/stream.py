"""One stream of an HTTP/2 connection: one request and its response."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from skitai.errors import MisuseError
from skitai.interfaces import IConnection
from skitai.server.http1.backlog import Backlog
from skitai.server.http1.head import HeadError
from skitai.server.http1.states import BodyUse
from skitai.server.http2.fields import CONTINUE, encode_field, encode_head, stamp
from skitai.server.http2.frames import END_STREAM, ErrorCode, StreamError
from skitai.server.http2.limits import STREAM_WINDOW
from skitai.server.request.connection import Connection

if TYPE_CHECKING:
    from skitai.server.http2.channel import HTTP2Channel
    from skitai.server.request.request import Request

_log = Logger()

# For the hot path: in Python 3.11, looking up a member of an Enum costs a call.
_NONE, _HELD, _COLLECTED = BodyUse.NONE, BodyUse.HELD, BodyUse.COLLECTED
_STREAMED, _DROPPED = BodyUse.STREAMED, BodyUse.DROPPED
_READ = (_COLLECTED, _STREAMED)


@implementer(IConnection)
class Stream(Connection):
    """What carries one request. All methods are called in the reactor thread."""

    __slots__ = (
        "_body_use",
        "_breaks_off",
        "_channel",
        "_ends",
        "_head",
        "_left",
        "_received",
        "_sent_end",
        "_silent",
        "_untold",
        "backlog",
        "closed",
        "ended",
        "id",
        "is_ready",
        "receive_window",
        "request",
        "send_window",
    )

    request: Request

    def __init__(self, channel: HTTP2Channel, stream_id: int, send_window: int) -> None:
        self.transport = channel.transport
        self.client, self.server = channel.client, channel.server
        self.addresses, self.secure = channel.addresses, channel.secure
        self._direct = (channel.client, channel.server, channel.secure)
        self._channel = channel
        self.id = stream_id
        #: Bytes of the response's body that the client lets this stream send, and those that it may send.
        self.send_window = send_window
        self.receive_window = STREAM_WINDOW
        #: Whether the stream waits for its turn to send.
        self.is_ready = False
        #: Whether the client has ended its half, and whether the stream is gone.
        self.ended = self.closed = False
        #: The part of the response's body that waits.
        self.backlog: Backlog | None = None
        self._body_use = _NONE
        # Bytes of the body that came, and those that were taken but for which the window was not yet opened.
        self._received = self._untold = 0
        self._head = b""
        self._left: int | None = None
        # Whether no more of the response comes, whether it lacks its end, and whether its end was sent.
        self._ends = self._breaks_off = self._sent_end = False
        # Ticks of the channel's clock since something happened that is waited for.
        self._silent = 0

    # -- the request ---------------------------------------------------------------------------------------

    def begin(self, request: Request) -> None:
        """Have ``request`` answered, or decided on if it has a body."""
        self.request = request
        self.ended = request.complete
        factory = self._channel.factory
        factory.requests += 1
        if factory.forwarding is not None:
            factory.forwarding(request)
        if request.complete or request.refusal:
            factory.handle(request)
            return
        self._body_use = _HELD
        is_held = factory.judge(request)
        if self.closed or self._body_use is not _HELD or is_held:
            return
        self._body_use = _COLLECTED
        length, spool = request.body_length, request.spool
        too_long = length is not None and length > request.body_max
        if spool is not None and (too_long or not spool.limit(request.body_max)):
            self._refuse(413)
        else:
            self._read_body()

    def data_received(self, data: bytes, size: int) -> None:
        """Take a piece of the body, for which the client has used ``size`` bytes of its window.

        Raises StreamError for more than was announced, or than the window has room for.
        """
        request = self.request
        self.receive_window -= size
        if self.receive_window < 0:
            raise StreamError(ErrorCode.FLOW_CONTROL_ERROR)
        self._untold += size
        self._received += len(data)
        self._silent = 0
        if request.body_length is not None and self._received > request.body_length:
            raise StreamError(ErrorCode.PROTOCOL_ERROR)
        if self._body_use in (_NONE, _DROPPED):
            return
        assert request.body is not None
        try:
            fits = request.body.append(data)
        except OSError as error:
            _log.error("cannot buffer the body of a request: {error}", error=error)
            self._refuse(503)
            return
        if not fits:
            self._refuse(413)
        else:
            self._handle_body()

    def body_ended(self) -> None:
        """Note that the body is complete. Raises StreamError if it is shorter than announced."""
        request = self.request
        self.ended = True
        if request.body_length is not None and self._received != request.body_length:
            raise StreamError(ErrorCode.PROTOCOL_ERROR)
        if self._body_use not in (_NONE, _DROPPED):
            try:
                if request.spool is not None:
                    request.spool.finish()
            except OSError as error:
                _log.error("cannot buffer the body of a request: {error}", error=error)
                self._refuse(503)
                return
        request.received()
        self._handle_body()

    def _handle_body(self) -> None:
        """Handle what has arrived of the body."""
        request, use = self.request, self._body_use
        if request.complete and use in _READ:
            self._body_use = _NONE
        if use is _STREAMED:
            assert request.stream is not None
            request.stream.deliver()
        elif use is _COLLECTED and request.complete:
            self._channel.factory.handle(request)
        self._open_window()

    def _open_window(self) -> None:
        """Let the client send again as much as was taken."""
        if self._body_use not in _READ or self._is_paused() or self.ended or self.closed:
            return
        if self._untold >= STREAM_WINDOW // 2:
            self.receive_window += self._untold
            self._channel.open_window(self, self._untold)
            self._untold = 0

    def _is_paused(self) -> bool:
        return self.request.stream is not None and self.request.stream.paused

    def _read_body(self) -> None:
        """Handle the part of the body that has arrived, and have the rest sent."""
        request = self.request
        if request.expects_continue and not request.bytes_sent and not self._received:
            self._channel.emit(self._channel.headers(self.id, CONTINUE))
        request.expects_continue = False
        self._silent = 0
        self._handle_body()

    def _refuse(self, code: int) -> None:
        """Refuse the request, unless its response has begun."""
        request = self.request
        request.refuse(code)
        self._body_use = _DROPPED
        if request.stream is not None:  # its sink may answer the request, which then needs no refusal
            request.stream.fail(HeadError(code))
        if not self.closed and not request.status_code:
            self._channel.factory.handle(request)

    # -- the response: a part of IConnection ---------------------------------------------------------------

    @property
    def reactor(self) -> Any:
        """The reactor that serves the connection."""
        return self._channel.factory.reactor

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
        factory = self._channel.factory
        head = encode_head(status, tuple(headers), length, request.bodyless)
        if not request.complete and self._body_use is not _STREAMED:
            self._body_use = _DROPPED
            if request.spool is not None:
                request.spool.drop()
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
            self._channel.emit(self._channel.headers(self.id, head, END_STREAM if self._sent_end else 0))
        self._ends = ends
        if self.backlog is not None:
            self._wait(data)
        elif data or (ends and not self._sent_end):
            sent = self._channel.send_data(self, data, ends)
            if sent < len(data):
                self._wait(memoryview(data)[sent:])
            else:
                self._sent_end = ends

    def _wait(self, data: bytes | memoryview) -> None:
        """Keep ``data`` until it may be sent."""
        if self.backlog is None:
            self.backlog = Backlog(self._channel.factory.storage)
            self._silent = 0
        try:
            self.backlog.append(data)
        except OSError as error:
            _log.error("{uri}: cannot buffer the response: {error}", uri=self.request.uri, error=error)
            self.abort()
        else:
            self._channel.wants_to_send(self)

    def is_last(self, left: int) -> bool:
        """Return whether nothing follows a piece after which ``left`` bytes wait."""
        if left or not self._ends:
            return False
        self._sent_end = True
        return True

    def piece_sent(self) -> None:
        """Note that a piece of what waits was sent."""
        self._silent = 0
        backlog = self.backlog
        assert backlog is not None
        if len(backlog):
            self.request.progressed()
            return
        backlog.close()
        self.backlog = None
        self.request.progressed()
        if self.backlog is None and not self.closed:
            self.request.drained()
        if self.request.written and self.backlog is None and not self.closed:
            self._complete()

    def flush(self) -> None:
        """Send at once what waits for the end of the turn."""
        self._channel.flush()

    def end(self) -> None:
        """Complete the response: its last byte was written, but may still wait to be sent."""
        request = self.request
        if self.closed or request.written:
            return
        if self._left:  # the client must see that the rest is missing
            self._breaks_off = True
            if self._head:
                self._write(b"", False)
        elif not self._sent_end and not self._ends:
            self._write(b"", True)
        request.written = True
        if self.backlog is None and not self.closed:
            self._complete()

    def _complete(self) -> None:
        """Note that the whole response was sent."""
        if not self._sent_end and not self._breaks_off:  # what waited was all, which was not known then
            self._sent_end = True
            self._channel.send_data(self, b"", True)
        self._close(ErrorCode.INTERNAL_ERROR if self._breaks_off else ErrorCode.NO_ERROR)
        self._channel.calm.earn(1)
        self.request.completed()
        self._channel.factory.ended(self.request)

    # -- the end -------------------------------------------------------------------------------------------

    def _close(self, code: ErrorCode) -> None:
        """Forget the stream; tell the client so unless both halves have ended."""
        self.closed = True
        if self.backlog is not None:
            self.backlog.close()
            self.backlog = None
        self._channel.stream_closed(self, None if self.ended and self._sent_end else code)

    def abort(self) -> None:
        """Reset the stream, so that the client sees that the response is incomplete."""
        self.reset(ErrorCode.INTERNAL_ERROR)

    def reset(self, code: ErrorCode) -> None:
        """End the stream with an error. The request is told in the next turn."""
        if not self.closed:
            self._sent_end = False
            self._close(code)
            self.reactor.callLater(0, self._tell, ConnectionAborted())

    def lost(self, reason: Failure | None = None) -> None:
        """Note that the client has reset the stream, or that the connection is gone."""
        if not self.closed:
            self.ended = self._sent_end = True
            self._close(ErrorCode.NO_ERROR)
            self._tell(None if reason is None else reason.value)

    def _tell(self, error: BaseException | None) -> None:
        if not self.request.gone:
            reason: Any = error or ConnectionLost("the client reset the stream")
            self.request.connectionLost(Failure(reason))  # type: ignore[no-untyped-call]
            self._channel.factory.ended(self.request)

    def tick(self, seconds: float) -> None:
        """Check the time-outs; called about once a second while the stream lasts.

        ``seconds`` is the config's ``response_timeout``.
        """
        awaits_body = self._body_use in _READ and not self.request.status_code and not self._is_paused()
        if not awaits_body and self.backlog is None:
            self._silent = 0
            return
        self._silent += 1
        if self.backlog is not None:
            if self._silent > 2 * seconds:
                self.reset(ErrorCode.CANCEL)
        elif self._silent > seconds:
            self._refuse(408)

    # -- what happens with the body: a part of IConnection -------------------------------------------------

    @property
    def holds_body(self) -> bool:
        """Whether it is still undecided what happens with the body."""
        return self._body_use is _HELD

    def stream_body(self) -> None:
        """Start to pass the body to the stream of the request."""
        request = self.request
        assert request.stream is not None
        self._body_use = _STREAMED
        request.stream.begin()
        if self.closed:  # the sink has answered already
            return
        if request.stream.too_long:
            self._refuse(413)
        elif not request.stream.paused:
            self._read_body()

    def body_wanted(self, wanted: bool) -> None:
        """Continue or stop the body that is streamed."""
        if not self.closed and self._body_use is _STREAMED and wanted and not self._is_paused():
            self._read_body()

    def take_over(self, *_: object) -> None:
        """Refuse: a stream is no connection that another protocol could have."""
        raise MisuseError("a stream of HTTP/2 cannot be taken over")
