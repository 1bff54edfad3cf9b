"""gzip for text, if the client accepts it (RFC 9110, sections 8.4 and 12.5.3)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from skitai.http.fields import media_type, weighted_list
from skitai.http.statuses import BODYLESS

if TYPE_CHECKING:
    from skitai.server.request.lazy import LazyRequest

#: Shorter bodies are sent as they are.
LENGTH_MIN = 2048
# Level 5 gives nearly the size of level 9 in a third of the time.
_LEVEL = 5
_TEXT = ("text/", "application/json", "application/javascript", "application/xml", "image/svg+xml")
_TEXT_SUFFIXES = ("+json", "+xml")
# No body, or part of one: the ranges of a 206 are those of the plain form.
_UNTOUCHED_CODES = BODYLESS | {206}
# The body is already encoded, or has a checksum that compression would make wrong.
_UNTOUCHED_FIELDS = frozenset({"content-encoding", "content-digest", "repr-digest", "digest", "content-md5"})

Headers = list[tuple[str, str]]


class Compressor:
    """Compresses a body piece by piece. The client can read each piece as soon as it arrives."""

    def __init__(self) -> None:
        self._gzip = zlib.compressobj(_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)

    def compress(self, data: bytes) -> bytes:
        """Return the compressed form of ``data``."""
        return self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH)

    def flush(self, data: bytes = b"") -> bytes:
        """Return the compressed form of ``data`` and the end of the body."""
        return self._gzip.compress(data) + self._gzip.flush()


def negotiate(
    request: LazyRequest, code: int, headers: Sequence[tuple[str, str]], length: int | None
) -> tuple[Compressor | None, Headers]:
    """Return a compressor and the headers that go with it; without compression, None and the plain headers.

    Text has a Vary field either way. ``length`` is the length of the body, if all of it is at hand. Called in
    any thread.
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
    # A cache must know that there is another form, even if it gets the plain one.
    vary = fields.get("vary", "")
    if {"accept-encoding", "*"}.isdisjoint(token.strip() for token in vary.lower().split(",")):
        pairs = [pair for pair in pairs if pair[0].lower() != "vary"]
        pairs.append(("Vary", f"{vary}, Accept-Encoding" if vary else "Accept-Encoding"))
    if not accepts_gzip(request.field(b"accept-encoding") or b""):
        return None, pairs
    return Compressor(), [*_compressed(pairs), ("Content-Encoding", "gzip")]


def _compressed(pairs: Headers) -> Headers:
    """Return the fields of the plain form, without those that only hold for it."""
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
    # Clients read an event stream as it arrives, and few of them expect it to be compressed.
    return kind != "text/event-stream" and (kind.startswith(_TEXT) or kind.endswith(_TEXT_SUFFIXES))


@lru_cache(64)  # clients send few different values
def accepts_gzip(value: bytes) -> bool:
    """Whether Accept-Encoding allows gzip, by name or by ``*``, with a weight above zero."""
    weights = dict(weighted_list(value.decode("latin-1")))
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0
