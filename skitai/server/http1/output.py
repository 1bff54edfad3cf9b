"""The output of one connection, which never makes its writer wait.

What the client does not read at once waits in a ``Backlog``, so that a slow client holds up neither a thread
nor a greenlet.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.interfaces import IPullProducer, IPushProducer
from zope.interface import implementer

from skitai.loop.sending import Send, SendQueue, sender_of
from skitai.server.http1.backlog import Backlog
from skitai.server.request import noroom
from skitai.server.request.storage import Storage

#: Bytes given to the transport at a time. Few, because progress is only seen when a piece has left.
PIECE = 32 * 1024
#: Bytes that may wait for the end of the turn. More are worth a system call of their own.
_HELD_MAX = 64 * 1024


class Writer(Protocol):
    """Who writes, and is told what becomes of it."""

    def output_progressed(self) -> None:
        """Note that something begins to wait, or that a piece of it was sent."""

    def output_drained(self) -> None:
        """Note that all that waited was sent."""


class _Nobody:
    """Writes nothing, and wants to know nothing."""

    def output_progressed(self) -> None:
        pass

    def output_drained(self) -> None:
        pass


_NOBODY = _Nobody()


class Output:
    """The sending half of a connection, for ``writer``. All methods are called in the reactor thread."""

    __slots__ = ("_backlog", "_storage", "_transport", "_writer", "blocked")

    def __init__(self, transport: Any, writer: Writer, storage: Storage) -> None:
        self._storage = storage
        self._transport = transport
        self._writer: Writer = writer
        self._backlog: Backlog | None = None
        #: Whether anything waits, here or in the transport: then ``output_drained`` will be called.
        self.blocked = False

    def write(self, data: bytes) -> None:
        """Send ``data`` after everything written before; what cannot leave now waits."""
        raise NotImplementedError

    def write_now(self, data: bytes) -> None:
        """Do ``write``, but without waiting for the end of the turn."""
        self.write(data)

    @property
    def waiting(self) -> int:
        """How many bytes wait. Read in any thread."""
        backlog = self._backlog  # read once: this may be an app's thread
        return 0 if backlog is None else len(backlog)

    def flush(self) -> None:
        """Send what waits for the end of the turn."""

    def close(self, read_on: bool) -> None:
        """Close once all is sent; with ``read_on``, only the server's half of the connection."""
        raise NotImplementedError

    def hang_up(self) -> None:
        """Close once all is sent, whether or not the client has closed its half."""
        self._transport.loseConnection()

    def detach(self) -> None:
        """Release the transport, before it is given to another protocol."""

    def discard(self) -> None:
        """Discard what waits: the client is gone."""
        # The writer knows this object: a cycle would keep all of the connection.
        self._writer = _NOBODY
        if self._backlog is not None:
            self._drop_backlog()

    def _drop_backlog(self) -> None:
        assert self._backlog is not None
        self._backlog.close()
        self._backlog = None

    def _hand_over_backlog(self) -> None:
        """Give what waits to the transport."""
        assert self._backlog is not None
        while piece := self._backlog.take(PIECE):
            self._transport.write(piece)
        self._drop_backlog()

    def _next_piece(self) -> bytes:
        assert self._backlog is not None
        piece = self._backlog.take(PIECE)
        if piece:
            self._writer.output_progressed()
        else:
            self._drop_backlog()
        return piece


@implementer(IPullProducer)
class SocketOutput(Output):
    """Output to a plain socket, which is written to at the end of the turn, past the transport.

    That saves two system calls and a turn of the reactor for every response that fits into the kernel's
    buffer. Only the rest goes through the transport, which asks for the next piece when it has sent one.
    """

    __slots__ = ("_held", "_queue", "_send")

    def __init__(
        self,
        transport: Any,
        send: Send,
        writer: Writer,
        queue: SendQueue,
        storage: Storage,
    ) -> None:
        Output.__init__(self, transport, writer, storage)
        self._send = send
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

    def write_now(self, data: bytes) -> None:
        """Do ``write``, but without waiting for the end of the turn."""
        if self._backlog is not None:
            self._backlog.append(data)
        else:
            self._held += data
            self.flush()

    def flush(self) -> None:
        """Send what waits for the end of the turn."""
        data = self._held
        if not data:
            return
        self._held = b""
        try:
            sent = self._send(data)
        except OSError:
            # The socket is full, or broken: then the transport finds that out and reports it.
            sent = 0
        if sent < len(data):
            self._keep(memoryview(data)[sent:])

    def _keep(self, data: memoryview) -> None:
        backlog = Backlog(self._storage)
        try:
            backlog.append(data)
        except OSError as error:
            # At the end of the turn no caller can handle it, and the client must see that bytes are missing.
            noroom.tell(getattr(self._transport.getPeer(), "host", ""), "a response", error)
            self._transport.abortConnection()
            return
        self._backlog = backlog
        self.blocked = True
        self._writer.output_progressed()  # TLS asks for the first piece only when the socket takes something
        self._transport.registerProducer(self, False)

    def close(self, read_on: bool) -> None:
        """Close once all is sent; with ``read_on``, only the server's half of the connection."""
        if self._held:
            self.flush()
        if read_on:
            self._transport.loseWriteConnection()
        else:
            self._transport.loseConnection()

    def resumeProducing(self) -> None:
        """Send the next piece. Called by the transport when it has sent everything."""
        if self._backlog is None:
            return
        piece = self._next_piece()
        if piece:
            self._transport.write(piece)
        else:
            self.blocked = False
            self._transport.unregisterProducer()
            self._writer.output_drained()

    def stopProducing(self) -> None:
        """Called by the transport when the connection is lost."""
        self.discard()

    def discard(self) -> None:
        """Discard what waits: the client is gone."""
        self._held = b""
        self._writer = _NOBODY  # as below
        if self._backlog is not None:
            self.blocked = False
            self._transport.unregisterProducer()
            self._drop_backlog()

    def hang_up(self) -> None:
        """Close once all is sent, whether or not the client has closed its half."""
        self.flush()
        super().hang_up()

    def detach(self) -> None:
        """Release the transport, before it is given to another protocol."""
        self.flush()
        if self._backlog is not None:
            self.blocked = False
            self._transport.unregisterProducer()
            self._hand_over_backlog()


@implementer(IPushProducer)
class TransportOutput(Output):
    """Output to a transport that must do the sending itself, such as TLS or a test's in-memory one.

    Progress is only seen when the transport has sent its whole buffer, about 100 KB.
    """

    __slots__ = ()

    def __init__(self, transport: Any, writer: Writer, storage: Storage) -> None:
        super().__init__(transport, writer, storage)
        transport.registerProducer(self, True)

    def write(self, data: bytes) -> None:
        """Send ``data`` after everything written before; what cannot leave now waits."""
        if self._backlog is not None:
            self._backlog.append(data)
            return
        if not self.blocked and len(data) <= PIECE:
            self._transport.write(data)
            return
        rest = memoryview(data)
        while rest and not self.blocked:
            self._transport.write(bytes(rest[:PIECE]))
            rest = rest[PIECE:]
        if rest:
            self._backlog = Backlog(self._storage)
            self._backlog.append(rest)

    def pauseProducing(self) -> None:
        """Called by the transport when its buffer is full."""
        self.blocked = True
        if self._backlog is None:
            self._writer.output_progressed()

    def resumeProducing(self) -> None:
        """Called by the transport when its buffer is empty."""
        self.blocked = False
        while self._backlog is not None:
            piece = self._next_piece()
            if piece:
                self._transport.write(piece)
            if self.blocked:
                return
        self._writer.output_drained()

    def stopProducing(self) -> None:
        """Called by the transport when the connection is lost."""
        self.discard()

    def close(self, read_on: bool) -> None:  # noqa: ARG002 - TLS closes in its own way, and reads until then
        """Close once all is sent."""
        self.detach()
        self._transport.loseConnection()

    def hang_up(self) -> None:
        """Close once all is sent, without waiting for the client to close TLS."""
        getattr(self._transport, "transport", self._transport).loseConnection()

    def detach(self) -> None:
        """Release the transport, before it is closed or given to another protocol."""
        self._transport.unregisterProducer()
        if self._backlog is not None:
            self._hand_over_backlog()


def output_for(transport: Any, writer: Writer, queue: SendQueue, storage: Storage) -> Output:
    """Return the output for ``transport``: for a socket, with TLS or not, one that writes to it directly."""
    send = sender_of(transport)
    if send is not None:
        return SocketOutput(transport, send, writer, queue, storage)
    return TransportOutput(transport, writer, storage)
