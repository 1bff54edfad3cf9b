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

from skitai.http.ranges import CONDITIONS, ByteRange, FileAnswer, refusal
from skitai.server.request.compress import negotiate, takes_gzip
from skitai.server.static.wholes import Fields, Whole, Wholes, fields_of

if TYPE_CHECKING:
    from skitai.server.request.request import Request

_log = Logger()

#: Bytes that are read at a time. A file that has no more is sent at once.
CHUNK = 64 * 1024
_OK, _NOT_MODIFIED = 200, 304
#: A request with both has only the first one looked at (RFC 9110, section 13.2.2).
_REVALIDATING = frozenset((b"if-none-match", b"if-modified-since"))


@implementer(IPullProducer)
class _Sender:
    """Sends the body of ``answer`` from ``file`` chunk by chunk, and closes the file in any case.

    Where that ends early, so does the connection: compressed, a part would look complete.
    """

    def __init__(self, request: Any, answer: FileAnswer, file: io.FileIO) -> None:
        self._request = request
        self._file = file
        self._chunks = _chunks(answer.pieces, file)
        self._left = answer.length

    def start(self) -> None:
        self._request.notifyFinish().addBoth(lambda _: self._file.close())
        self._request.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Write the next chunk. After the last one, finish; if the file cannot be read, break off."""
        if self._file.closed:
            return
        try:
            chunk = next(self._chunks, None)
        except OSError:
            _log.failure("cannot read a static file: its response breaks off", level=LogLevel.error)
            self._stop()
            self._request.loseConnection()
            return
        if chunk is not None:
            self._left -= len(chunk)
            self._request.write(chunk)
            return
        self._stop()
        _finish(self._request, self._left)

    def _stop(self) -> None:
        self._file.close()
        self._request.unregisterProducer()

    def stopProducing(self) -> None:
        """Close the file: the client has gone."""
        self._file.close()


def sent_shortly(request: Request, file: io.FileIO, whole: Whole, wholes: Wholes) -> bool:
    """Answer a GET or HEAD ``request`` if it is one of the usual ones, and return whether it is.

    These ask for all of a small ``file``, for its head, or whether it has changed. ``whole``, which is of
    ``wholes``, is what is sent then, and the file is closed. It takes a fraction of the time of ``send``.
    """
    conditions = CONDITIONS.intersection([name for name, _ in request.headers])
    if not conditions and (whole.size <= CHUNK or request.method == b"HEAD"):
        _send_whole(request, file, whole, wholes)
    elif conditions and conditions <= _REVALIDATING and whole.is_known_to(request):
        file.close()
        _, fields = negotiate(request, _NOT_MODIFIED, whole.unchanged, None)
        request.respond("304 Not Modified", fields, b"")
    else:
        return False
    return True


def _send_whole(request: Request, file: io.FileIO, whole: Whole, wholes: Wholes) -> None:
    fields, body = whole.fields, b""
    try:
        if request.method == b"HEAD":
            _, fields = negotiate(request, _OK, fields, whole.size)
        elif whole.compressed is not None and takes_gzip(request):
            fields, body = whole.compressed
        else:
            body = os.pread(file.fileno(), whole.size, 0)
            if len(body) == whole.size:  # else it has become shorter: compressed, it would look complete
                compressor, fields = negotiate(request, _OK, fields, whole.size)
                if compressor is not None:
                    body = compressor.flush(body)
                    wholes.keep(whole, fields, body)
    except OSError:
        _send_unreadable(request)
        return
    finally:
        file.close()
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
    _finish(request, 0 if request.method == b"HEAD" else answer.length - len(body))


def _finish(request: Any, missing: int) -> None:
    """Complete the response, unless bytes of it are ``missing``: then the client must see that."""
    if missing:
        _log.warn("{uri}: the file has become shorter: its response breaks off", uri=request.uri)
        request.loseConnection()
    else:
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
