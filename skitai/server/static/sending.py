"""Sends what a file is answered with."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPullProducer
from twisted.logger import Logger, LogLevel
from zope.interface import implementer

from skitai.http.ranges import ByteRange, FileAnswer, refusal
from skitai.server.request.compress import Headers, negotiate
from skitai.server.static.heads import Fields, fields_of

if TYPE_CHECKING:
    from skitai.server.request.request import Request

_log = Logger()

#: Bytes that are read at a time. A file that has no more is sent at once.
CHUNK = 64 * 1024
_OK = 200


@implementer(IPullProducer)
class _Sender:
    """Sends the body of ``answer`` from ``file`` chunk by chunk, and closes the file in any case."""

    def __init__(self, request: Any, answer: FileAnswer, file: io.FileIO) -> None:
        self._request = request
        self._file = file
        self._chunks = _chunks(answer.pieces, file)

    def start(self) -> None:
        self._request.notifyFinish().addBoth(lambda _: self._file.close())
        self._request.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Write the next chunk. After the last one, or if the file cannot be read, finish."""
        if self._file.closed:
            return
        try:
            chunk = next(self._chunks, None)
        except OSError:
            _log.failure("cannot read a static file: its response breaks off", level=LogLevel.error)
            chunk = None
        if chunk is not None:
            self._request.write(chunk)
            return
        self._file.close()
        self._request.unregisterProducer()
        self._request.finish()

    def stopProducing(self) -> None:
        """Close the file: the client has gone."""
        self._file.close()


def send_whole(request: Request, fields: Headers, file: io.FileIO, size: int) -> None:
    """Answer a GET or HEAD ``request`` with ``fields`` and all ``size`` bytes of ``file``, and close it.

    For GET, there must be no more than ``CHUNK``. It takes a fraction of the time of ``send``.
    """
    body = b""
    try:
        if request.method == b"GET":
            body = os.pread(file.fileno(), size, 0)
    except OSError:
        _send_unreadable(request)
        return
    finally:
        file.close()
    # One that has become shorter breaks off: compressed, it would look complete.
    if len(body) == size or request.method == b"HEAD":
        compressor, fields = negotiate(request, _OK, fields, size)
        if compressor is not None and body:
            body = compressor.flush(body)
    request.respond("200 OK", fields, body)


def send(request: Any, answer: FileAnswer, fields: Fields, file: io.FileIO | None) -> None:
    """Answer an ``IRequest`` with ``fields`` and the body of ``answer``; then ``file`` is closed."""
    if file and request.method == b"GET" and answer.length > CHUNK:
        _send_head(request, answer.code, fields)
        _Sender(request, answer, file).start()
        return
    body = b""
    try:
        if request.method != b"HEAD":
            body = b"".join(_chunks(answer.pieces, file))
    except OSError:
        _send_unreadable(request)
        return
    finally:
        if file:
            file.close()
    _send_head(request, answer.code, fields)
    if body:
        request.write(body)
    request.finish()


def _send_unreadable(request: Any) -> None:
    """Answer with 500, and log the exception that is handled."""
    _log.failure("cannot read a static file", level=LogLevel.error)
    answer = refusal(HTTPStatus.INTERNAL_SERVER_ERROR, {})
    send(request, answer, fields_of(answer, ()), None)


def _send_head(request: Any, code: int, fields: Fields) -> None:
    request.setResponseCode(code)
    for name, value in fields:
        request.responseHeaders.addRawHeader(name, value)


def _chunks(pieces: Sequence[bytes | ByteRange], file: io.FileIO | None) -> Iterator[bytes]:
    """Yield a body in chunks of at most 64 KB. It ends early if the file has become shorter."""
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
            continue
        assert file is not None
        offset = piece.start
        while offset < piece.stop:
            chunk = os.pread(file.fileno(), min(CHUNK, piece.stop - offset), offset)
            if not chunk:
                return
            yield chunk
            offset += len(chunk)
