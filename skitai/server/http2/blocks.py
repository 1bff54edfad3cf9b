"""Header blocks of a client: put together from frames, and decoded (RFC 9113, section 4.3; RFC 7541)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import cast

from hpack import Decoder, HPACKError, OversizedHeaderListError

from skitai.config.casters import show_size
from skitai.server.http2.frames import FRAME_MAX, ErrorCode, HTTP2Error

#: How much longer than a head may be all that the decoder makes of one: between both, the answer is 431.
_DECODED_TIMES = 4
#: More changes of the table's size than a block can have a use for: the least in between, and the last (RFC
#: 7541, section 4.2). The decoder takes any number, each of one byte and 2 us.
_TOO_MANY_SIZES = re.compile(rb"(?:[\x20-\x3e]|\x3f[\x80-\xff]*[\x00-\x7f]){3}")


class BlockReader:
    """Reads the header blocks of one connection, one after the other.

    A block is decoded even if nobody wants it: all later ones depend on it.
    """

    __slots__ = ("_block", "_decoder", "_header_max", "_size_max", "flags", "stream_id")

    def __init__(self, header_max: int) -> None:
        self._decoder = Decoder(_DECODED_TIMES * header_max)
        self._size_max = max(header_max, FRAME_MAX) * 2
        self._header_max = header_max
        self._block = bytearray()
        #: The stream of the block that has begun, 0 if there is none; and the flags that it began with.
        self.stream_id = self.flags = 0

    def begin(self, stream_id: int, flags: int, piece: bytes) -> None:
        """Take the first piece of a block of several."""
        self.stream_id, self.flags, self._block = stream_id, flags, bytearray(piece)

    def add(self, piece: bytes) -> None:
        """Take a further piece. Raises HTTP2Error for a block that does not end."""
        self._block += piece
        if len(self._block) > self._size_max:
            raise self._too_large("a header block that does not end")

    def end(self) -> Iterable[tuple[bytes, bytes]]:
        """Return the fields of the block whose pieces were taken. Raises HTTP2Error."""
        block, self._block, self.stream_id = bytes(self._block), bytearray(), 0
        return self.decode(block)

    def decode(self, block: bytes) -> Iterable[tuple[bytes, bytes]]:
        """Return the fields of a whole block. Raises HTTP2Error."""
        if _TOO_MANY_SIZES.match(block):
            raise HTTP2Error(ErrorCode.COMPRESSION_ERROR, "a header block changes its table's size too often")
        try:
            return cast("Iterable[tuple[bytes, bytes]]", self._decoder.decode(block, raw=True))
        except OversizedHeaderListError as error:
            raise self._too_large("a header list that is far too large") from error
        except (HPACKError, IndexError, ValueError) as error:
            raise HTTP2Error(ErrorCode.COMPRESSION_ERROR, "a header block cannot be decoded") from error

    def _too_large(self, what: str) -> HTTP2Error:
        return HTTP2Error(ErrorCode.ENHANCE_YOUR_CALM, f"{what}: header_max = {show_size(self._header_max)}")
