"""The sending half of an HTTP/2 connection: frames of all its streams, in one write a turn."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from skitai.server.http1.output import Output
from skitai.server.http2.fields import NO_TABLE
from skitai.server.http2.frames import DATA, END_STREAM, FRAME_MAX, LARGEST, frame_header, headers_frames
from skitai.server.request import noroom
from skitai.server.request.connection import Connection

if TYPE_CHECKING:
    from skitai.server.http1.factory import HTTPFactory
    from skitai.server.http2.answering import AnsweringStream
    from skitai.server.http2.limits import Calm

#: Bytes that may wait for the end of the turn. More are worth a system call of their own.
_HELD_MAX = 128 * 1024
#: Bytes that may wait for the client before it is heard again: heads and frames without a window.
_WAITING_MAX = 512 * 1024


class SendingConnection(Connection):
    """Sends frames. All methods are called in the reactor thread.

    What a client does not let a stream send waits with that stream. Those that may send take turns, a frame
    each. While the socket takes nothing, none of them may. A client that takes no heads and asks for
    more is not heard until it has.
    """

    __slots__ = (
        "_ended",
        "_first_block",
        "_frames",
        "_is_due",
        "_is_unheard",
        "_ready",
        "_size",
        "calm",
        "factory",
        "output",
        "send_window",
    )

    output: Output
    calm: Calm

    def __init__(self, factory: HTTPFactory) -> None:
        self.factory = factory
        #: Bytes of bodies that the client lets the connection send.
        self.send_window = 65_535
        # What precedes the first header block; empty when that was sent.
        self._first_block = NO_TABLE
        self._frames: list[bytes | memoryview] = []
        self._size = 0
        self._is_due = False
        # Whether nothing is read from the client until it has taken what waits.
        self._is_unheard = False
        # Whether nothing can be sent any more.
        self._ended = False
        #: Streams of which something waits, and that may send something.
        self._ready: deque[AnsweringStream] = deque()

    def emit(self, *parts: bytes | memoryview) -> None:
        """Send frames, at the latest when the reactor's turn ends."""
        if self._ended:
            return
        self._frames += parts
        self._size += sum(map(len, parts))
        if not self._is_due:
            self._is_due = True
            self.factory.sending.add(self)

    def flush(self) -> None:
        """Send now what waits for the end of the turn."""
        self._is_due = False
        if not self._frames or self._ended:
            return
        data = b"".join(self._frames)
        self._frames = []
        self._size = 0
        try:
            self.output.write_now(data)
        except OSError as error:  # no room to buffer what the client has not read
            noroom.tell(self.addresses["REMOTE_ADDR"], "a connection of HTTP/2", error)
            self.transport.abortConnection()
            return
        if self.output.waiting > _WAITING_MAX and not self._is_unheard:
            self._is_unheard = True
            self.transport.pauseProducing()

    def hear(self) -> None:
        """Read on from the client: it has taken what waited."""
        if self._is_unheard:
            self._is_unheard = False
            self.transport.resumeProducing()

    def send_no_more(self) -> None:
        """Drop whatever is still sent: the connection ends."""
        self._ended = True
        self._frames = []
        self._ready.clear()  # streams, which know the connection

    def headers(self, stream_id: int, block: bytes, flags: int = 0) -> bytes:
        """Return the frames of a header block that goes to the client."""
        if self._first_block:
            block, self._first_block = self._first_block + block, b""
        return headers_frames(stream_id, block, flags)

    def send_data(self, stream: AnsweringStream, data: bytes, ends: bool) -> int:
        """Send as much of ``data`` as may be sent now, and return how much; ``ends``: it is the last piece.

        An empty last piece can always be sent.
        """
        if not data:
            self.emit(frame_header(DATA, END_STREAM if ends else 0, stream.id, 0))
            return 0
        view = memoryview(data)
        start = 0
        while start < len(data):
            size = self._may_send(stream, len(data) - start)
            if size <= 0:
                break
            after = start + size
            self._send_frame(stream, view[start:after], ends and after == len(data))
            start = after
        return start

    def _may_send(self, stream: AnsweringStream, size: int) -> int:
        if self._size > _HELD_MAX:
            self.flush()
        return 0 if self.output.blocked else min(size, FRAME_MAX, stream.send_window, self.send_window)

    def _send_frame(self, stream: AnsweringStream, data: bytes | memoryview, ends: bool) -> None:
        size = len(data)
        stream.send_window -= size
        self.send_window -= size
        self.calm.earn(size)
        self.emit(frame_header(DATA, END_STREAM if ends else 0, stream.id, size), data)

    def wants_to_send(self, stream: AnsweringStream) -> None:
        """Note that something of ``stream`` waits; it is sent when the windows and the socket allow it."""
        if stream.send_window > 0 and not stream.is_ready:
            stream.is_ready = True
            self._ready.append(stream)

    def pump(self) -> None:
        """Send what waits and may be sent: the windows have opened, or the socket takes more."""
        ready = self._ready
        while ready:
            stream = ready[0]
            size = self._may_send(stream, FRAME_MAX)
            if size <= 0 and stream.send_window > 0 and stream.backlog is not None:
                return
            ready.popleft()
            stream.is_ready = False
            if size > 0 and stream.backlog is not None:
                piece = stream.backlog.take(size)
                if piece:
                    self._send_frame(stream, piece, stream.is_last(len(stream.backlog)))
                stream.piece_sent()
                if stream.backlog is not None:
                    self.wants_to_send(stream)

    def window_opened(self, stream: AnsweringStream | None, increment: int) -> bool:
        """Open the window of ``stream`` or of the connection; return whether it stays within the rules."""
        target: Any = stream or self
        target.send_window += increment
        if target.send_window > LARGEST:
            return False
        if stream is not None and stream.backlog is not None:
            self.wants_to_send(stream)
        self.pump()
        return True
