"""The receiving half of an HTTP/2 connection: frames in (RFC 9113, sections 5 and 6), events out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from skitai.server.http2 import frames
from skitai.server.http2.blocks import BlockReader
from skitai.server.http2.frames import ErrorCode, FrameReader, HTTP2Error, StreamError
from skitai.server.http2.head import check_trailers, malformed
from skitai.server.http2.limits import CONNECTION_WINDOW, RESET_COST, Calm
from skitai.server.http2.sending import SendingConnection

if TYPE_CHECKING:
    from skitai.server.http1.factory import HTTPFactory
    from skitai.server.http2.stream import Stream

#: Streams that the server has reset and whose frames may still be on their way.
_RESET_MAX = 256


class ReceivingConnection(SendingConnection):
    """Reads frames. All methods are called in the reactor thread.

    The connection's window is opened as soon as bytes have come; what holds a client back is the window of
    the stream.
    """

    __slots__ = (
        "_blocks",
        "_reader",
        "_received",
        "_reset",
        "_settled",
        "_untold",
        "last_id",
        "stream_window",
        "streams",
    )

    def __init__(self, factory: HTTPFactory) -> None:
        super().__init__(factory)
        #: The streams by number, and the highest number of one so far.
        self.streams: dict[int, Stream] = {}
        self.last_id = 0
        #: The window that a new stream has for its response.
        self.stream_window = 65_535
        self.calm = Calm(factory.now)
        self._reader = FrameReader()
        self._settled = False
        self._blocks = BlockReader(factory.limits.header_max)
        self._reset: dict[int, None] = {}
        # Bytes that may still come on the connection, and those for which the window was not yet opened.
        self._received = self._untold = 0

    # -- what the channel does -----------------------------------------------------------------------------

    def is_open(self) -> bool:
        """Return whether frames are still read."""
        raise NotImplementedError

    def head_received(self, stream_id: int, fields: Iterable[tuple[bytes, bytes]], ended: bool) -> None:
        """Take the head of a new stream."""
        raise NotImplementedError

    def pong_received(self, data: bytes) -> None:
        """Take the answer to a ping."""
        raise NotImplementedError

    def client_leaves(self) -> None:
        """Note that the client begins no more streams."""
        raise NotImplementedError

    # -- helpers -------------------------------------------------------------------------------------------

    def reset_stream(self, stream_id: int, code: ErrorCode) -> None:
        """Tell the client that a stream is over; what still comes of it is ignored."""
        self.ignore_stream(stream_id)
        self.emit(frames.reset_frame(stream_id, code))

    def ignore_stream(self, stream_id: int) -> None:
        """Ignore what still comes of a stream."""
        self._reset[stream_id] = None
        if len(self._reset) > _RESET_MAX:
            del self._reset[next(iter(self._reset))]

    def spend(self, what: str, cost: int = 1) -> None:
        """Count a frame that serves nobody; see ``Calm``."""
        self.calm.spend(self.factory.now, what, cost)

    # -- frames --------------------------------------------------------------------------------------------

    def read(self, data: bytes) -> None:
        """Read frames from the client. Raises HTTP2Error."""
        blocks = self._blocks
        for kind, flags, stream_id, payload in self._reader.read(data):
            if blocks.stream_id and (kind != frames.CONTINUATION or stream_id != blocks.stream_id):
                raise HTTP2Error(ErrorCode.PROTOCOL_ERROR, "a header block was interrupted")
            if not self._settled and kind != frames.SETTINGS:
                raise HTTP2Error(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            if kind < len(_HANDLERS):
                try:
                    _HANDLERS[kind](self, flags, stream_id, payload)
                except StreamError as fault:
                    if fault.why:
                        client = self.addresses["REMOTE_ADDR"]
                        self.factory.refusals.log.tell_of(client, b"", fault.code.name, fault.why)
                    self._end_stream(stream_id, fault.code)
            else:
                self.spend("unknown frames")
            if not self.is_open():
                return

    def _end_stream(self, stream_id: int, code: ErrorCode) -> None:
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream.reset(code)
        else:
            self.reset_stream(stream_id, code)
        self.spend("broken streams", RESET_COST)

    def _require_known(self, stream_id: int, what: str) -> None:
        """Check that a stream has begun, even if it is over."""
        if not stream_id or stream_id > self.last_id:
            raise HTTP2Error(ErrorCode.PROTOCOL_ERROR, f"{what} on an idle stream")

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        self._require_known(stream_id, "DATA")
        size = len(payload)
        self._received += size
        self._untold += size
        if self._received > CONNECTION_WINDOW:
            raise HTTP2Error(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the window has room for")
        if self._untold >= CONNECTION_WINDOW // 4:
            self.emit(frames.window_frame(0, self._untold))
            self._received -= self._untold
            self._untold = 0
        data = frames.unpadded(flags, payload)
        stream = self.streams.get(stream_id)
        ended = bool(flags & frames.END_STREAM)
        if not data and not ended:
            self.spend("empty DATA")
        if stream is None:
            self.spend("DATA for streams that are gone")
            if stream_id not in self._reset:
                self.reset_stream(stream_id, ErrorCode.STREAM_CLOSED)
            return
        if stream.ended:
            raise StreamError(ErrorCode.STREAM_CLOSED)
        stream.data_received(data, size)
        if ended and not stream.closed:
            stream.body_ended()

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id & 1:
            raise HTTP2Error(ErrorCode.PROTOCOL_ERROR, "HEADERS on a stream that no client may begin")
        block = frames.without_priority(flags, stream_id, frames.unpadded(flags, payload))
        if flags & frames.END_HEADERS:
            self._fields_received(stream_id, flags, self._blocks.decode(block))
        else:
            self._blocks.begin(stream_id, flags, block)

    def _on_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        blocks = self._blocks
        if not blocks.stream_id:
            raise HTTP2Error(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self.spend("CONTINUATION")
        blocks.add(payload)
        if flags & frames.END_HEADERS:
            self._fields_received(stream_id, blocks.flags, blocks.end())

    def _fields_received(self, stream_id: int, flags: int, fields: Iterable[tuple[bytes, bytes]]) -> None:
        ended = bool(flags & frames.END_STREAM)
        stream = self.streams.get(stream_id)
        if stream is not None:
            if stream.ended:
                raise StreamError(ErrorCode.STREAM_CLOSED)
            if not ended or stream.taken:  # a tunnel has no trailers (section 8.5)
                raise malformed("it has a second head that is no trailers")
            check_trailers(fields)
            stream.body_ended()
        elif stream_id > self.last_id:
            self.last_id = stream_id
            self.head_received(stream_id, fields, ended)
        elif stream_id in self._reset:
            self.spend("HEADERS for streams that are gone")
        else:
            raise HTTP2Error(ErrorCode.STREAM_CLOSED, "HEADERS on a stream that is over")

    def _on_priority(self, flags: int, stream_id: int, payload: bytes) -> None:  # noqa: ARG002 - has none
        if not stream_id:
            raise HTTP2Error(ErrorCode.PROTOCOL_ERROR, "PRIORITY without a stream")
        frames.check_priority(stream_id, payload)
        self.spend("PRIORITY")

    def _on_reset(self, flags: int, stream_id: int, payload: bytes) -> None:  # noqa: ARG002 - has none
        self._require_known(stream_id, "RST_STREAM")
        frames.read_number(payload, "RST_STREAM")
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream.lost()
        self.spend("RST_STREAM", RESET_COST)

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise HTTP2Error(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        # Each setting counts: a window is that of all streams.
        self.spend("SETTINGS", 1 + len(payload) // frames.SETTING_SIZE)
        if flags & frames.ACK:
            if payload:
                raise HTTP2Error(ErrorCode.FRAME_SIZE_ERROR, "an acknowledgement with settings")
            return
        self._settled = True
        for setting, value in frames.read_settings(payload):
            if setting == frames.INITIAL_WINDOW_SIZE:
                self._resize_windows(value)
            elif setting == frames.ENABLE_PUSH and value > 1:
                raise HTTP2Error(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")
            elif setting == frames.MAX_FRAME_SIZE and not frames.FRAME_MAX <= value < 1 << 24:
                raise HTTP2Error(ErrorCode.PROTOCOL_ERROR, "a MAX_FRAME_SIZE out of bounds")
        self.emit(frames.settings_ack())

    def _resize_windows(self, size: int) -> None:
        """Change the windows of all streams, which may become negative (section 6.9.2)."""
        change = size - self.stream_window
        self.stream_window = size
        if size > frames.LARGEST:
            raise HTTP2Error(ErrorCode.FLOW_CONTROL_ERROR, "a window that is too large")
        for stream in list(self.streams.values()):
            if not self.window_opened(stream, change):
                raise HTTP2Error(ErrorCode.FLOW_CONTROL_ERROR, "a window that is too large")

    def _on_push(self, flags: int, stream_id: int, payload: bytes) -> None:  # noqa: ARG002 - always wrong
        raise HTTP2Error(ErrorCode.PROTOCOL_ERROR, "a client cannot push")

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise HTTP2Error(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise HTTP2Error(ErrorCode.FRAME_SIZE_ERROR, "PING of a wrong length")
        self.spend("PING")
        if flags & frames.ACK:
            self.pong_received(payload)
        else:
            self.emit(frames.ping_frame(payload, frames.ACK))

    def _on_goaway(self, flags: int, stream_id: int, payload: bytes) -> None:  # noqa: ARG002 - has none
        if stream_id:
            raise HTTP2Error(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise HTTP2Error(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY of a wrong length")
        self.client_leaves()

    def _on_window(self, flags: int, stream_id: int, payload: bytes) -> None:  # noqa: ARG002 - has none
        increment = frames.read_number(payload, "WINDOW_UPDATE") & frames.LARGEST
        if stream_id:
            self._require_known(stream_id, "WINDOW_UPDATE")
        self.spend("WINDOW_UPDATE")
        stream = self.streams.get(stream_id) if stream_id else None
        if stream_id and stream is None:
            return
        if not increment or not self.window_opened(stream, increment):
            code = ErrorCode.FLOW_CONTROL_ERROR if increment else ErrorCode.PROTOCOL_ERROR
            if stream is not None:
                raise StreamError(code)
            raise HTTP2Error(code, "a window that is too large, or opened by nothing")


_HANDLERS: tuple[Callable[[ReceivingConnection, int, int, bytes], None], ...] = (
    ReceivingConnection._on_data,
    ReceivingConnection._on_headers,
    ReceivingConnection._on_priority,
    ReceivingConnection._on_reset,
    ReceivingConnection._on_settings,
    ReceivingConnection._on_push,
    ReceivingConnection._on_ping,
    ReceivingConnection._on_goaway,
    ReceivingConnection._on_window,
    ReceivingConnection._on_continuation,
)
