"""Streams that become connections of another protocol: websockets over HTTP/2 (RFC 8441)."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from skitai.errors import MisuseError
from skitai.server.http1.states import BodyUse
from skitai.server.http2.frames import ErrorCode, StreamError, window_frame
from skitai.server.http2.limits import STREAM_WINDOW
from skitai.server.http2.stream import Stream
from skitai.server.http2.streamtransport import StreamTransport

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol

    from skitai.server.http2.channel import HTTP2Channel
    from skitai.server.request.request import Request

#: What accepts in HTTP/2: there is no 101 (RFC 8441, section 5).
ACCEPTED = "200 OK"
#: Fields of a 101 that a stream does not have, beside those of the connection.
_NOT_ACCEPTING = frozenset(("sec-websocket-accept", "content-length"))
_TEXT = [("Content-Type", "text/plain; charset=utf-8")]
_DECLINED = b"This address takes no websockets.\n"
#: Ticks of the channel, about a second each, that a client has to end its half when ours has ended.
_LINGER_TICKS = 3


class TunnelStream(Stream):
    """The stream of an extended CONNECT. All methods are called in the reactor thread.

    Its request is one with ``upgrade``, as in HTTP/1.1. What the client sends waits, in the window of the
    stream, until another protocol takes it.
    """

    __slots__ = ("_declines", "_early", "_pipe", "taken")

    def __init__(self, channel: HTTP2Channel, stream_id: int, send_window: int) -> None:
        super().__init__(channel, stream_id, send_window)
        self.taken = False
        self._pipe: StreamTransport | None = None
        # Whether the response was a 2xx, which would accept.
        self._declines = False
        # What has come and nobody has taken.
        self._early = bytearray()

    # -- the request ---------------------------------------------------------------------------------------

    def begin(self, request: Request) -> None:
        """Have it decided what becomes of ``request``."""
        self.request = request
        factory = self.channel.factory
        factory.begin(request, self.channel)
        if request.refusal:
            factory.handle(request)
            return
        self._body_use = BodyUse.HELD
        if not factory.judge(request) and not self.closed:
            request.fail(400, detail=_DECLINED.decode().strip())

    def start(
        self, request: Request, status: str, headers: Sequence[tuple[str, str]], length: int | None
    ) -> int | None:
        """Prepare the head of a response that declines: in the place of a 2xx, which would accept, a 400."""
        if self.taken or status[:1] != "2":
            return super().start(request, status, headers, length)
        super().start(request, "400 Bad Request", _TEXT, len(_DECLINED))
        self._declines = True
        self._left = 0
        self._write(_DECLINED, True)
        return None

    def end(self, trailers: Sequence[tuple[str, str]] = ()) -> None:
        """Complete the response."""
        if self._declines and not self.closed:
            self.request.status_code = 400
        super().end(trailers)

    def take_over(
        self, request: Request, protocol: IProtocol, status: str, headers: Sequence[tuple[str, str]] | None
    ) -> None:
        """Accept, and give the stream to ``protocol``; see ``IConnection``. ``status`` must be 101."""
        if self.closed or self.taken:
            raise MisuseError("a stream can be taken over once, by a resource that was asked at the head")
        if status[:3] != "101":
            raise ValueError(f"{status!r} does not hand the stream over: it must be 101")
        factory = self.channel.factory
        pipe = StreamTransport(self, protocol, answers=headers is None)
        self.taken = True
        if headers is not None:
            try:
                self.accept(headers)
            except ValueError:
                self.taken = False
                raise
        elif factory.timed:
            request.answered = monotonic()
        self._pipe = pipe
        request.status_code = int(ACCEPTED[:3])
        request.written = True
        request.completed()
        factory.ended(request)
        pipe.begin()
        self.read_on()
        if factory.stopping and not self.closed:  # nobody has told this protocol yet
            pipe.stop()

    # -- what its transport does ---------------------------------------------------------------------------

    @property
    def sent_end(self) -> bool:
        """Whether our half has ended."""
        return self._sent_end

    def accept(self, headers: Sequence[tuple[str, str]]) -> None:
        """Send the head that accepts. Raises ValueError for headers that would break the framing."""
        if not self.closed:
            super().start(self.request, ACCEPTED, _own_fields(headers), None)
            self._write(b"", False)

    def decline(self, status: str, headers: Sequence[tuple[str, str]]) -> None:
        """Send the head of a response without a body: the protocol that has taken over says no.

        Raises ValueError for headers that would break the framing.
        """
        if not self.closed:
            super().start(self.request, status, _own_fields(headers), 0)
            self._write(b"", True)
            self.reactor.callLater(0, self._end_well)

    def write(self, data: bytes) -> None:
        """Send bytes of the protocol, unless our half has ended."""
        if not (self.closed or self._ends or self._sent_end):
            self._write(data, False)

    def end_output(self) -> None:
        """End our half when all is sent."""
        if not (self.closed or self._ends or self._sent_end):
            self._write(b"", True)
            if self.backlog is None:
                self._output_ended()

    def read_on(self) -> None:
        """Give the protocol what has come, soon: no protocol expects that within its own call."""
        self.reactor.callLater(0, self._deliver)

    def cancel(self) -> None:
        """Reset the stream: what RFC 8441 has in the place of a reset of TCP (section 5)."""
        self.reset(ErrorCode.CANCEL)

    # -- frames --------------------------------------------------------------------------------------------

    def data_received(self, data: bytes, size: int) -> None:
        """Take bytes of the protocol. Raises StreamError for more than the window has room for."""
        self.receive_window -= size
        if self.receive_window < 0:
            raise StreamError(ErrorCode.FLOW_CONTROL_ERROR)
        self._untold += size
        pipe = self._pipe
        if pipe is None or pipe.paused or self._early:
            self._early += data
        elif data:
            pipe.received(data)
        self._open_window()

    def body_ended(self) -> None:
        """Note that the client has ended its half."""
        self.ended = True
        if self._pipe is not None and not self._pipe.paused and not self._early:
            self._input_ended(self._pipe)

    def _deliver(self) -> None:
        pipe = self._pipe
        if pipe is None or pipe.paused or self.closed:
            return
        if self._early:
            data, self._early = bytes(self._early), bytearray()
            pipe.received(data)
        self._open_window()
        if self.ended and not pipe.paused and not self._early:
            self._input_ended(pipe)

    def _input_ended(self, pipe: StreamTransport) -> None:
        if self.closed:
            return
        pipe.input_ended()
        self._finish()

    def _open_window(self) -> None:
        """Let the client send again as much as the protocol has taken; nothing once our half has ended."""
        if self._pipe is None or self._pipe.paused or self._early or self.ended or self.closed:
            return
        if not self._pipe.lost and self._untold >= STREAM_WINDOW // 2:
            self.receive_window += self._untold
            self.channel.emit(window_frame(self.id, self._untold))
            self._untold = 0

    def piece_sent(self) -> None:
        """Note that a piece of what waits was sent."""
        if self._pipe is None:
            super().piece_sent()
            return
        self._silent = 0
        backlog = self.backlog
        if backlog is not None and not len(backlog):
            backlog.close()
            self.backlog = None
            if self._ends:
                self._output_ended()
            else:
                self._pipe.drained()

    # -- the end -------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Tell the protocol that the server stops."""
        if self._pipe is not None:
            self._pipe.stop()

    def _output_ended(self) -> None:
        self._sent_end = True
        self._silent = 0
        assert self._pipe is not None
        self._pipe.output_ended()
        self._finish()

    def _finish(self) -> None:
        """Forget the stream if both halves have ended; soon, because no protocol expects that in a call."""
        if self.ended and self._sent_end:
            self.reactor.callLater(0, self._end_well)

    def _end_well(self) -> None:
        if not self.closed:
            self.channel.calm.earn()
            self._close(ErrorCode.NO_ERROR)
            self._tell(ConnectionDone())

    def _tell(self, error: BaseException | None) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is None:
            super()._tell(error)
            return
        self._early = bytearray()
        pipe.end(None if error is None else Failure(error))  # type: ignore[no-untyped-call]
        del self.request

    def tick(self, seconds: float, reads: bool = False) -> None:
        """End what takes too long when our half is to end: that the client takes the rest, or ends its own.

        Before that, the protocol itself sees after clients that are slow or gone.
        """
        if self._pipe is None:
            super().tick(seconds, reads)
            return
        self._silent += 1
        if self._sent_end:
            if self._pipe.lost and self._silent >= _LINGER_TICKS:
                self._end_well()
        elif not self._ends:
            self._silent = 0
        elif self._silent > 2 * seconds:
            self.cancel()


def _own_fields(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [field for field in headers if field[0].lower() not in _NOT_ACCEPTING]
