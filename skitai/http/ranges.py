"""Conditional and range requests for what has a known length (RFC 9110, sections 13 and 14).

Nothing here reads a file. A ``Representation`` and the request's headers go in, a ``FileAnswer`` comes out.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from hashlib import blake2b
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from attrs import frozen

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from twisted.web.http_headers import Headers

#: Seconds since the epoch: 1990. Nix gives its files 1970, zip files 1980, npm 1985.
_FIRST_DATE = 631_152_000
_TAG_BYTES = 10

# With this many parts, the framing of a multipart response stays below 8 KB.
MAX_RANGES = 32

#: The fields by which a request may get something else than all of a file.
CONDITIONS = frozenset(
    (b"if-match", b"if-modified-since", b"if-none-match", b"if-range", b"if-unmodified-since", b"range")
)

_ENTITY_TAG = re.compile(rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
# No file size has more digits, and int() refuses thousands of them.
_RANGE = re.compile(rb"([0-9]{0,30})-([0-9]{0,30})")


class ByteRange(NamedTuple):
    """The bytes of a file from ``start`` up to ``stop``, which is not included."""

    start: int
    stop: int


@frozen
class Representation:
    """A file, or a stored reply, as HTTP sees it.

    ``size`` is in bytes, ``last_modified`` in whole seconds since the epoch. A stored reply may lack an
    ``etag``, which is then empty, and a date, which is then None. ``date_is_strong`` says that no other
    version has the same date.
    """

    size: int
    etag: bytes
    last_modified: int | None
    date_is_strong: bool
    content_type: bytes
    cache_control: bytes
    content_coding: str = ""

    @classmethod
    def of_file(
        cls,
        status: os.stat_result,
        content_type: bytes,
        cache_control: bytes,
        now: float,
        *,
        content_coding: str = "",
    ) -> Representation:
        """Describe an open file by its ``fstat`` result; ``now`` in seconds since the epoch.

        A file that another of the same size and date replaces has another number and time of change. A date
        of before the Web says nothing: archives and package managers give it to all their files.
        """
        # RFC 9110, 8.8.2.1: never later than the Date of the response.
        last_modified = min(int(status.st_mtime), int(now))
        return cls(
            size=status.st_size,
            etag=_tag_of(status),
            last_modified=last_modified if last_modified >= _FIRST_DATE else None,
            # RFC 9110, 8.8.2.2: within its last second, the file can change once more. One that was changed
            # later than it says may have replaced another of the same date.
            date_is_strong=last_modified < int(now) and int(status.st_ctime) <= last_modified,
            content_type=content_type,
            cache_control=cache_control,
            content_coding=content_coding,
        )

    def fields(self) -> dict[bytes, bytes]:
        """Return the header fields of a file that a 304 has in common with a 200."""
        fields = {
            b"ETag": self.etag,
            b"Cache-Control": self.cache_control,
            b"Accept-Ranges": b"bytes",
        }
        if self.last_modified is not None:
            fields[b"Last-Modified"] = formatdate(self.last_modified, usegmt=True).encode("ascii")
        return fields

    def content_fields(self) -> dict[bytes, bytes]:
        """Return the header fields of a file that say what is in it."""
        fields = {b"Content-Type": self.content_type}
        if self.content_coding:
            fields[b"Content-Encoding"] = self.content_coding.encode("ascii")
        return fields


def _tag_of(status: os.stat_result) -> bytes:
    """Return the entity tag of a file. It is a hash, because the number of a file is nobody's business."""
    facts = (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)
    return b'"%b"' % blake2b(repr(facts).encode("ascii"), digest_size=_TAG_BYTES).hexdigest().encode("ascii")


@frozen
class FileAnswer:
    """A response: status code, header fields, and a body of literal bytes and ranges of the file."""

    code: int
    headers: dict[bytes, bytes]
    pieces: Sequence[bytes | ByteRange] = ()

    @property
    def length(self) -> int:
        """The length of the body in bytes."""
        return sum(len(p) if isinstance(p, bytes) else p.stop - p.start for p in self.pieces)


def answer(method: bytes, headers: Headers, file: Representation) -> FileAnswer:
    """Return the response to a GET or HEAD request with ``headers`` for ``file``."""
    return partial_answer(method, headers, file, file.fields) or whole(file)


def whole(file: Representation) -> FileAnswer:
    """Return the response to a request with none of ``CONDITIONS``: all of ``file``."""
    return FileAnswer(HTTPStatus.OK, {**file.fields(), **file.content_fields()}, [ByteRange(0, file.size)])


def partial_answer(
    method: bytes,
    headers: Headers,
    file: Representation,
    fields: Callable[[], dict[bytes, bytes]] = dict,
) -> FileAnswer | None:
    """Return the response to a GET or HEAD request with ``headers`` where it is not all of ``file``.

    Its header fields are those that ``fields()`` returns and those of a part. Preconditions come before
    ranges (RFC 9110, 13.2.2), and only GET has ranges (14.2).
    """
    failed = _failed_precondition(headers, file)
    if failed == HTTPStatus.NOT_MODIFIED:
        return FileAnswer(failed, fields())
    if failed:
        return refusal(failed, {})
    ranges = _wanted_ranges(headers, file) if method == b"GET" else None
    if ranges is None:
        return None
    if not ranges:
        unsatisfied = {b"Content-Range": b"bytes */%d" % file.size, b"Accept-Ranges": b"bytes"}
        return refusal(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, unsatisfied)
    make = _multipart if len(ranges) > 1 else _single_part
    return make(ranges, file, fields())


def refusal(code: int, headers: dict[bytes, bytes]) -> FileAnswer:
    """Return a response whose body names its status."""
    phrase = b"%d %s\n" % (code, HTTPStatus(code).phrase.encode("ascii"))
    return FileAnswer(code, {**headers, b"Content-Type": b"text/plain; charset=utf-8"}, [phrase])


def _failed_precondition(headers: Headers, file: Representation) -> int | None:
    """Return 412 or 304 if a precondition of a GET or HEAD fails (RFC 9110, 13.2.2), else None."""
    if_match = _combined(headers, b"if-match")
    modified = file.last_modified
    if if_match is not None:
        # The strong comparison: a weak tag never matches.
        if if_match != b"*" and (_is_weak(file.etag) or file.etag not in _ENTITY_TAG.findall(if_match)):
            return HTTPStatus.PRECONDITION_FAILED
    else:
        since = _date(headers, b"if-unmodified-since")
        if since is not None and modified is not None and modified > since:
            return HTTPStatus.PRECONDITION_FAILED
    if_none_match = _combined(headers, b"if-none-match")
    if if_none_match is not None:
        tags = {tag.removeprefix(b"W/") for tag in _ENTITY_TAG.findall(if_none_match)}
        same = if_none_match == b"*" or file.etag.removeprefix(b"W/") in tags
    else:
        since = _date(headers, b"if-modified-since")
        same = since is not None and modified is not None and modified <= since
    return HTTPStatus.NOT_MODIFIED if same else None


def _wanted_ranges(headers: Headers, file: Representation) -> list[ByteRange] | None:
    """Return the ranges to send, or None without a usable Range. An empty list: it cannot be satisfied."""
    value = _single(headers, b"range")
    # Content-Range cannot describe a part of an empty file.
    if value is None or not file.size or not _if_range_holds(headers, file):
        return None
    unit, _, specs = value.partition(b"=")
    if unit.lower() != b"bytes":
        return None
    asked = _parse_ranges(specs, file.size)
    # RFC 9110, 14.2: ranges that overlap this much are a bug or an attack.
    if asked is None or sum(stop - start for start, stop in asked) > file.size:
        return None
    return _coalesced(asked)


def _parse_ranges(specs: bytes, size: int) -> list[ByteRange] | None:
    """Return the satisfiable ranges of a ``range-set`` (RFC 9110, 14.1.1), or None if it is malformed."""
    parts = [part.strip(b" \t") for part in specs.split(b",")]
    matches = [_RANGE.fullmatch(part) for part in parts if part]
    if not 0 < len(matches) <= MAX_RANGES:
        return None
    ranges = []
    for match in matches:
        if match is None:
            return None
        first, last = match.groups()
        if first:
            start, stop = int(first), int(last) + 1 if last else size
            if last and stop <= start:
                return None
        elif last:
            start, stop = max(0, size - int(last)), size
        else:
            return None
        if start < size:
            ranges.append(ByteRange(start, min(stop, size)))
    return ranges


def _coalesced(ranges: list[ByteRange]) -> list[ByteRange]:
    """Join ranges that overlap or touch. The others keep the order of the request."""
    joined: list[ByteRange] = []
    for new in ranges:
        near = [old for old in joined if old.start <= new.stop and new.start <= old.stop]
        if not near:
            joined.append(new)
            continue
        union = ByteRange(min(new.start, *(r.start for r in near)), max(new.stop, *(r.stop for r in near)))
        joined[joined.index(near[0])] = union
        for absorbed in near[1:]:
            joined.remove(absorbed)
    return joined


def _single_part(ranges: list[ByteRange], file: Representation, fields: dict[bytes, bytes]) -> FileAnswer:
    """Return the 206 for one range (RFC 9110, 15.3.7.1)."""
    (wanted,) = ranges
    part = {**file.content_fields(), b"Content-Range": _content_range(wanted, file)}
    return FileAnswer(HTTPStatus.PARTIAL_CONTENT, {**fields, **part}, [wanted])


def _multipart(ranges: list[ByteRange], file: Representation, fields: dict[bytes, bytes]) -> FileAnswer:
    """Return the 206 for several ranges (RFC 9110, 15.3.7.2)."""
    boundary = secrets.token_hex(16).encode("ascii")
    kind = b"Content-Type: %s\r\n" % file.content_type if file.content_type else b""
    pieces: list[bytes | ByteRange] = []
    for wanted in ranges:
        part = (boundary, kind, _content_range(wanted, file))
        pieces.append(b"\r\n--%s\r\n%sContent-Range: %s\r\n\r\n" % part)
        pieces.append(wanted)
    pieces.append(b"\r\n--%s--\r\n" % boundary)
    content_type = b"multipart/byteranges; boundary=" + boundary
    return FileAnswer(HTTPStatus.PARTIAL_CONTENT, {**fields, b"Content-Type": content_type}, pieces)


def _content_range(wanted: ByteRange, file: Representation) -> bytes:
    return b"bytes %d-%d/%d" % (wanted.start, wanted.stop - 1, file.size)


def _if_range_holds(headers: Headers, file: Representation) -> bool:
    """Whether Range counts (RFC 9110, 13.1.5): If-Range is absent, or strongly matches the file."""
    if not headers.hasHeader(b"if-range"):
        return True
    if file.etag and _single(headers, b"if-range") == file.etag:
        return not _is_weak(file.etag)
    date = _date(headers, b"if-range")
    return file.date_is_strong and date is not None and date == file.last_modified


def _is_weak(etag: bytes) -> bool:
    return not etag or etag.startswith(b"W/")


def _combined(headers: Headers, name: bytes) -> bytes | None:
    """Return the lines of a list-valued field as one value (RFC 9110, 5.3), or None."""
    values = headers.getRawHeaders(name)
    return None if values is None else b", ".join(values).strip(b" \t")


def _single(headers: Headers, name: bytes) -> bytes | None:
    """Return the value of a field that must not be repeated, or None if it is absent or repeated."""
    values = headers.getRawHeaders(name)
    return values[0].strip(b" \t") if values and len(values) == 1 else None


def _date(headers: Headers, name: bytes) -> int | None:
    """Return an HTTP-date field in seconds since the epoch; None if absent or malformed."""
    value = _single(headers, name)
    return None if value is None else http_date(value)


def http_date(value: bytes) -> int | None:
    """Return an HTTP-date (RFC 9110, 5.6.7) in seconds since the epoch; None if it is malformed."""
    try:
        date = parsedate_to_datetime(value.decode("ascii"))
        # The asctime form names no zone. It is UTC, like the others.
        return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None
