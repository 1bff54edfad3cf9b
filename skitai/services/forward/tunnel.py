"""A tunnel of CONNECT: bytes in both directions, each of which ends by itself (RFC 9110, section 9.3.6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import ISSLTransport

from skitai.services.proxy.tunnel import Tunnel, TunnelEnd

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

#: When the server stops, a tunnel is closed through which nothing goes for so many seconds.
QUIET_SECONDS = 1.0


class ConnectTunnel(Tunnel):
    """Passes bytes on between the client and the destination, here called member.

    A side that has sent all is closed at the other side, too, which may still answer; with TLS there are no
    half-closed connections. After ``idle_seconds`` in which nothing went through, both are closed, and what a
    closed one has not taken by then is lost. ``ended(sent, received)`` is called once, with the bytes of the
    client and those for it. All of it is called in the reactor thread.
    """

    def __init__(self, reactor: Any, idle_seconds: float, ended: Callable[[int, int], object]) -> None:
        super().__init__(lambda: ended(self.client.received, self.member.received), frames=False)
        self._reactor = reactor
        self._idle_seconds = idle_seconds
        self._active = reactor.seconds()
        self._timer: IDelayedCall | None = None
        self.client: ConnectEnd = ConnectEnd(self)
        self.member: ConnectEnd = ConnectEnd(self)
        self.client.other, self.member.other = self.member, self.client

    def open(self) -> None:
        """Begin: both sides are connected."""
        super().open()
        self.passed()
        self._look()

    def passed(self) -> None:
        """Note that bytes were passed on."""
        self._active = self._reactor.seconds()

    def stop(self) -> None:
        """Close as soon as the tunnel is quiet: nobody can say what is in it."""
        self._idle_seconds = min(self._idle_seconds, QUIET_SECONDS)
        self._look()

    def read_ended(self, end: ConnectEnd) -> None:
        """Pass on that one side sends nothing more."""
        other = end.other
        end.has_ended = True
        if other.has_ended or not (end.may_half_close and other.may_half_close):
            self.close()
        elif not self._is_over and other.transport is not None:
            other.transport.unregisterProducer()
            other.transport.loseWriteConnection()

    def close(self) -> None:
        """Close both sides when what was passed on is sent, or does not go out for too long."""
        if not self._is_over:
            self.passed()
        super().close()
        self._look()

    def _look(self) -> None:
        """Close, or cut what is closed already, when nothing has gone through for long enough."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        transports = [end.transport for end in (self.client, self.member) if end.transport is not None]
        if self._is_over and not transports:
            return
        left = self._active + self._idle_seconds - self._reactor.seconds()
        if left > 0:
            self._timer = self._reactor.callLater(left, self._look)
        elif self._is_over:
            for transport in transports:
                transport.abortConnection()
        else:
            self.close()


class ConnectEnd(TunnelEnd):
    """The protocol of one side; ``received`` counts the bytes that came from it."""

    _tunnel: ConnectTunnel
    other: ConnectEnd

    def __init__(self, tunnel: ConnectTunnel) -> None:
        super().__init__(tunnel, b"", None)
        self.received = 0
        #: Whether it sends nothing more.
        self.has_ended = False

    @property
    def may_half_close(self) -> bool:
        """Whether one direction can be closed alone."""
        return not ISSLTransport.providedBy(self.transport)

    def dataReceived(self, data: bytes) -> None:
        """Pass bytes on."""
        self.received += len(data)
        super().dataReceived(data)

    def readConnectionLost(self) -> None:
        """Pass the end on, once."""
        if not self.has_ended:
            self._tunnel.read_ended(self)
