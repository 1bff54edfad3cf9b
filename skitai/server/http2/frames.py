"""The frames of HTTP/2 (RFC 9113, sections 4 and 6): bytes in, frames out, and the other way round."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct

from skitai.errors import SkitaiError

#: What a client sends before its first frame (section 3.4).
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#: The largest payload of a frame, in both directions: what all peers take (section 4.2).
FRAME_MAX = 16_384
#: The largest window, increment and stream identifier.
LARGEST = 2**31 - 1

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
#: Flags; the first means ACK for SETTINGS and PING.
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

#: Settings (section 6.5.2).
ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(2, 7)
#: Streams may become connections of another protocol (RFC 8441, section 3).
ENABLE_CONNECT_PROTOCOL = 8

_HEADER = Struct("!BHBBL")
_SETTING = Struct("!HL")
#: Bytes of one setting.
SETTING_SIZE = _SETTING.size
_NUMBER = Struct("!L")
_PAIR = Struct("!LL")
_PRIORITY_SIZE = 5

Frame = tuple[int, int, int, bytes]


class ErrorCode(IntEnum):
    """Why a stream or a connection ends (section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class HTTP2Error(SkitaiError):
    """The client breaks the rules so that its connection must end (section 5.4.1)."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        self.code = code
        super().__init__(reason)


class StreamError(SkitaiError):
    """The client breaks the rules within one stream, which ends; the others go on (section 5.4.2)."""

    def __init__(self, code: ErrorCode, why: str = "") -> None:
        self.code = code
        #: A sentence for the log if a request is refused by it: see ``RefusalLog``.
        self.why = why
        super().__init__(code.name)


class FrameReader:
    """Cuts the input of one connection into frames."""

    __slots__ = ("_preface", "_rest")

    def __init__(self) -> None:
        #: What is still to come of the preface.
        self._preface = PREFACE
        self._rest = b""

    def read(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that ``data`` completes: kind, flags, stream and payload.

        Raises HTTP2Error for one that is too large, and for input that does not begin with the preface.
        """
        if self._preface:
            data = self._skip_preface(data)
        if self._rest:
            data = self._rest + data
        start, end = 0, len(data)
        while end - start >= _HEADER.size:
            high, low, kind, flags, stream_id = _HEADER.unpack_from(data, start)
            length = high << 16 | low
            if length > FRAME_MAX:
                raise HTTP2Error(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            after = start + _HEADER.size + length
            if after > end:
                break
            yield kind, flags, stream_id & LARGEST, data[start + _HEADER.size : after]
            start = after
        self._rest = data[start:]

    def _skip_preface(self, data: bytes) -> bytes:
        expected = self._preface[: len(data)]
        if data[: len(expected)] != expected:
            raise HTTP2Error(ErrorCode.PROTOCOL_ERROR, "the connection does not begin with the preface")
        self._preface = self._preface[len(expected) :]
        return data[len(expected) :]


def frame_header(kind: int, flags: int, stream_id: int, length: int) -> bytes:
    """Return the nine bytes before a payload of ``length`` bytes."""
    return _HEADER.pack(length >> 16, length & 0xFFFF, kind, flags, stream_id)


def headers_frames(stream_id: int, block: bytes, flags: int = 0) -> bytes:
    """Return the header block of one message, in as many frames as it takes; ``flags`` are of the first."""
    if len(block) <= FRAME_MAX:
        return frame_header(HEADERS, flags | END_HEADERS, stream_id, len(block)) + block
    pieces = [block[start : start + FRAME_MAX] for start in range(0, len(block), FRAME_MAX)]
    parts = []
    for number, piece in enumerate(pieces):
        kind, own = (CONTINUATION, 0) if number else (HEADERS, flags)
        if number == len(pieces) - 1:
            own |= END_HEADERS
        parts += [frame_header(kind, own, stream_id, len(piece)), piece]
    return b"".join(parts)


def reset_frame(stream_id: int, code: ErrorCode) -> bytes:
    """Return a frame that ends a stream."""
    return frame_header(RST_STREAM, 0, stream_id, _NUMBER.size) + _NUMBER.pack(code)


def settings_frame(settings: dict[int, int]) -> bytes:
    """Return a frame with ``settings``."""
    payload = b"".join(_SETTING.pack(*setting) for setting in settings.items())
    return frame_header(SETTINGS, 0, 0, len(payload)) + payload


def settings_ack() -> bytes:
    """Return the acknowledgement of settings."""
    return frame_header(SETTINGS, ACK, 0, 0)


def ping_frame(data: bytes, flags: int = 0) -> bytes:
    """Return a ping with eight bytes of ``data``."""
    return frame_header(PING, flags, 0, len(data)) + data


def goaway_frame(last_id: int, code: ErrorCode, reason: str = "") -> bytes:
    """Return a frame that says that streams above ``last_id`` are not served."""
    payload = _PAIR.pack(last_id, code) + reason.encode()
    return frame_header(GOAWAY, 0, 0, len(payload)) + payload


def window_frame(stream_id: int, increment: int) -> bytes:
    """Return a frame that lets the client send ``increment`` more bytes."""
    return frame_header(WINDOW_UPDATE, 0, stream_id, _NUMBER.size) + _NUMBER.pack(increment)


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """Return the settings in a payload, in their order. Raises HTTP2Error."""
    if len(payload) % _SETTING.size:
        raise HTTP2Error(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of a wrong length")
    return list(_SETTING.iter_unpack(payload))


def read_number(payload: bytes, what: str) -> int:
    """Return the number that is the whole payload. Raises HTTP2Error."""
    if len(payload) != _NUMBER.size:
        raise HTTP2Error(ErrorCode.FRAME_SIZE_ERROR, f"{what} of a wrong length")
    number: int = _NUMBER.unpack(payload)[0]
    return number


def unpadded(flags: int, payload: bytes) -> bytes:
    """Return the payload of DATA or HEADERS without padding (section 6.1). Raises HTTP2Error."""
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise HTTP2Error(ErrorCode.PROTOCOL_ERROR, "more padding than payload")
    return payload[1 : len(payload) - payload[0]]


def without_priority(flags: int, stream_id: int, payload: bytes) -> bytes:
    """Return the payload of HEADERS without the priority, which is ignored (section 5.3.2)."""
    if not flags & HAS_PRIORITY:
        return payload
    check_priority(stream_id, payload[:_PRIORITY_SIZE])
    return payload[_PRIORITY_SIZE:]


def check_priority(stream_id: int, payload: bytes) -> None:
    """Raise HTTP2Error for a priority that is malformed."""
    if len(payload) != _PRIORITY_SIZE:
        raise HTTP2Error(ErrorCode.FRAME_SIZE_ERROR, "a priority of a wrong length")
    if _NUMBER.unpack_from(payload)[0] & LARGEST == stream_id:
        raise HTTP2Error(ErrorCode.PROTOCOL_ERROR, "a stream that depends on itself")
