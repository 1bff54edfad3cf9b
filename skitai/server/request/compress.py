"""gzip for text, when the client asks for it (RFC 9110, sections 8.4 and 12.5.3)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from skitai.http.fields import media_type, weighted_list

if TYPE_CHECKING:
    from skitai.server.request.lazy import LazyRequest

#: Shorter bodies are not worth the work.
LENGTH_MIN = 2048
# 5 is nearly as small as 9 at a third of the time.
_LEVEL = 5
_TEXT = ("text/", "application/json", "application/javascript", "application/xml", "image/svg+xml")
_TEXT_SUFFIXES = ("+json", "+xml")
# Without a body, or with a part of one.
_UNTOUCHED_CODES = frozenset({204, 206, 304})
# A body that is encoded already, or whose checksum a change would make wrong.
_UNTOUCHED_FIELDS = frozenset({"content-encoding", "content-digest", "repr-digest", "digest", "content-md5"})

Headers = list[tuple[str, str]]


class Compressor:
    """Compresses a body piece by piece; each piece can be read by the client when it arrives."""

    def __init__(self) -> None:
        self._gzip = zlib.compressobj(_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)

    def compress(self, data: bytes) -> bytes:
        """Return what goes out for ``data``."""
        return self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH)

    def flush(self, data: bytes = b"") -> bytes:
        """Return what goes out for ``data``, which ends the body."""
        return self._gzip.compress(data) + self._gzip.flush()


def negotiate(
    request: LazyRequest, code: int, headers: Sequence[tuple[str, str]], length: int | None
) -> tuple[Compressor | None, Headers]:
    """Return a compressor and the changed headers, or None and the headers as they were.

    ``length`` is the length of the body where all of it is at hand. Called in any thread.
    """
    pairs = list(headers)
    if code in _UNTOUCHED_CODES or (length is not None and length < LENGTH_MIN):
        return None, pairs
    fields: dict[str, str] = {}
    for name, value in pairs:
        lower = name.lower()
        fields[lower] = f"{fields[lower]}, {value}" if lower in fields else value
    announced = fields.get("content-length", "")
    if length is None and announced.isdigit() and int(announced) < LENGTH_MIN:
        return None, pairs
    if not _UNTOUCHED_FIELDS.isdisjoint(fields) or not _is_text(fields.get("content-type", "")):
        return None, pairs
    if "no-transform" in fields.get("cache-control", "").lower():
        return None, pairs
    # Whoever caches the plain form must know that there is another.
    vary = fields.get("vary", "")
    if {"accept-encoding", "*"}.isdisjoint(token.strip() for token in vary.lower().split(",")):
        pairs = [pair for pair in pairs if pair[0].lower() != "vary"]
        pairs.append(("Vary", f"{vary}, Accept-Encoding" if vary else "Accept-Encoding"))
    if not accepts_gzip(request.field(b"accept-encoding") or b""):
        return None, pairs
    return Compressor(), [*_compressed(pairs), ("Content-Encoding", "gzip")]


def _compressed(pairs: Headers) -> Headers:
    """The fields of the plain form, without those that hold for it alone."""
    kept = []
    for name, value in pairs:
        lower = name.lower()
        if lower == "etag" and not value.startswith("W/"):
            kept.append((name, f"W/{value}"))
        elif lower not in ("content-length", "accept-ranges"):
            kept.append((name, value))
    return kept


def _is_text(content_type: str) -> bool:
    kind = media_type(content_type)
    # An event stream is read as it comes, by clients that seldom expect it compressed.
    return kind != "text/event-stream" and (kind.startswith(_TEXT) or kind.endswith(_TEXT_SUFFIXES))


@lru_cache(64)  # few different ones are in use
def accepts_gzip(value: bytes) -> bool:
    """Whether an Accept-Encoding field asks for gzip: by name, or by ``*``, with a weight above zero."""
    weights = dict(weighted_list(value.decode("latin-1")))
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0
