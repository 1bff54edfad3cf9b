"""What comes after a reply 101: bytes in both directions, until one of the two sides closes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from zope.interface import implementer

from skitai.interfaces import ILastingProtocol
from skitai.services.proxy.frames import FrameEnds

if TYPE_CHECKING:
    from twisted.python.failure import Failure

#: A websocket's Close with the code 1001, "going away" (RFC 6455, section 7.4.1): that of a server, and that
#: of a client, which is masked.
_CLOSE_OF_SERVER, _CLOSE_OF_CLIENT = b"\x88\x02\x03\xe9", b"\x88\x82\0\0\0\0\x03\xe9"


class Tunnel:
    """Passes bytes between the ends ``client`` and ``member``, each as fast as the other side takes them.

    ``ended`` is called when both connections are closed or being closed. With ``frames`` the protocol is that
    of websockets: when the server stops, both sides are told so. All of it is called in the reactor thread.
    """

    def __init__(self, ended: Callable[[], object], *, frames: bool) -> None:
        self._ended = ended
        self._is_over = self._is_stopping = False
        self.client = TunnelEnd(self, _CLOSE_OF_SERVER, FrameEnds() if frames else None)
        self.member = TunnelEnd(self, _CLOSE_OF_CLIENT, FrameEnds() if frames else None)
        self.client.other, self.member.other = self.member, self.client

    def open(self) -> None:
        """Begin: both ends are connected."""
        for end in (self.client, self.member):
            end.transport.registerProducer(end.other.transport, True)
            with suppress(AttributeError):  # a Unix socket has none
                end.transport.setTcpKeepAlive(True)

    def passed(self) -> None:
        """Note that bytes were passed on: a stop may have waited for the end of a frame."""
        if self._is_stopping:
            self.stop()

    def stop(self) -> None:
        """Tell both sides that the server stops, as soon as no frame is cut by that, and close."""
        self._is_stopping = True
        ends = (self.client, self.member)
        if not self._is_over and all(end.may_stop for end in ends):
            for end in ends:
                end.say_goodbye()
            self.close()

    def close(self) -> None:
        """Close both connections when all that was passed on is sent."""
        if self._is_over:
            return
        self._is_over = True
        for end in (self.client, self.member):
            if end.transport is not None:
                end.transport.unregisterProducer()
                end.transport.loseConnection()
        self._ended()


@implementer(IProtocol, IHalfCloseableProtocol, ILastingProtocol)
class TunnelEnd:
    """The protocol of one of the two connections. ``frames`` follows what is sent to it."""

    other: TunnelEnd

    def __init__(self, tunnel: Tunnel, goodbye: bytes, frames: FrameEnds | None) -> None:
        self.transport: Any = None
        #: Called when it is connected.
        self.connected: Callable[[], object] | None = None
        self._tunnel = tunnel
        self._goodbye = goodbye
        self._frames = frames

    @property
    def may_stop(self) -> bool:
        """Whether something of our own can be sent to it."""
        return self._frames is None or self._frames.at_end

    def say_goodbye(self) -> None:
        """Send the last frame, where there are any."""
        if self._frames is not None:
            self.transport.write(self._goodbye)

    def send(self, data: bytes) -> None:
        """Send what came from the other end, unless this one is closed."""
        if self.transport is None:
            return
        if self._frames is not None:
            self._frames.feed(data)
        self.transport.write(data)

    def makeConnection(self, transport: Any) -> None:
        """Take the transport."""
        self.transport = transport
        if self.connected is not None:
            self.connected()

    def connectionMade(self) -> None:
        """Do nothing: ``makeConnection`` has done it."""

    def dataReceived(self, data: bytes) -> None:
        """Pass bytes on."""
        self.other.send(data)
        self._tunnel.passed()

    def readConnectionLost(self) -> None:
        """Close both ends: this side sends no more, and its transport would wait for its producer."""
        self._tunnel.close()

    def writeConnectionLost(self) -> None:
        """Do nothing: the other direction has an end of its own."""

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002 - of IProtocol
        """Close the other end, too."""
        self.transport = None
        self._tunnel.close()

    def logPrefix(self) -> str:
        """Return the name for Twisted's log."""
        return "skitai-tunnel"

    def stop(self) -> None:
        """Close soon: the server stops."""
        self._tunnel.stop()
