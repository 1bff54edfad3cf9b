"""Bodies that leave piece by piece, as fast as the other side takes them: a file is never in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from threading import Thread
from typing import Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from skitai.errors import OperationError
from skitai.services.http.filesource import PIECE, BodyError, FileSource


class StreamedBody:
    """A body made of ``parts``.

    ``length`` is that of all in bytes, or None where it is unknown; ``repeatable`` says whether it can be
    sent a second time.
    """

    def __init__(self, parts: Iterable[bytes | FileSource]) -> None:
        self._parts = tuple(parts)
        lengths = [len(part) if isinstance(part, bytes) else part.length for part in self._parts]
        known = [length for length in lengths if length is not None]
        self.repeatable = len(known) == len(lengths)
        self.length = sum(known) if self.repeatable else None
        self._begun = False

    def open(self) -> BodyReader:
        """Begin at the front; raise ``BodyError`` the second time where that cannot be repeated."""
        if self._begun and not self.repeatable:
            raise BodyError("the file to send cannot be read a second time")
        self._begun = True
        return BodyReader(self._parts)


class BodyReader:
    """Reads the parts of a body once."""

    def __init__(self, parts: Iterable[bytes | FileSource]) -> None:
        self._parts = deque(parts)
        self._offset = 0

    def read(self) -> bytes:
        """Return the next piece, none at the end; raise ``BodyError`` where there should be one."""
        while self._parts:
            part = self._parts[0]
            if isinstance(part, bytes):
                piece = part[self._offset : self._offset + PIECE]
            else:
                piece = part.read(self._offset)
            if piece:
                self._offset += len(piece)
                return piece
            self._parts.popleft()
            self._offset = 0
        return b""


@implementer(IPushProducer)
class BodySender:
    """Hands a body to a transport, chunked where its length is unknown (RFC 9112, section 7.1).

    ``done`` says that all of it was. ``progressed`` is called after each piece, ``failed`` with the
    ``BodyError`` that ends it early. All public methods are called in the reactor thread.
    """

    def __init__(
        self,
        transport: Any,
        body: StreamedBody,
        *,
        progressed: Callable[[], object],
        failed: Callable[[OperationError], object],
    ) -> None:
        self._transport = transport
        self._body = body
        self._progressed = progressed
        self._failed = failed
        self._reader = BodyReader(())
        self._paused = self._reading = self._stopped = False
        self.done = False

    def start(self) -> None:
        """Send as much as the transport takes now, and the rest whenever it takes more."""
        try:
            self._reader = self._body.open()
        except BodyError as error:
            self._fail(error)
            return
        self._transport.registerProducer(self, True)
        self.resumeProducing()

    def pauseProducing(self) -> None:
        """Wait: the transport has enough."""
        self._paused = True

    def stopProducing(self) -> None:
        """Forget the rest: the connection is gone."""
        self._stopped = True

    def resumeProducing(self) -> None:
        """Go on until the transport has enough."""
        self._paused = False
        while not (self._paused or self._reading or self._stopped or self.done):
            if self._body.repeatable:
                try:
                    self._send(self._reader.read())
                except BodyError as error:
                    self._fail(error)
            else:
                self._read_in_thread()

    def _read_in_thread(self) -> None:
        """Read where it may take any time: from a pipe, a socket or whatever else has no length."""
        self._reading = True
        # Of its own, because nobody waits for a daemon when the server stops, but for the reactor's threads.
        Thread(target=self._read, args=(self._transport.reactor,), name="skitai-upload", daemon=True).start()

    def _read(self, reactor: Any) -> None:
        try:
            piece = self._reader.read()
        except BodyError as error:
            reactor.callFromThread(self._fail, error)
        else:
            reactor.callFromThread(self._was_read, piece)

    def _was_read(self, piece: bytes) -> None:
        self._reading = False
        if not self._stopped:
            self._send(piece)
            if not self._paused:
                self.resumeProducing()

    def _send(self, piece: bytes) -> None:
        if self._body.length is None:
            self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        elif piece:
            self._transport.write(piece)
        self._progressed()
        if not piece:
            self.done = True
            self._transport.unregisterProducer()

    def _fail(self, error: BodyError) -> None:
        if not self._stopped:
            self._stopped = True
            self._failed(error)
