"""gzip for text, if the client accepts it (RFC 9110, sections 8.4 and 12.5.3)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from skitai.http.fields import media_type, weighted_list
from skitai.http.statuses import BODYLESS
from skitai.server.request.tags import is_asked_for, marked

if TYPE_CHECKING:
    from skitai.server.request.lazy import LazyRequest

#: Shorter bodies are sent as they are.
LENGTH_MIN = 2048
# Level 5 gives nearly the size of level 9 in a third of the time.
_LEVEL = 5
_TEXT = ("text/", "application/json", "application/javascript", "application/xml", "image/svg+xml")
_TEXT_SUFFIXES = ("+json", "+xml")
_NOT_MODIFIED, _PARTIAL_CONTENT = 304, 206
#: Answers about a representation that are not all of it. The ranges of a 206 are those of the plain form.
PARTIAL_CODES = frozenset((_NOT_MODIFIED, _PARTIAL_CONTENT))
# No body, or part of one.
_UNTOUCHED_CODES = BODYLESS | PARTIAL_CODES
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

    Text has a Vary field either way, also in a 304 and a 206, which have the fields that the 200 would have
    (RFC 9110, sections 15.4.5 and 15.3.7). ``length`` is the length of the body, if all of it is at hand.
    Called in any thread.
    """
    pairs = list(headers)
    if code in PARTIAL_CODES:
        return None, _of_partial_answer(request, code, pairs)
    if code in _UNTOUCHED_CODES or (length is not None and length < LENGTH_MIN):
        return None, pairs
    fields = _joined(pairs)
    announced = fields.get("content-length", "")
    if length is None and announced.isdigit() and int(announced) < LENGTH_MIN:
        return None, pairs
    if not _may_compress(fields, fields.get("content-type", "")):
        return None, pairs
    pairs = _varying(pairs, fields)
    if not takes_gzip(request):
        return None, pairs
    return Compressor(), [*_compressed(pairs), ("Content-Encoding", "gzip")]


def _of_partial_answer(request: LazyRequest, code: int, pairs: Headers) -> Headers:
    """Return the fields of a 304 or 206 as they go with those of the whole response.

    A 304 mostly names no type; then it may be one that is compressed.
    """
    fields = _joined(pairs)
    kind = fields.get("content-type", "")
    if not _may_compress(fields, kind if code == _PARTIAL_CONTENT or kind else "text/plain"):
        return pairs
    if code == _NOT_MODIFIED and takes_gzip(request):
        known = request.field(b"if-none-match")
        pairs = [
            (name, marked(value))
            if name.lower() == "etag" and is_asked_for(marked(value), known)
            else (name, value)
            for name, value in pairs
        ]
    return _varying(pairs, fields)


def _joined(pairs: Headers) -> dict[str, str]:
    """Return the fields by lower-case names, each with all its lines."""
    fields: dict[str, str] = {}
    for name, value in pairs:
        lower = name.lower()
        fields[lower] = f"{fields[lower]}, {value}" if lower in fields else value
    return fields


def _may_compress(fields: dict[str, str], content_type: str) -> bool:
    if not _UNTOUCHED_FIELDS.isdisjoint(fields) or not _is_text(content_type):
        return False
    return "no-transform" not in fields.get("cache-control", "").lower()


def _varying(pairs: Headers, fields: dict[str, str]) -> Headers:
    """Return the fields with Vary: a cache must know of the other form, even if it gets the plain one."""
    vary = fields.get("vary", "")
    if not {"accept-encoding", "*"}.isdisjoint(token.strip() for token in vary.lower().split(",")):
        return pairs
    pairs = [pair for pair in pairs if pair[0].lower() != "vary"]
    return [*pairs, ("Vary", f"{vary}, Accept-Encoding" if vary else "Accept-Encoding")]


def _compressed(pairs: Headers) -> Headers:
    """Return the fields of the plain form, without those that only hold for it."""
    kept = []
    for name, value in pairs:
        lower = name.lower()
        if lower == "etag":
            kept.append((name, marked(value.strip())))
        elif lower not in ("content-length", "accept-ranges"):
            kept.append((name, value))
    return kept


def _is_text(content_type: str) -> bool:
    kind = media_type(content_type)
    # Clients read an event stream as it arrives, and few of them expect it to be compressed.
    return kind != "text/event-stream" and (kind.startswith(_TEXT) or kind.endswith(_TEXT_SUFFIXES))


def takes_gzip(request: LazyRequest) -> bool:
    """Return whether the client takes compressed bodies. Called in any thread."""
    return accepts_gzip(request.field(b"accept-encoding") or b"")


@lru_cache(64)  # clients send few different values
def accepts_gzip(value: bytes) -> bool:
    """Whether Accept-Encoding allows gzip, by name or by ``*``, with a weight above zero."""
    weights = dict(weighted_list(value.decode("latin-1")))
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0
