"""Frames of RFC 6455, section 5.2, as a server sends them: whole, unmasked, uncompressed."""

from __future__ import annotations

from struct import Struct

from skitai.websocket.closing import NO_CODE, REASON_MAX

#: The first byte of frames that are the last of their message, by opcode.
TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
#: The bit of the second byte.
MASKED = 0x80
_SHORT, _MEDIUM, _LONG = Struct("!BB"), Struct("!BBH"), Struct("!BBQ")


def frame_of(message: str | bytes) -> bytes:
    """Return the one frame of a text (str) or binary (bytes) message."""
    if isinstance(message, str):
        return whole_frame(TEXT, message.encode())
    return whole_frame(BINARY, message)


def whole_frame(first: int, payload: bytes) -> bytes:
    """Return the frame with this first byte and payload."""
    length = len(payload)
    if length < 126:
        return _SHORT.pack(first, length) + payload
    if length < 65536:
        return _MEDIUM.pack(first, 126, length) + payload
    return _LONG.pack(first, 127, length) + payload


def control_frame(first: int, payload: bytes) -> bytes:
    """Return the frame of a close, ping or pong, whose payload has at most 125 bytes."""
    return bytes((first, len(payload))) + payload


def close_payload(code: int, reason: str) -> bytes:
    """Return the payload of a close frame; that of 1005 is empty. A long reason is cut (section 5.5)."""
    if code == NO_CODE:
        return b""
    return code.to_bytes(2) + reason.encode()[:REASON_MAX].decode(errors="ignore").encode()


def payload_span(data: bytes, at: int) -> tuple[int, int] | None:
    """Return where the payload of the frame at ``at`` begins and ends; None if its header is not whole."""
    left = len(data) - at
    if left < 2:
        return None
    second = data[at + 1]
    length = second & 127
    size = (2 if length < 126 else 4 if length == 126 else 10) + (4 if second & MASKED else 0)
    if left < size:
        return None
    if length == 126:
        length = int.from_bytes(data[at + 2 : at + 4])
    elif length == 127:
        length = int.from_bytes(data[at + 2 : at + 10])
    return at + size, at + size + length
