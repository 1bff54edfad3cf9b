"""Decoding of content codings (RFC 9110, section 8.4.1), in steps of a few milliseconds.

gzip and deflate are always there; br and zstd need the packages ``brotli`` and ``zstandard``.
"""

from __future__ import annotations

import importlib
import zlib
from collections import deque
from collections.abc import MutableSequence
from typing import Any, Protocol

#: Bytes that one step unpacks to. The last piece of coded data may add some.
STEP_BYTES = 256 * 1024
#: Members of gzip, or frames of zstd, that one step begins. Starting one costs much more than its bytes.
_STEP_MEMBERS = 64
#: Coded bytes in a row that may decode to nothing. The longest that honest senders need are a block of zstd,
#: 128 KB (RFC 8878, section 3.1.1.2.3), and the fields of a gzip header.
_BARREN_MAX = 256 * 1024

#: Bytes. A piece below is made one with the next: an object for each costs fifty, and a call for each a step.
_PIECE_LEAST = 4096

_GZIP_FIRST_BYTE = 0x1F
#: zstd can code 128 KiB in four bytes (RFC 8878, section 3.1.1.2.2).
_ZSTD_MOST_PER_BYTE = 32 * 1024
_ZSTD_LEAST_STEP = 64
#: Bytes. Larger windows are refused, as RFC 8878 (section 3.1.1.1.2) advises and browsers do (RFC 9659).
_ZSTD_WINDOW_MAX = 8 * 1024 * 1024


class CodingError(Exception):
    """The data does not fit its coding. The text says why."""


def add_piece(pieces: MutableSequence[bytes | bytearray], data: bytes) -> None:
    """Append ``data`` to the ``pieces`` of a body, few of which are tiny, however it came."""
    if pieces and len(pieces[-1]) < _PIECE_LEAST:
        if not isinstance(pieces[-1], bytearray):
            pieces[-1] = bytearray(pieces[-1])
        pieces[-1] += data
    else:
        pieces.append(data)


class Decoder(Protocol):
    """Decodes one member.

    After each ``decompress``, ``rest`` is the coded data that was not used. ``is_full`` says that the decoder
    has more output, even without further input.
    """

    rest: bytes | bytearray
    is_full: bool

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""

    def decompress(self, data: bytes | bytearray, most: int) -> bytes:
        """Return what ``data`` decodes to, about ``most`` bytes at most. Raises CodingError."""


class ZlibDecoder:
    """gzip, and deflate with or without its wrapper."""

    rest: bytes | bytearray = b""
    is_full = False

    def __init__(self, window: int) -> None:
        self._decoder = zlib.decompressobj(window)

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""
        return self._decoder.eof

    def decompress(self, data: bytes | bytearray, most: int) -> bytes:
        """Return what ``data`` decodes to, ``most`` bytes at most. Raises CodingError."""
        try:
            result = self._decoder.decompress(data, most)
        except zlib.error as error:
            raise CodingError(str(error)) from error
        self.rest = self._decoder.unused_data if self.eof else self._decoder.unconsumed_tail
        self.is_full = len(result) == most and not self.eof
        return result


class BrotliDecoder:
    """br (RFC 7932)."""

    rest: bytes | bytearray = b""
    is_full = False

    def __init__(self) -> None:
        self._decoder = _brotli.Decompressor()

    @property
    def eof(self) -> bool:
        """Whether the data has ended."""
        finished: bool = self._decoder.is_finished()
        return finished

    def decompress(self, data: bytes | bytearray, most: int) -> bytes:
        """Return what ``data`` decodes to, little more than ``most`` bytes at most. Raises CodingError."""
        # While it is full, the library takes no input.
        taken, self.rest = (b"", data) if self.is_full else (data, b"")
        try:
            result: bytes = self._decoder.process(taken, output_buffer_limit=most)
        except _brotli.error as error:
            raise CodingError(str(error)) from error
        self.is_full = not self.eof and (len(result) >= most or not self._decoder.can_accept_more_data())
        return result


class ZstdDecoder:
    """One frame of zstd (RFC 8878). ``context`` serves all frames of a body, one after the other."""

    rest: bytes | bytearray = b""
    is_full = False

    def __init__(self, context: Any) -> None:
        self._decoder = context.decompressobj()

    @property
    def eof(self) -> bool:
        """Whether the frame has ended."""
        eof: bool = self._decoder.eof
        return eof

    def decompress(self, data: bytes | bytearray, most: int) -> bytes:
        """Return what ``data`` decodes to, in the worst case 2 MB more than ``most``. Raises CodingError.

        The library takes no limit, so it gets only as much input at a time as can fill the room.
        """
        pieces: list[bytes] = []
        start = size = 0
        try:
            while start < len(data) and size < most and not self.eof:
                step = max((most - size) // _ZSTD_MOST_PER_BYTE, _ZSTD_LEAST_STEP)
                pieces.append(self._decoder.decompress(data[start : start + step]))
                start += step
                size += len(pieces[-1])
        except _zstandard.ZstdError as error:
            raise CodingError(str(error)) from error
        self.rest = self._decoder.unused_data + data[start:]
        return b"".join(pieces)


class Unpacker:
    """Decodes ``coding``, one of ``DECODABLE``. Bytes are added at any pace, and decoded step by step.

    A step takes a few milliseconds, even for a bomb, or for bytes that decode to nothing.
    """

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._coded: deque[bytes | bytearray] = deque()
        self._decoder: Decoder | None = None
        self._is_closed = False
        self._barren = 0
        self._zstd: Any = None
        #: Coded bytes that wait for a step.
        self.waiting = 0

    @property
    def is_behind(self) -> bool:
        """Whether a step has something to do."""
        return bool(self._coded) or (self._decoder is not None and self._decoder.is_full)

    @property
    def is_whole(self) -> bool:
        """Whether the input may end here: there is none, or its last member has ended."""
        return self._decoder is None or self._decoder.eof

    def add(self, data: bytes) -> None:
        """Take coded bytes."""
        if data and not self._is_closed:
            add_piece(self._coded, data)
            self.waiting += len(data)

    def step(self) -> bytes:
        """Return what the next coded bytes decode to. Raises CodingError."""
        pieces: list[bytes] = []
        room, members = STEP_BYTES, _STEP_MEMBERS
        while room > 0 and members > 0 and self.is_behind:
            data = self._coded.popleft() if self._coded else b""
            if self._decoder is None or self._decoder.eof:
                if self._decoder is not None and not self._begins_member(data):
                    self._skip_padding()
                    break
                self._decoder = self._next_decoder(data)
                members -= 1
            piece = self._decoder.decompress(data, room)
            if rest := self._decoder.rest:
                self._coded.appendleft(rest)
            self._count(len(data) - len(rest), piece)
            pieces.append(piece)
            room -= len(piece)
        return b"".join(pieces)

    def _count(self, used: int, piece: bytes) -> None:
        self.waiting -= used
        self._barren = 0 if piece else self._barren + used
        if self._barren > _BARREN_MAX:
            raise CodingError(f"more than {_BARREN_MAX} bytes in a row decode to nothing")

    def _begins_member(self, data: bytes | bytearray) -> bool:
        """Return whether ``data`` begins another member (RFC 1952) or frame (RFC 8878)."""
        return self._coding == "zstd" or (self._coding in ("gzip", "x-gzip") and data[0] == _GZIP_FIRST_BYTE)

    def _skip_padding(self) -> None:
        """Take nothing more: browsers and curl also skip what follows the last member."""
        self._is_closed = True
        self._coded.clear()
        self.waiting = 0

    def _next_decoder(self, data: bytes | bytearray) -> Decoder:
        if self._coding == "br":
            return BrotliDecoder()
        if self._coding == "zstd":
            if self._zstd is None:
                self._zstd = _zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_MAX)
            return ZstdDecoder(self._zstd)
        # "deflate" means the zlib format (RFC 9110, section 8.4.1.2), but some servers leave out its wrapper,
        # whose first byte always has 8 in its low half.
        if self._coding == "deflate":
            return ZlibDecoder(zlib.MAX_WBITS if data[0] & 0x0F == 8 else -zlib.MAX_WBITS)
        return ZlibDecoder(16 + zlib.MAX_WBITS)


def _optional(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


_brotli, _zstandard = _optional("brotli"), _optional("zstandard")
# Before 1.2, brotli took no limit, and a few bytes would unpack to gigabytes.
_HAS_BROTLI = hasattr(getattr(_brotli, "Decompressor", None), "can_accept_more_data")
_CODINGS = ["gzip", "deflate", *(["br"] if _HAS_BROTLI else []), *(["zstd"] if _zstandard else [])]

#: The codings that can be decoded, and the value of Accept-Encoding that says so.
DECODABLE = frozenset(["x-gzip", *_CODINGS])
ACCEPTED = ", ".join(_CODINGS)
