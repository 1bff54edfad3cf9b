"""Which HTTP a new connection speaks: TLS has chosen it (ALPN), or the client's first bytes say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress, IProtocol
from twisted.internet.protocol import Factory
from zope.interface import implementer

from skitai.net.handover import connect_to
from skitai.server.http1.channel import HTTPChannel
from skitai.server.http2.channel import HTTP2Channel
from skitai.server.http2.frames import PREFACE

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from skitai.server.http1.factory import HTTPFactory

#: What ALPN calls the protocol (RFC 9113, section 3.2).
ALPN_NAME = b"h2"


class OpeningFactory(Factory):
    """Makes connections of ``factory`` that may speak HTTP/2, beside those that cannot.

    With ``secure`` that is chosen by TLS; without, a client may begin with the preface of HTTP/2 (section
    3.3). All methods are called in the reactor thread.
    """

    noisy = False

    def __init__(self, factory: HTTPFactory, *, secure: bool) -> None:
        self._factory = factory
        self._secure = secure

    def doStart(self) -> None:
        """Begin, and the factory with it."""
        super().doStart()  # type: ignore[no-untyped-call]
        self._factory.doStart()  # type: ignore[no-untyped-call]

    def doStop(self) -> None:
        """End, and the factory with it."""
        super().doStop()  # type: ignore[no-untyped-call]
        self._factory.doStop()  # type: ignore[no-untyped-call]

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:  # type: ignore[override]  # noqa: ARG002
        """Return what chooses the channel of a new connection; None if there are far too many."""
        opening: IProtocol | None = self._factory.admit(Opening(self._factory, self._secure))
        return opening


@implementer(IProtocol)
class Opening:
    """A connection until it is known what it speaks; then its channel takes its place."""

    __slots__ = ("_direct", "_factory", "_received", "_secure", "deadline", "transport")

    transport: Any
    #: No request is under way.
    busy = 0

    def __init__(self, factory: HTTPFactory, secure: bool) -> None:
        self._factory = factory
        self._secure = secure
        self._received = b""
        self._direct: tuple[IAddress, IAddress] | None = None
        self.deadline = factory.now + factory.limits.header_timeout

    def set_direct(self, client: IAddress, server: IAddress) -> None:
        """Set the addresses that a relaying proxy has named."""
        self._direct = (client, server)

    def makeConnection(self, transport: Any) -> None:
        """Start on a connected transport."""
        self.transport = transport

    def connectionMade(self) -> None:
        """Wait for the first bytes."""

    def dataReceived(self, data: bytes) -> None:
        """Take the first bytes, after which the protocol is known."""
        if self._secure:
            speaks_http2 = self.transport.negotiatedProtocol == ALPN_NAME
        else:
            data = self._received = self._received + data
            speaks_http2 = data[: len(PREFACE)] == PREFACE
            if not speaks_http2 and PREFACE.startswith(data):
                return
        factory = self._factory
        channel = factory.replace(self, HTTP2Channel(factory) if speaks_http2 else HTTPChannel(factory))
        deadline = self.deadline
        connect_to(self.transport, channel)
        channel.deadline = min(channel.deadline, deadline)
        if self._direct is not None:
            channel.set_direct(*self._direct)
        channel.dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002 - of the interface
        """Forget the connection."""
        self._factory.forget(self)

    def timed_out(self) -> None:
        """Close: nothing has come."""
        self.close_when_idle()

    def close_when_idle(self, seconds: float = 0.0) -> None:
        """Close, unless something comes within ``seconds``."""
        if seconds:
            self.deadline = min(self.deadline, self._factory.now + seconds)
        else:
            self.deadline = self._factory.now + self._factory.limits.header_timeout
            self.transport.loseConnection()
