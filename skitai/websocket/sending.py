"""The sending half of a websocket: what is sent in a turn of the reactor leaves together, at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPullProducer, IPushProducer
from zope.interface import implementer

from skitai.loop.sending import Send, SendQueue, sender_of
from skitai.loop.untaken import untaken

#: Bytes given to a transport at a time.
_PIECE = 64 * 1024


def _nothing() -> None:
    """Tell nobody."""


class Outgoing:
    """What is to be sent. All methods are called in the reactor thread.

    ``waiting`` is how many bytes have yet to leave. ``on_drained()`` is called when that is 0 again.
    """

    __slots__ = ("_held", "_late", "_on_drained", "_queue", "_transport", "waiting")

    def __init__(self, transport: Any, queue: SendQueue, on_drained: Callable[[], None]) -> None:
        self.waiting = 0
        self._transport = transport
        self._queue = queue
        self._on_drained = on_drained
        #: What waits for the end of the turn.
        self._held: list[bytes] = []
        #: What the transport could not take: None while nothing had to wait for it.
        self._late: bytearray | None = None

    @property
    def blocked(self) -> bool:
        """Whether the peer takes less than we send."""
        return self._late is not None

    @property
    def untaken(self) -> int:
        """How many bytes the peer has yet to acknowledge, with those in the kernel. A slow peer lessens it.

        ``waiting`` alone would not show that: the kernel takes more only when a third of megabytes is free.
        """
        return self.waiting + untaken(self._transport)

    def write(self, data: bytes) -> None:
        """Send ``data`` after everything written before."""
        self.waiting += len(data)
        if self._late is not None:
            self._late += data
            return
        held = self._held
        held.append(data)
        if len(held) == 1:
            self._queue.add(self)
        elif self.waiting > _PIECE:
            self.flush()

    def flush(self) -> None:
        """Send what waits for the end of the turn."""
        held = self._held
        if held:
            self._held = []
            self._send(held[0] if len(held) == 1 else b"".join(held))

    def discard(self) -> None:
        """Drop what waits: the connection is gone."""
        self._held.clear()
        self._late = None
        self.waiting = 0
        self._on_drained = _nothing  # it belongs to who knows this object

    def hang_up(self) -> None:
        """Close the connection once all is sent."""
        raise NotImplementedError

    def _send(self, data: bytes) -> None:
        raise NotImplementedError

    def _next_piece(self) -> bytes:
        assert self._late is not None
        piece = bytes(self._late[:_PIECE])
        del self._late[:_PIECE]
        return piece


@implementer(IPullProducer)
class SocketOutgoing(Outgoing):
    """Sends to a plain socket past the transport, which takes what does not fit into the kernel's buffer.

    A write of the transport would cost two system calls more, and a turn of the reactor.
    """

    __slots__ = ("_given", "_socket_send")

    def __init__(self, transport: Any, send: Send, queue: SendQueue, on_drained: Callable[[], None]) -> None:
        super().__init__(transport, queue, on_drained)
        self._socket_send = send
        self._given = 0

    def _send(self, data: bytes) -> None:
        try:
            sent = self._socket_send(data)
        except OSError:
            sent = 0  # the socket is full, or broken: then the transport finds that out and reports it
        self.waiting -= sent
        if sent == len(data):
            self._on_drained()
        else:
            self._late = bytearray(memoryview(data)[sent:])
            self._transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Give the transport the next piece: it has sent everything."""
        if self._late is None:
            return
        self.waiting -= self._given
        piece = self._next_piece()
        self._given = len(piece)
        if piece:
            self._transport.write(piece)
        else:
            self._late = None
            self._transport.unregisterProducer()
            self._on_drained()

    def stopProducing(self) -> None:
        """Called by the transport when the connection is lost."""
        self.discard()

    def hang_up(self) -> None:
        """Close the connection once all is sent."""
        self.flush()
        self._transport.loseConnection()


@implementer(IPushProducer)
class TransportOutgoing(Outgoing):
    """Sends through a transport that must do it itself, such as TLS. It says when it has too much."""

    __slots__ = ("_given", "_hung_up", "_paused")

    def __init__(self, transport: Any, queue: SendQueue, on_drained: Callable[[], None]) -> None:
        super().__init__(transport, queue, on_drained)
        self._given = 0
        self._paused = self._hung_up = False
        transport.registerProducer(self, True)

    def _send(self, data: bytes) -> None:
        if len(data) > _PIECE:
            self._late = bytearray(data)
            self._go_on()
            return
        self._give(data)
        if self._paused:
            self._late = bytearray()
        else:
            self._on_drained()

    def _give(self, piece: bytes) -> None:
        self._transport.write(piece)
        if self._paused:
            self._given = len(piece)
        else:
            self.waiting -= len(piece)

    def _go_on(self) -> None:
        while self._late and not self._paused:
            self._give(self._next_piece())
        if not self._paused and self._late is not None:
            self._late = None
            self._on_drained()
            if self._hung_up:
                self._lose()

    def pauseProducing(self) -> None:
        """Called by the transport when its buffer is full."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Called by the transport when its buffer is empty."""
        self._paused = False
        self.waiting -= self._given
        self._given = 0
        self._go_on()

    def stopProducing(self) -> None:
        """Called by the transport when the connection is lost."""
        self.discard()

    def hang_up(self) -> None:
        """Close the connection once all is sent."""
        self.flush()
        if self._late is None:
            self._lose()
        else:
            self._hung_up = True

    def _lose(self) -> None:
        # In this order: while there is a producer, TLS closes without what it has taken last.
        self._transport.unregisterProducer()
        self._transport.loseConnection()


def outgoing_for(transport: Any, queue: SendQueue, on_drained: Callable[[], None]) -> Outgoing:
    """Return what sends to ``transport``: for a socket, with TLS or not, what writes to it directly."""
    send = sender_of(transport)
    if send is not None:
        return SocketOutgoing(transport, send, queue, on_drained)
    return TransportOutgoing(transport, queue, on_drained)
