"""Compression of messages: permessage-deflate (RFC 7692), with autobahn's codec.

No message refers to an earlier one ("no context takeover"), and our window is small: so a socket has a
compressor, 39 KB, only while a message is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from skitai.websocket.frames import BINARY, TEXT, frame_of, whole_frame

#: The window of our compressor, in bits, and its memory level.
WINDOW_BITS, MEMORY_LEVEL = 12, 5
#: Messages of fewer bytes are sent as they are.
_SMALL = 128
#: The bit of the first byte (RFC 7692, section 6).
_COMPRESSED = 0x40


@attrs.frozen
class Deflate:
    """What both ends of a websocket agreed upon: ``codec()`` returns a new object of autobahn for it."""

    codec: Callable[[], Any]

    def frame_of(self, message: str | bytes) -> bytes:
        """Return the one frame of a text (str) or binary (bytes) message, compressed if that is worth it."""
        if len(message) < _SMALL:
            return frame_of(message)
        first, payload = (TEXT, message.encode()) if isinstance(message, str) else (BINARY, message)
        codec = self.codec()
        codec.start_compress_message()
        packed = codec.compress_message_data(payload) + codec.end_compress_message()
        return whole_frame(first | _COMPRESSED, packed)
