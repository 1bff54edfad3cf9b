"""Frames of RFC 6455, section 5.2, as a server sends them: whole, unmasked, uncompressed."""

from __future__ import annotations

from struct import Struct

_TEXT, _BINARY = 0x81, 0x82
_SHORT, _MEDIUM, _LONG = Struct("!BB"), Struct("!BBH"), Struct("!BBQ")


def frame_of(message: str | bytes) -> bytes:
    """Return the one frame of a text (str) or binary (bytes) message."""
    if isinstance(message, str):
        first, payload = _TEXT, message.encode()
    else:
        first, payload = _BINARY, message
    length = len(payload)
    if length < 126:
        return _SHORT.pack(first, length) + payload
    if length < 65536:
        return _MEDIUM.pack(first, 126, length) + payload
    return _LONG.pack(first, 127, length) + payload
