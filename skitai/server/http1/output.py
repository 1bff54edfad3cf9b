"""Sending to one connection without ever holding up who writes.

What the client does not take at once waits here, in memory and then in a temporary file, so that a slow
reader costs neither a thread nor a greenlet.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.logger import Logger
from zope.interface import implementer

from skitai.loop.sending import SendQueue
from skitai.server.request.storage import Storage

_log = Logger()

#: Bytes of one connection that may wait in memory; the rest goes to a temporary file.
MEMORY_MAX = 1 << 20
#: Bytes handed to the transport at a time. Small, because progress is only seen when a piece has left.
PIECE = 32 * 1024
#: Bytes that may wait for the end of the turn; more is worth a system call of its own.
_HELD_MAX = 64 * 1024


class Backlog:
    """A queue of bytes: the first ``memory_max`` in memory, what comes after them in a temporary file.

    ``storage`` counts what the backlogs of all connections take.
    """

    __slots__ = ("_chunks", "_file", "_file_read", "_file_written", "_in_memory", "_memory_max", "_storage")

    def __init__(self, storage: Storage, memory_max: int = MEMORY_MAX) -> None:
        self._storage = storage
        self._chunks: deque[memoryview] = deque()
        self._in_memory = 0
        self._memory_max = memory_max
        self._file: IO[bytes] | None = None
        self._file_read = self._file_written = 0

    def __len__(self) -> int:
        return self._in_memory + self._file_written - self._file_read

    def append(self, data: bytes | memoryview) -> None:
        """Add ``data`` at the end. Raises OSError when there is no room for it."""
        if not data:
            return
        self._storage.reserve(len(data))
        in_file = self._file_written > self._file_read
        fits = self._in_memory + len(data) <= self._memory_max and not self._storage.memory_is_full
        if fits and not in_file:
            self._chunks.append(memoryview(data))
            self._in_memory += len(data)
            return
        try:
            self._append_to_file(data)
        except OSError:
            self._storage.release(len(data), 0)
            raise
        self._storage.move_to_disk(len(data))

    def _append_to_file(self, data: bytes | memoryview) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="skitai-")  # noqa: SIM115 - closed in close()
        self._file.seek(self._file_written)
        self._file.write(data)
        self._file.flush()  # what is held back would find a full disk when nobody expects it
        self._file_written += len(data)

    def take(self, size: int) -> bytes:
        """Remove and return at most ``size`` bytes from the front; empty when nothing waits."""
        if self._chunks:
            chunk = self._chunks.popleft()
            if len(chunk) > size:
                self._chunks.appendleft(chunk[size:])
                chunk = chunk[:size]
            self._in_memory -= len(chunk)
            self._storage.release(len(chunk), 0)
            return bytes(chunk)
        if self._file is None or self._file_read == self._file_written:
            return b""
        self._file.seek(self._file_read)
        data = self._file.read(min(size, self._file_written - self._file_read))
        self._file_read += len(data)
        self._storage.release(0, len(data))
        if self._file_read == self._file_written:  # drained: the space is used again
            self._file_read = self._file_written = 0
            self._file.truncate(0)
        return data

    def close(self) -> None:
        """Drop everything and delete the temporary file."""
        self._storage.release(self._in_memory, self._file_written - self._file_read)
        self._chunks.clear()
        self._in_memory = self._file_read = self._file_written = 0
        if self._file is not None:
            with suppress(OSError):  # a full disk has no room for what nobody wants
                self._file.close()
            self._file = None


class Output:
    """The sending half of a connection. All methods are called in the reactor thread.

    ``on_progress()`` is called when something begins to wait and when a piece of it has left,
    ``on_drained()`` when all of it has.
    """

    __slots__ = ("_backlog", "_on_drained", "_on_progress", "_storage", "_transport")

    def __init__(
        self,
        transport: Any,
        on_progress: Callable[[], None],
        on_drained: Callable[[], None],
        storage: Storage,
    ) -> None:
        self._storage = storage
        self._transport = transport
        self._on_progress = on_progress
        self._on_drained = on_drained
        self._backlog: Backlog | None = None

    def write(self, data: bytes) -> None:
        """Send ``data`` after everything written before; what cannot leave now waits."""
        raise NotImplementedError

    @property
    def waiting(self) -> int:
        """How many bytes wait."""
        backlog = self._backlog  # once: an app's thread asks, too
        return 0 if backlog is None else len(backlog)

    @property
    def blocked(self) -> bool:
        """Whether anything waits: ``on_drained`` will be called."""
        return self._backlog is not None

    def flush(self) -> None:
        """Send what waits for the end of the turn."""

    def close(self, read_on: bool) -> None:
        """Close once all is sent; with ``read_on`` only our half of the connection."""
        raise NotImplementedError

    def hang_up(self) -> None:
        """Close once all is sent, whether or not the client has closed its half."""
        self._transport.loseConnection()

    def detach(self) -> None:
        """Let go of the transport, before it is handed to another protocol."""

    def discard(self) -> None:
        """Drop what waits: the client is gone."""
        if self._backlog is not None:
            self._backlog.close()
            self._backlog = None

    def _hand_over_backlog(self) -> None:
        """Leave what waits to the transport."""
        assert self._backlog is not None
        while piece := self._backlog.take(PIECE):
            self._transport.write(piece)
        self._backlog.close()
        self._backlog = None

    def _next_piece(self) -> bytes:
        assert self._backlog is not None
        piece = self._backlog.take(PIECE)
        if piece:
            self._on_progress()
        else:
            self._backlog.close()
            self._backlog = None
        return piece


@implementer(IPullProducer)
class SocketOutput(Output):
    """Output to a plain socket: it is tried at the end of the turn, without asking the reactor.

    That saves two system calls and a turn of the reactor for every response that the kernel's buffer holds.
    Only a remainder goes through the transport, which then asks for more each time it has sent all.
    """

    __slots__ = ("_held", "_queue", "_send")

    def __init__(
        self,
        transport: Any,
        on_progress: Callable[[], None],
        on_drained: Callable[[], None],
        queue: SendQueue,
        storage: Storage,
    ) -> None:
        super().__init__(transport, on_progress, on_drained, storage)
        self._send = transport.getHandle().send
        self._queue = queue
        self._held = b""

    def write(self, data: bytes) -> None:
        """Send ``data`` after everything written before; what cannot leave now waits."""
        if self._backlog is not None:
            self._backlog.append(data)
        elif self._held:
            self._held += data
            if len(self._held) > _HELD_MAX:
                self.flush()
        else:
            self._held = data
            if len(data) > _HELD_MAX:
                self.flush()
            else:
                self._queue.add(self)

    def flush(self) -> None:
        """Send what waits for the end of the turn."""
        data = self._held
        if not data:
            return
        self._held = b""
        try:
            sent = self._send(data)
        except OSError:
            # The socket is full; or broken, which the transport will find out and report in its way.
            sent = 0
        if sent < len(data):
            self._keep(memoryview(data)[sent:])

    def _keep(self, data: memoryview) -> None:
        backlog = Backlog(self._storage)
        try:
            backlog.append(data)
        except OSError as error:
            # At the end of the turn nobody hears of it; the client must see that something is missing.
            _log.error("cannot buffer a response, its connection is cut: {error}", error=error)
            self._transport.abortConnection()
            return
        self._backlog = backlog
        self._transport.registerProducer(self, False)

    def close(self, read_on: bool) -> None:
        """Close once all is sent; with ``read_on`` only our half of the connection."""
        self.flush()
        if read_on:
            self._transport.loseWriteConnection()
        else:
            self._transport.loseConnection()

    def resumeProducing(self) -> None:
        """Called by the transport when all that it had is sent."""
        if self._backlog is None:
            return
        piece = self._next_piece()
        if piece:
            self._transport.write(piece)
        else:
            self._transport.unregisterProducer()
            self._on_drained()

    def stopProducing(self) -> None:
        """Called by the transport when the connection is lost."""
        self.discard()

    def discard(self) -> None:
        """Drop what waits: the client is gone."""
        self._held = b""
        if self._backlog is not None:
            super().discard()
            self._transport.unregisterProducer()

    def hang_up(self) -> None:
        """Close once all is sent, whether or not the client has closed its half."""
        self.flush()
        super().hang_up()

    def detach(self) -> None:
        """Let go of the transport, before it is handed to another protocol."""
        self.flush()
        if self._backlog is not None:
            self._transport.unregisterProducer()
            self._hand_over_backlog()


@implementer(IPushProducer)
class TransportOutput(Output):
    """Output to a transport that must do the sending itself, such as TLS or a test's in-memory one.

    Progress is seen whenever all that the transport holds has left, which is some 100 KB.
    """

    __slots__ = ("_paused",)

    def __init__(
        self,
        transport: Any,
        on_progress: Callable[[], None],
        on_drained: Callable[[], None],
        storage: Storage,
    ) -> None:
        super().__init__(transport, on_progress, on_drained, storage)
        self._paused = False
        transport.registerProducer(self, True)

    @property
    def blocked(self) -> bool:
        """Whether anything waits, here or with the transport: ``on_drained`` will be called."""
        return self._paused

    def write(self, data: bytes) -> None:
        """Send ``data`` after everything written before; what cannot leave now waits."""
        if self._backlog is not None:
            self._backlog.append(data)
            return
        if not self._paused and len(data) <= PIECE:
            self._transport.write(data)
            return
        rest = memoryview(data)
        while rest and not self._paused:
            self._transport.write(bytes(rest[:PIECE]))
            rest = rest[PIECE:]
        if rest:
            self._backlog = Backlog(self._storage)
            self._backlog.append(rest)

    def pauseProducing(self) -> None:
        """Called by the transport when its buffer is full."""
        self._paused = True
        if self._backlog is None:
            self._on_progress()

    def resumeProducing(self) -> None:
        """Called by the transport when its buffer is empty."""
        self._paused = False
        while self._backlog is not None:
            piece = self._next_piece()
            if piece:
                self._transport.write(piece)
            if self._paused:
                return
        self._on_drained()

    def stopProducing(self) -> None:
        """Called by the transport when the connection is lost."""
        self.discard()

    def close(self, read_on: bool) -> None:  # noqa: ARG002 - TLS has a goodbye of its own, and reads on until then
        """Close once all is sent."""
        self.detach()
        self._transport.loseConnection()

    def hang_up(self) -> None:
        """Close once all is sent, without the client's goodbye, which TLS would wait for."""
        getattr(self._transport, "transport", self._transport).loseConnection()

    def detach(self) -> None:
        """Let go of the transport, before it is closed or handed to another protocol."""
        self._transport.unregisterProducer()
        if self._backlog is not None:
            self._hand_over_backlog()


def output_for(
    transport: Any,
    on_progress: Callable[[], None],
    on_drained: Callable[[], None],
    queue: SendQueue,
    storage: Storage,
) -> Output:
    """Return the right output for ``transport``: straight to the socket where it is a plain one."""
    if hasattr(transport, "getHandle") and not hasattr(transport, "getPeerCertificate"):
        return SocketOutput(transport, on_progress, on_drained, queue, storage)
    return TransportOutput(transport, on_progress, on_drained, storage)
