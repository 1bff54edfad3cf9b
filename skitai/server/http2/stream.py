"""One stream of an HTTP/2 connection: one request and its response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.python.failure import Failure
from zope.interface import implementer

from skitai.errors import MisuseError
from skitai.interfaces import IConnection
from skitai.server.http1.head import HeadError
from skitai.server.http1.states import BodyUse
from skitai.server.http2.answering import AnsweringStream
from skitai.server.http2.fields import CONTINUE
from skitai.server.http2.frames import ErrorCode, StreamError, window_frame
from skitai.server.http2.limits import STREAM_WINDOW
from skitai.server.request import noroom

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol

    from skitai.server.http2.channel import HTTP2Channel
    from skitai.server.request.request import Request

# For the hot path: in Python 3.11, looking up a member of an Enum costs a call.
_NONE, _HELD, _COLLECTED = BodyUse.NONE, BodyUse.HELD, BodyUse.COLLECTED
_STREAMED, _DROPPED = BodyUse.STREAMED, BodyUse.DROPPED
_READ = (_COLLECTED, _STREAMED)


@implementer(IConnection)
class Stream(AnsweringStream):
    """What carries one request. All methods are called in the reactor thread."""

    __slots__ = ("_body_use", "_received", "_untold", "ended", "receive_window")

    #: Whether another protocol has it.
    taken = False

    def __init__(self, channel: HTTP2Channel, stream_id: int, send_window: int) -> None:
        super().__init__(channel, stream_id, send_window)
        #: Bytes of the request's body that the client may send.
        self.receive_window = STREAM_WINDOW
        #: Whether the client has ended its half.
        self.ended = False
        self._body_use = _NONE
        # Bytes of the body that came, and those that were taken but for which the window was not yet opened.
        self._received = self._untold = 0

    # -- the request ---------------------------------------------------------------------------------------

    def begin(self, request: Request) -> None:
        """Have ``request`` answered, or decided on if it has a body."""
        self.request = request
        self.ended = request.complete
        factory = self.channel.factory
        factory.begin(request, self.channel)
        if request.complete or request.refusal:
            factory.handle(request)
            return
        self._body_use = _HELD
        is_held = factory.judge(request)
        if self.closed or self._body_use is not _HELD or is_held:
            return
        self._body_use = _COLLECTED
        if request.collect_body():
            self._read_body()
        else:
            self._refuse(413)

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
            self._refuse_to_keep(error)
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
                self._refuse_to_keep(error)
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
            self.channel.factory.handle(request)
        self._open_window()

    def _open_window(self) -> None:
        """Let the client send again as much as was taken."""
        if self.closed or self.ended or self._body_use not in _READ or self._is_paused():
            return
        if self._untold >= STREAM_WINDOW // 2:
            self.receive_window += self._untold
            self.channel.emit(window_frame(self.id, self._untold))
            self._untold = 0

    def _is_paused(self) -> bool:
        return self.request.stream is not None and self.request.stream.paused

    def _read_body(self) -> None:
        """Handle the part of the body that has arrived, and have the rest sent."""
        request = self.request
        if request.expects_continue and not request.bytes_sent and not self._received:
            self.channel.emit(self.channel.headers(self.id, CONTINUE))
        request.expects_continue = False
        self._silent = 0
        self._handle_body()

    def _refuse_to_keep(self, error: OSError) -> None:
        self._refuse(503, f"its body cannot be kept: {noroom.why(error)}")

    def _refuse(self, code: int, why: str = "") -> None:
        """Refuse the request, unless its response has begun."""
        request = self.request
        request.refuse(code, why)
        self._body_use = _DROPPED
        if request.stream is not None:  # its sink may answer the request, which then needs no refusal
            request.stream.fail(HeadError(code))
        if not self.closed and not request.status_code:
            self.channel.factory.handle(request)

    # -- the end -------------------------------------------------------------------------------------------

    def _close(self, code: ErrorCode) -> None:
        """Forget the stream; tell the client so unless both halves have ended."""
        self.closed = True
        if self.backlog is not None:
            self.backlog.close()
            self.backlog = None
        self.channel.stream_closed(self, None if self.ended and self._sent_end else code)

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
        request = self.request
        if not request.gone:
            reason: Any = error or ConnectionLost("the client reset the stream")
            request.connectionLost(Failure(reason))  # type: ignore[no-untyped-call]
            self.channel.factory.ended(request)
        del self.request  # as when it is complete

    def tick(self, seconds: float, reads: bool = False) -> None:
        """Check the time-outs; called about once a second while the stream is not closed.

        ``seconds`` is the config's ``response_timeout``; ``reads``: the client reads what it got before.
        """
        awaits_body = self._body_use in _READ and not self.request.status_code and not self._is_paused()
        if not awaits_body and self.backlog is None:
            self._silent = 0
            return
        if self.backlog is not None and reads and self.send_window > 0:
            self._silent = 0
            return
        self._silent += 1
        if self.backlog is not None:
            if self._silent > 2 * seconds:
                self.reset(ErrorCode.CANCEL)
        elif self._silent > seconds:
            self._refuse(408)

    # -- what happens with the body: a part of IConnection -------------------------------------------------

    def _response_precedes_body(self, request: Request) -> None:
        if self._body_use is _STREAMED:
            return
        self._body_use = _DROPPED
        if request.spool is not None:
            request.spool.drop()

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

    def take_over(
        self,
        request: Request,  # noqa: ARG002 - of IConnection
        protocol: IProtocol,  # noqa: ARG002 - of IConnection
        status: str,  # noqa: ARG002 - of IConnection
        headers: Sequence[tuple[str, str]] | None,  # noqa: ARG002 - of IConnection
    ) -> None:
        """Refuse: only the stream of an extended CONNECT becomes a connection of another protocol."""
        raise MisuseError("this stream of HTTP/2 cannot be taken over")

    def stop(self) -> None:
        """Do nothing: the server stops, and the response ends as ever."""
