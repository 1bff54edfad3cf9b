"""The header fields of files, and what is remembered of small ones."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from http import HTTPStatus
from time import time

import attrs

from skitai.http.mediatypes import BINARY, LOOKED_AT, coding_of_name, type_of_bytes, type_of_name
from skitai.http.ranges import FileAnswer, Representation, whole
from skitai.http.recurring import Recurring
from skitai.server.request.compress import Headers, takes_gzip
from skitai.server.request.request import Request
from skitai.server.request.tags import marked
from skitai.server.static.options import FolderOptions

#: How many files are remembered, and bytes of compressed bodies.
_MOST, _KEPT_MAX = 1024, 8 * 1024 * 1024
#: Seconds without a change after which a file is remembered.
_SETTLED_SECONDS = 2.0

Fields = Sequence[tuple[bytes, bytes]]


def fields_of(answer: FileAnswer, own: Fields) -> Fields:
    """Return the header fields of ``answer`` with the mount's ``own``, whose Cache-Control counts."""
    headers = dict(answer.headers)
    if any(name.lower() == b"cache-control" for name, _ in own):
        headers.pop(b"Cache-Control", None)
    if answer.code != HTTPStatus.NOT_MODIFIED:
        headers[b"Content-Length"] = b"%d" % answer.length
    # Else browsers may take a file for something else than its type says.
    headers[b"X-Content-Type-Options"] = b"nosniff"
    taken = {name.lower() for name in headers}
    return [*(field for field in own if field[0].lower() not in taken), *headers.items()]


def representation_of(
    name: bytes, status: os.stat_result, file: io.FileIO, options: FolderOptions
) -> Representation:
    """Return what HTTP says of an open ``file`` that goes by ``name``, whose ``fstat`` is ``status``."""
    text = os.fsdecode(name)
    return Representation.of_file(
        status,
        _content_type(text, file),
        options.max_ages.cache_control(name),
        time(),
        content_coding=coding_of_name(text) or "",
    )


def _content_type(name: str, file: io.FileIO) -> bytes:
    """Return the Content-Type by the end of a file's name; if that is unknown, by whether it is text."""
    found = type_of_name(name)
    if found is None:
        try:
            found = type_of_bytes(os.pread(file.fileno(), LOOKED_AT, 0))
        except OSError:  # reading it will fail with the reason
            found = BINARY
    return (found + "; charset=utf-8" if found.startswith("text/") else found).encode("ascii")


@attrs.define(eq=False)
class Whole:
    """What a request for all of a file gets: the ``fields`` of a 200, and those ``unchanged`` of a 304.

    ``size`` is that of the file in bytes, ``compressed`` the 200 in compressed form, once it was asked for.
    That is only kept where all of this ``is_remembered``.
    """

    fields: Headers
    unchanged: Headers
    size: int
    etag: bytes
    is_remembered: bool = False
    compressed: tuple[Headers, bytes] | None = None

    def is_known_to(self, request: Request) -> bool:
        """Return whether the client has this, by its one tag; or its compressed form, if it takes that."""
        tag = request.field(b"if-none-match")
        if tag == self.etag:
            return True
        return tag == marked(self.etag.decode()).encode() and takes_gzip(request)


class Wholes:
    """What requests for whole files get, which stays the same as long as the files do.

    It is remembered, because to make it takes longer than to send a small file. ``options`` are those of the
    folder, which has no CORS. All methods are called in the reactor thread.
    """

    def __init__(self, options: FolderOptions) -> None:
        self._options = options
        self._remembered: Recurring[tuple[bytes | int, ...], Whole] = Recurring(_MOST)
        #: Bytes of compressed bodies among them, or more.
        self._kept = 0

    def of(self, name: bytes, status: os.stat_result, file: io.FileIO) -> Whole:
        """Return that of an open ``file`` that goes by ``name``, whose ``fstat`` is ``status``."""
        key = (name, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev, status.st_size)
        found = self._remembered.get(key)
        if found is None:
            found = self._make(name, status, file)
            # One that has just changed may do so again without another date: clocks of files are coarse. And
            # one whose date is to come has the present time as its Last-Modified.
            if max(status.st_mtime, status.st_ctime) < time() - _SETTLED_SECONDS:
                self._remembered.remember(key, found)
                found.is_remembered = key in self._remembered
        return found

    def keep(self, whole: Whole, fields: Headers, body: bytes) -> None:
        """Keep the compressed form of a ``whole`` that is remembered. If it is too much, all is forgotten."""
        if not whole.is_remembered:
            return
        self._kept += len(body)
        if self._kept > _KEPT_MAX:
            self._remembered.clear()
            self._kept = len(body)
        whole.compressed = fields, body

    def _make(self, name: bytes, status: os.stat_result, file: io.FileIO) -> Whole:
        representation = representation_of(name, status, file, self._options)
        unchanged = FileAnswer(HTTPStatus.NOT_MODIFIED, representation.fields())
        return Whole(
            self._fields(whole(representation)),
            self._fields(unchanged),
            status.st_size,
            representation.etag,
        )

    def _fields(self, answer: FileAnswer) -> Headers:
        fields = fields_of(answer, self._options.fields(answer.code, None))
        return [(name.decode("ascii"), value.decode("latin-1")) for name, value in fields]
