"""Reads a multipart body (RFC 2046, 5.1; RFC 7578) with werkzeug's decoder, in pieces that suit it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import IO

from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Epilogue, Event, MultipartDecoder, NeedData

_CHUNK = 64 << 10
#: Bytes that the decoder may keep before it makes an event of them: the header of a part, and a chunk.
_UNDECODED_MAX = 4 * _CHUNK
#: What may follow the boundary on its line: hyphens after the last part, and padding (RFC 2046, 5.1.1).
_AFTER_BOUNDARY = re.compile(rb"-?|(?:--)?[ \t\v\f]*")


class _LenientDecoder(MultipartDecoder):
    """Takes names that are not UTF-8, with U+FFFD in the place of what is no text."""

    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        return super()._parse_headers(data.decode(errors="replace").encode())


def events(stream: IO[bytes], boundary: bytes, *, strict: bool) -> Iterator[Event]:
    """Yield the decoder's events; raise ValueError if ``stream`` is malformed or ends too early.

    With ``strict``, it is malformed if the header of a part is not UTF-8.
    """
    make = MultipartDecoder if strict else _LenientDecoder
    decoder = make(boundary, max_form_memory_size=_UNDECODED_MAX)
    chunks = iter(lambda: stream.read(_CHUNK), b"")
    for piece in _whole_delimiters(chunks, b"--" + boundary):
        yield from _decoded(decoder, piece)
    yield from _decoded(decoder, None)


def _decoded(decoder: MultipartDecoder, piece: bytes | None) -> Iterator[Event]:
    try:
        decoder.receive_data(piece)
    except RequestEntityTooLarge:
        raise ValueError("a part's header, or the text around the parts, is too long") from None
    while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
        yield event


def _whole_delimiters(chunks: Iterable[bytes], delimiter: bytes) -> Iterator[bytes]:
    """Yield ``chunks`` in pieces that never end within a delimiter or in the line break before it.

    If the decoder (werkzeug 3.1) sees a delimiter without the end of its line, it may take the line break
    before it, or the delimiter itself, for data.
    """
    held = b""
    for chunk in chunks:
        data = held + chunk
        place = _place_to_cut(data, delimiter)
        held = data[place:]
        if len(held) > _CHUNK:
            raise ValueError("a boundary's line is too long")
        if place:
            yield data[:place]
    if held:
        yield held


def _place_to_cut(data: bytes, delimiter: bytes) -> int:
    """Return how many bytes of ``data`` can be decoded before it is known what follows."""
    end = len(data) - data.endswith(b"\r")  # a line feed may belong to it
    start = _start_of_line(data, end)
    line = data[start:end]
    is_delimiter = _is_delimiter(line, delimiter)
    if not is_delimiter and not (end == len(data) and delimiter.startswith(line)):
        return end
    before = max(0, start - (2 if data.endswith(b"\r\n", 0, start) else 1))
    if _is_delimiter(data[_start_of_line(data, before) : before], delimiter):
        return start  # that delimiter needs the line break; this one has no part before it to end
    return before


def _start_of_line(data: bytes, end: int) -> int:
    return max(data.rfind(b"\r", 0, end), data.rfind(b"\n", 0, end)) + 1


def _is_delimiter(line: bytes, delimiter: bytes) -> bool:
    return line.startswith(delimiter) and _AFTER_BOUNDARY.fullmatch(line, len(delimiter)) is not None
