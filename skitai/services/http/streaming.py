"""Bodies that are sent piece by piece, as fast as the node takes them: a file is never whole in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from skitai.errors import OperationError
from skitai.loop.native import Lock, start_thread
from skitai.services.http.filesource import PIECE, BodyError, FileSource

#: How many bodies without a length are read at the same time.
THREADS_MAX = 64
#: Seconds after which a thread that waits for a pipe checks whether the request has ended.
_LOOK_SECONDS = 0.1


class Sender(Protocol):
    """Sends a body; ``done`` says that the transport has all of it."""

    done: bool

    def start(self) -> None:
        """Send what can be sent now, and the rest later."""


class Sendable(Protocol):
    """A body of ``length`` bytes, None where it is unknown, that is sent piece by piece."""

    length: int | None
    repeatable: bool

    def sender(
        self,
        transport: Any,
        *,
        progressed: Callable[[], object],
        failed: Callable[[OperationError], object],
    ) -> Sender:
        """Return what sends it to ``transport``; see ``BodySender``."""


class StreamedBody:
    """A body made of ``parts``.

    ``length`` is the length of all parts in bytes, or None where it is unknown. ``repeatable`` says whether
    the body can be sent a second time.
    """

    def __init__(self, parts: Iterable[bytes | FileSource]) -> None:
        self._parts = tuple(parts)
        lengths = [len(part) if isinstance(part, bytes) else part.length for part in self._parts]
        known = [length for length in lengths if length is not None]
        self.repeatable = len(known) == len(lengths)
        self.length = sum(known) if self.repeatable else None
        self._begun = False

    def sender(
        self,
        transport: Any,
        *,
        progressed: Callable[[], object],
        failed: Callable[[OperationError], object],
    ) -> BodySender:
        """Return what sends it to ``transport``."""
        return BodySender(transport, self, progressed=progressed, failed=failed)

    def open(self) -> BodyReader:
        """Begin at the front; raise ``BodyError`` the second time if the body is not ``repeatable``."""
        if self._begun and not self.repeatable:
            raise BodyError("the file to send cannot be read a second time")
        self._begun = True
        return BodyReader(self._parts)


class BodyReader:
    """Reads the parts of a body once."""

    def __init__(self, parts: Iterable[bytes | FileSource]) -> None:
        self._parts = deque(parts)
        self._offset = 0

    def read(self, wait_for: Callable[[FileSource], object] | None = None) -> bytes:
        """Return the next piece, empty at the end; raise ``BodyError`` if a file cannot be read.

        ``wait_for(file)`` is called before a file is read.
        """
        while self._parts:
            part = self._parts[0]
            if isinstance(part, bytes):
                piece = part[self._offset : self._offset + PIECE]
            else:
                if wait_for is not None:
                    wait_for(part)
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

    ``done`` says that the transport has the whole body. ``progressed`` is called after each piece, ``failed``
    with the ``BodyError`` that ends it early. All methods but ``read_in_thread`` are called in the reactor
    thread.
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
        _threads.forget(self)

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
                # A file without a length, such as a pipe or a socket, may block for any time.
                self._reading = True
                _threads.run(self)

    def read_in_thread(self) -> None:
        """Read one piece and hand it to the reactor. Called in a thread of ``ReaderThreads``."""
        reactor = self._transport.reactor
        try:
            piece = self._reader.read(self._wait_for)
        except BodyError as error:
            reactor.callFromThread(self._fail, error)
        else:
            reactor.callFromThread(self._was_read, piece)

    def _wait_for(self, file: FileSource) -> None:
        while not file.is_ready(_LOOK_SECONDS):
            if self._stopped:
                raise BodyError("nobody waits for the rest of the file")

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


class ReaderThreads:
    """Reads files that may block, in no more than ``most`` threads: further senders wait in order.

    The read of a file-like object of an app cannot be interrupted, so its thread may outlive the call.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._lock = Lock()
        self._waiting: dict[BodySender, None] = {}

    def run(self, sender: BodySender) -> None:
        """Have one piece read for ``sender``, as soon as a thread is free."""
        with self._lock:
            if not self._free:
                self._waiting[sender] = None
                return
            self._free -= 1
        # Not in the reactor's thread pool: the server waits for that one when it stops, but not for daemons.
        start_thread(partial(self._work, sender), "skitai-upload")

    def forget(self, sender: BodySender) -> None:
        """Remove ``sender`` from the queue, if it is there."""
        with self._lock:
            self._waiting.pop(sender, None)

    def _work(self, sender: BodySender) -> None:
        while True:
            sender.read_in_thread()
            with self._lock:
                if not self._waiting:
                    self._free += 1
                    return
                sender = next(iter(self._waiting))
                del self._waiting[sender]


_threads = ReaderThreads(THREADS_MAX)
