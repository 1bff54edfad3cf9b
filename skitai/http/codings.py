"""Undoing content codings (RFC 9110, section 8.4.1), never more at once than is asked for.

gzip and deflate always; br and zstd where the packages ``brotli`` and ``zstandard`` are installed.
"""

from __future__ import annotations

import importlib
import zlib
from typing import Any, Protocol

_GZIP_FIRST_BYTE = 0x1F
#: The least that zstd makes 128 KiB of is four bytes (RFC 8878, section 3.1.1.2.2).
_ZSTD_MOST_PER_BYTE = 32 * 1024
_ZSTD_LEAST_STEP = 64
#: Bytes. RFC 8878, section 3.1.1.1.2, advises to refuse more; browsers do (RFC 9659).
_ZSTD_WINDOW_MAX = 8 * 1024 * 1024


class CodingError(Exception):
    """The data is not what its coding says; the text says why."""


class Decoder(Protocol):
    """Undoes one coding."""

    @property
    def eof(self) -> bool:
        """Whether the coded data came to its end."""

    @property
    def unused_data(self) -> bytes:
        """What came after that end."""

    def decompress(self, data: bytes, room: int) -> bytes:
        """Return what ``data`` stands for; what is longer than ``room`` is too long and need not be whole.

        Raises ``CodingError``.
        """


class ZlibDecoder:
    """gzip, and deflate with or without its wrapper."""

    def __init__(self, window: int) -> None:
        self._decoder = zlib.decompressobj(window)

    @property
    def eof(self) -> bool:
        """Whether the coded data came to its end."""
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        """What came after that end."""
        return self._decoder.unused_data

    def decompress(self, data: bytes, room: int) -> bytes:
        """Return what ``data`` stands for, one byte more than ``room`` at most."""
        try:
            return self._decoder.decompress(data, room + 1)
        except zlib.error as error:
            raise CodingError(str(error)) from error


class BrotliDecoder:
    """br (RFC 7932)."""

    unused_data = b""

    def __init__(self, brotli: Any) -> None:
        self._decoder = brotli.Decompressor()
        self._error = brotli.error

    @property
    def eof(self) -> bool:
        """Whether the coded data came to its end."""
        finished: bool = self._decoder.is_finished()
        return finished

    def decompress(self, data: bytes, room: int) -> bytes:
        """Return what ``data`` stands for, little more than ``room`` at most."""
        try:
            # A limit below 1 means none.
            result: bytes = self._decoder.process(data, output_buffer_limit=room + 1)
        except self._error as error:
            raise CodingError(str(error)) from error
        return result


class ZstdDecoder:
    """zstd (RFC 8878), one frame of it."""

    def __init__(self, zstandard: Any) -> None:
        self._decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_MAX).decompressobj()
        self._error = zstandard.ZstdError
        self._rest = b""

    @property
    def eof(self) -> bool:
        """Whether the coded data came to its end."""
        eof: bool = self._decoder.eof
        return eof

    @property
    def unused_data(self) -> bytes:
        """What came after that end."""
        unused: bytes = self._decoder.unused_data
        return unused + self._rest

    def decompress(self, data: bytes, room: int) -> bytes:
        """Return what ``data`` stands for, little more than ``room`` at most.

        The library cannot be told a limit, so it gets no more at a time than could fill the room.
        """
        pieces: list[bytes] = []
        start = size = 0
        try:
            while start < len(data) and size <= room and not self.eof:
                step = max((room - size) // _ZSTD_MOST_PER_BYTE, _ZSTD_LEAST_STEP)
                pieces.append(self._decoder.decompress(data[start : start + step]))
                start += step
                size += len(pieces[-1])
        except self._error as error:
            raise CodingError(str(error)) from error
        self._rest = data[start:]
        return b"".join(pieces)


def decoder_for(coding: str, data: bytes) -> Decoder:
    """Return what undoes ``coding``, one of ``DECODABLE``, for coded data that begins with ``data``."""
    if coding == "br":
        return BrotliDecoder(_brotli)
    if coding == "zstd":
        return ZstdDecoder(_zstandard)
    # RFC 9110, section 8.4.1.2: "deflate" is the zlib format, but some servers send it without the wrapper,
    # whose first byte always has 8 in its low half.
    if coding == "deflate":
        return ZlibDecoder(zlib.MAX_WBITS if data[0] & 0x0F == 8 else -zlib.MAX_WBITS)
    return ZlibDecoder(16 + zlib.MAX_WBITS)


def goes_on(coding: str, data: bytes) -> bool:
    """Return whether ``data`` after the end begins another member (RFC 1952) or frame (RFC 8878)."""
    return coding == "zstd" or (coding in ("gzip", "x-gzip") and data[0] == _GZIP_FIRST_BYTE)


def _optional(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


_brotli, _zstandard = _optional("brotli"), _optional("zstandard")
# Before 1.2 brotli could not be told a limit, and a few bytes would unpack to gigabytes.
_HAS_BROTLI = hasattr(getattr(_brotli, "Decompressor", None), "can_accept_more_data")
_CODINGS = ["gzip", "deflate", *(["br"] if _HAS_BROTLI else []), *(["zstd"] if _zstandard else [])]

#: The codings that can be undone here, and the value of Accept-Encoding that says so.
DECODABLE = frozenset(["x-gzip", *_CODINGS])
ACCEPTED = ", ".join(_CODINGS)
