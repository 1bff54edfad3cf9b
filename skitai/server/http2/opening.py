"""Which HTTP a new connection speaks: TLS has chosen it (ALPN), or the client's first bytes say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress, IProtocol
from twisted.internet.protocol import Factory
from zope.interface import implementer

from skitai.net.handover import connect_to
from skitai.server.http1.channel import HTTPChannel
from skitai.server.http1.states import State
from skitai.server.http2.channel import HTTP2Channel
from skitai.server.http2.frames import PREFACE

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from skitai.server.http1.factory import HTTPFactory

#: What ALPN calls the protocol (RFC 9113, section 3.2).
ALPN_NAME = b"h2"
_SERVING = State.SERVING


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
        """Return what begins a new connection; None if there are far too many."""
        kind = SecureOpening if self._secure else Opening
        opening: IProtocol | None = self._factory.admit(kind(self._factory))
        return opening


class SecureOpening(HTTPChannel):
    """The channel of a connection with TLS: of HTTP/1.1, unless that chooses HTTP/2.

    So a connection of HTTP/1.1 needs no second object: a twelfth of the calls that it takes in all.
    """

    __slots__ = ()

    def dataReceived(self, data: bytes) -> None:
        """Take the first bytes: TLS has chosen the protocol."""
        if self.state is _SERVING and self.transport.negotiatedProtocol == ALPN_NAME:
            self._speak_http2(data)
            return
        self.__class__ = HTTPChannel  # type: ignore[assignment]  # which it was all along
        self.dataReceived(data)

    def _speak_http2(self, data: bytes) -> None:
        client, server, _ = self._direct
        channel = _in_place_of(self, HTTP2Channel(self.factory))
        channel.set_direct(client, server)  # which a relaying proxy may have named
        # They know this object: a cycle would keep the connection for the garbage collector.
        self.output.discard()
        self._reader.forget()
        channel.dataReceived(data)


@implementer(IProtocol)
class Opening:
    """A connection without TLS until it is known what it speaks; then its channel takes its place."""

    __slots__ = ("_direct", "_received", "deadline", "factory", "transport")

    transport: Any
    #: No request is under way.
    busy = 0

    def __init__(self, factory: HTTPFactory) -> None:
        self.factory = factory
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
        data = self._received = self._received + data
        speaks_http2 = data[: len(PREFACE)] == PREFACE
        if not speaks_http2 and PREFACE.startswith(data):
            return
        factory = self.factory
        channel = _in_place_of(self, HTTP2Channel(factory) if speaks_http2 else HTTPChannel(factory))
        if self._direct is not None:
            channel.set_direct(*self._direct)
        channel.dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002 - of the interface
        """Forget the connection."""
        self.factory.forget(self)

    def timed_out(self) -> None:
        """Close: nothing has come."""
        self.close_when_idle()

    def close_when_idle(self, seconds: float = 0.0) -> None:
        """Close, unless something comes within ``seconds``."""
        if seconds:
            self.deadline = min(self.deadline, self.factory.now + seconds)
        else:
            self.deadline = self.factory.now + self.factory.limits.header_timeout
            self.transport.loseConnection()


def _in_place_of(opening: Any, channel: Any) -> Any:
    """Give the connection of ``opening`` to ``channel``, with what is left of its time; return that."""
    opening.factory.replace(opening, channel)
    deadline = opening.deadline
    connect_to(opening.transport, channel)
    channel.deadline = min(channel.deadline, deadline)
    return channel
