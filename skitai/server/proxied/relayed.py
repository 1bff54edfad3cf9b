"""Connections that begin with a header of the PROXY protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger

from skitai.http.hosts import peer_name
from skitai.net.handover import connect_to, pass_on
from skitai.server.proxied.header import ProxyHeader, ProxyHeaderError, read_header

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol
    from twisted.python.failure import Failure

    from skitai.net.trust import TrustedProxies

_log = Logger()


class RelayedFactory(Factory):
    """Makes the protocols of ``factory``, when the header has come.

    It must come within ``timeout`` seconds, from one of ``proxies``; any other peer is not answered. All
    methods are called in the reactor thread.
    """

    noisy = False

    def __init__(self, factory: Any, proxies: TrustedProxies, reactor: Any, timeout: float) -> None:
        self.factory = factory
        self.reactor = reactor
        self.timeout = timeout
        self._proxies = proxies
        self._refused: set[str] = set()

    def doStart(self) -> None:
        """Begin, and the factory with it."""
        super().doStart()  # type: ignore[no-untyped-call]
        self.factory.doStart()

    def doStop(self) -> None:
        """End, and the factory with it."""
        super().doStop()  # type: ignore[no-untyped-call]
        self.factory.doStop()

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:  # type: ignore[override]
        """Return what reads the header; None for a peer that is no proxy of ours."""
        if self._proxies.trusts(addr):
            return _Header(self, addr)
        host = peer_name(addr)
        if host not in self._refused and len(self._refused) < 100:  # told once of each
            self._refused.add(host)
            _log.warn("{host} is not in trusted_proxies: proxy_protocol = yes refuses it", host=host)
        return None


class _Header(Protocol):
    """Reads the header, then gives the connection to the protocol that answers."""

    def __init__(self, factory: RelayedFactory, peer: IAddress) -> None:
        self._factory = factory
        self._peer = peer
        self._received = b""
        self._timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Wait for the header."""
        factory = self._factory
        self._timer = factory.reactor.callLater(
            factory.timeout, self._give_up, "no PROXY header came in time"
        )

    def dataReceived(self, data: bytes) -> None:
        """Take a part of the header, or what follows it."""
        self._received += data
        try:
            header = read_header(self._received)
        except ProxyHeaderError as error:
            self._give_up(str(error))
        else:
            if header is not None:
                self._go_on(header)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002 - of the interface
        """Wait no more."""
        self._stop_waiting()

    def _stop_waiting(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _give_up(self, problem: str) -> None:
        _log.warn("{peer}: {problem}: the connection is closed", peer=peer_name(self._peer), problem=problem)
        self._stop_waiting()
        assert self.transport is not None
        self.transport.abortConnection()  # type: ignore[attr-defined]

    def _go_on(self, header: ProxyHeader) -> None:
        self._stop_waiting()
        protocol = self._factory.factory.buildProtocol(self._peer)
        transport: Any = self.transport
        if protocol is None:
            transport.abortConnection()
            return
        connect_to(transport, protocol)
        if header.client is not None:
            # With TLS the protocol that answers is within the one that decrypts.
            answering: Any = getattr(protocol, "wrappedProtocol", protocol)
            answering.set_direct(header.client, header.server)
        pass_on(protocol, self._received[header.length :])
