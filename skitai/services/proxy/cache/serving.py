"""A stored reply as the response to a request."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

from skitai.http.ranges import ByteRange, FileAnswer, partial_answer

if TYPE_CHECKING:
    from skitai.services.proxy.cache.entry import Entry
    from skitai.services.proxy.cache.wants import Wants

_PIECE = 64 * 1024
#: What describes a body that a 304 does not have (RFC 9110, section 15.4.5).
_OF_BODY = frozenset(("content-type", "content-encoding", "content-language", "content-range"))
_REASONS = {206: "Partial Content", 304: "Not Modified", 412: "Precondition Failed"}
_REASONS[416] = "Range Not Satisfiable"


def serve(request: Any, entry: Entry, wants: Wants, now: float, lookup: str) -> None:
    """Respond to a GET or HEAD with a stored reply, which is closed then.

    ``lookup`` says for the client where it comes from, ``now`` is in seconds since the epoch.
    """
    fields = entry.fields_at(now, lookup)
    part = None
    if entry.code == 200 and (wants.conditional or wants.partial):
        part = partial_answer(request.method, request.requestHeaders, entry.representation())
    if part is not None:
        _serve_part(request, entry, fields, part)
    elif entry.body is not None:
        request.respond(entry.status, fields, entry.body)
    else:
        _send(request, entry, entry.status, fields, (ByteRange(0, entry.length),), entry.length)


def _serve_part(request: Any, entry: Entry, fields: Sequence[tuple[str, str]], part: FileAnswer) -> None:
    status = f"{part.code} {_REASONS[part.code]}"
    if part.code == 304:
        kept = [(name, value) for name, value in fields if name.lower() not in _OF_BODY]
        entry.close()
        request.respond(status, kept, b"")
        return
    own = {name.decode("latin-1").lower() for name in part.headers}
    kept = [(name, value) for name, value in fields if name.lower() not in own]
    kept += [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in part.headers.items() if value
    ]
    _send(request, entry, status, kept, part.pieces, part.length)


def _send(
    request: Any,
    entry: Entry,
    status: str,
    fields: Sequence[tuple[str, str]],
    pieces: Sequence[bytes | ByteRange],
    length: int,
) -> None:
    """Send literal bytes and ranges of the body: at once what is short or in memory, else as it is taken."""
    if request.method == b"HEAD":
        entry.close()
        request.start(status, fields, length)
        request.end()
        return
    if entry.body is not None or length <= _PIECE:
        try:
            body = b"".join(_chunks(pieces, entry))
        except OSError:
            request.fail(500)
            return
        finally:
            entry.close()
        request.respond(status, fields, body)
        return
    request.start(status, fields, length)
    sender = _Sender(request, entry, _chunks(pieces, entry))
    request.notifyFinish().addBoth(lambda _: entry.close())
    request.registerProducer(sender, False)


def _chunks(pieces: Sequence[bytes | ByteRange], entry: Entry) -> Iterator[bytes]:
    """Yield a body in pieces of at most 64 KB from a file. It ends early if that is too short."""
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
        elif entry.body is not None:
            yield entry.body[piece.start : piece.stop]
        else:
            assert entry.file is not None
            offset = piece.start
            while offset < piece.stop:
                data = os.pread(entry.file.fileno(), min(_PIECE, piece.stop - offset), offset)
                if not data:
                    return
                yield data
                offset += len(data)


@implementer(IPullProducer)
class _Sender:
    """Sends ``chunks`` of the body of ``entry``, one whenever the last has left."""

    def __init__(self, request: Any, entry: Entry, chunks: Iterator[bytes]) -> None:
        self._request = request
        self._entry = entry
        self._chunks = chunks

    def resumeProducing(self) -> None:
        """Write the next piece; after the last one, or if the file cannot be read, finish."""
        if self._entry.file is None or self._entry.file.closed:
            return
        try:
            data = next(self._chunks, None)
        except OSError:
            data = None
        if data is not None:
            self._request.write(data)
            return
        self._entry.close()
        self._request.unregisterProducer()
        self._request.finish()

    def stopProducing(self) -> None:
        """Close the file: the client is gone."""
        self._entry.close()
