"""The one way to a connection: it resolves names, races addresses, and does TLS, proxies and Unix sockets."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IHandshakeListener, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from skitai.errors import CODE_SHUTDOWN, CODE_SOCKET_ERROR, UnsentError
from skitai.interfaces import IConnector
from skitai.net.addresses import CONNECT_SECONDS, HostNode, UnixNode, is_public
from skitai.net.client_tls import ClientTLS, ClientTransport, TLSContexts, TLSProfile
from skitai.net.failures import connect_error, connect_timeout, of_proxy
from skitai.net.handover import hand_over
from skitai.net.pem import TLSConfigError
from skitai.net.race import BarredError, OneConnection, Race
from skitai.net.resolving import resolve
from skitai.net.tunnel import Tunnel

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory

    from skitai.net.dns.resolver import Resolver
    from skitai.net.proxies import Proxy

#: Bytes of the path of a Unix socket, without the zero at its end (unix(7)).
_UNIX_PATH_MAX = 107


def _no_proxy(_node: HostNode) -> None:
    """Ask no proxy."""


@implementer(IConnector)
class Connector:
    """Connects protocols to nodes. All of it is called in the reactor thread.

    ``tls`` has the TLS contexts of nodes. ``resolver`` finds addresses (None: the reactor's own does) and is
    closed with the connector. ``route`` returns the proxy for a node, or None. A connection must be made
    within ``timeout`` seconds; DNS, the proxy and the TLS handshake are included.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        tls: TLSContexts | None = None,
        resolver: Resolver | None = None,
        route: Callable[[HostNode], Proxy | None] = _no_proxy,
        timeout: float = CONNECT_SECONDS,
    ) -> None:
        self.reactor = reactor
        self.tls = tls or TLSContexts(TLSProfile())
        self.timeout = timeout
        self._route = route
        self._own_resolver = resolver
        self._attempts: set[_ConnectionAttempt] = set()
        self._closed: list[Deferred[None]] = []
        self._is_closed = False

    @property
    def resolver(self) -> Any:
        """The ``IHostnameResolver`` that finds the addresses of names."""
        return self._own_resolver or self.reactor.nameResolver

    def connect(self, node: Any, factory: IProtocolFactory, *, proxy: Proxy | None = None) -> Deferred[Any]:
        """Connect a protocol of ``factory`` to ``node``; see ``IConnector.connect``."""
        if self._is_closed:
            return fail(UnsentError("the server is shutting down", code=CODE_SHUTDOWN, node=node))
        tls = None
        if isinstance(node, HostNode) and node.tls:
            try:
                tls = self.tls.creator(node.host, node.profile)
            except TLSConfigError as error:
                return fail(UnsentError(f"no TLS with {node.label}: {error}", node=node))
        attempt = _ConnectionAttempt(self, node, factory, tls, proxy)
        self._attempts.add(attempt)
        try:
            attempt.start()
        except Exception:  # noqa: BLE001 - such as a node of no kind that is known
            attempt.fail()
        return attempt.connected

    def resolve(self, host: str) -> Deferred[list[str]]:
        """Fire with the addresses of ``host``; see ``IConnector.resolve``."""
        return resolve(self.resolver, host)

    def proxy_for(self, node: Any) -> Proxy | None:
        """Return the proxy that the config names for a host, or None."""
        return self._route(node)

    def close(self) -> Deferred[None]:
        """Fail every attempt with code 705; fire when their sockets are closed.

        Connections that were handed over stay open.
        """
        self._is_closed = True
        done: Deferred[None] = Deferred()
        self._closed.append(done)
        if self._own_resolver is not None:
            self._own_resolver.close()
        for attempt in list(self._attempts):
            attempt.give_up(UnsentError("the server is shutting down", code=CODE_SHUTDOWN, node=attempt.node))
        self._fire_when_closed()
        return done

    def forget(self, attempt: _ConnectionAttempt) -> None:
        """Drop an attempt whose socket is closed or was handed over."""
        self._attempts.discard(attempt)
        self._fire_when_closed()

    def _fire_when_closed(self) -> None:
        if not self._attempts:
            closed, self._closed = self._closed, []
            for done in closed:
                done.callback(None)


class _ConnectionAttempt:
    """The making of one connection: ``connected`` fires with the protocol, or fails with UnsentError.

    It goes through up to three stages: the socket, a tunnel through the proxy, the TLS handshake. Each stage
    is a protocol of its own that hands the transport to the next, so that in the end the transport has the
    protocol that was asked for, and no wrapper around it.
    """

    def __init__(
        self,
        connector: Connector,
        node: HostNode | UnixNode,
        factory: IProtocolFactory,
        tls: ClientTLS | None,
        proxy: Proxy | None,
    ) -> None:
        self.node = node
        self.connected: Deferred[IProtocol] = Deferred(lambda _: self._stop())
        self._connector = connector
        self._reactor = connector.reactor
        self._factory = factory
        self._tls = tls
        self._proxy = proxy
        self._is_over = False
        # What ends the present stage; ``lost`` follows, now or when the socket is closed.
        self._end_stage: Callable[[], object] = _nothing
        times = getattr(node, "times", None)
        seconds = (times and times.connect) or connector.timeout
        self._timer = self._reactor.callLater(seconds, self._take_too_long)

    def start(self) -> None:
        """Begin with the socket."""
        # The time-out is None: Twisted's would be for each address, ours is for the whole attempt.
        factory = _SocketFactory(self)
        peer = self.node if self._proxy is None else self._proxy.node
        public_only = isinstance(self.node, HostNode) and self.node.public
        if public_only and self._proxy is not None:  # which looks the name up itself
            text = f"{self.node.label}: whether it is at a public address cannot be told through a proxy"
            raise UnsentError(text, code=CODE_SOCKET_ERROR, node=self.node)
        if isinstance(peer, UnixNode):
            if len(os.fsencode(peer.path)) > _UNIX_PATH_MAX:  # Twisted's attempt would never end
                raise UnsentError(f"{peer.label}: the path is too long", code=CODE_SOCKET_ERROR, node=peer)
            try:
                connecting = factory.watch(self._reactor.connectUNIX(peer.path, factory, None))
            except OSError as error:  # Twisted tells its factory of this for TCP only
                raise connect_error(peer, Failure(error)) from error  # type: ignore[no-untyped-call]
            self._set_end_of_stage(connecting.stopConnecting)
        elif peer.at or isIPAddress(peer.host) or isIPv6Address(peer.host):
            address = peer.at or peer.host
            if public_only and not is_public(address):
                raise connect_error(peer, Failure(BarredError()))  # type: ignore[no-untyped-call]
            connecting = factory.watch(self._reactor.connectTCP(address, peer.port, factory, None))
            self._set_end_of_stage(connecting.stopConnecting)
        else:
            allows = is_public if public_only else None
            race = Race(self._reactor, peer.port, factory, self.unreached, allows)
            self._set_end_of_stage(race.cancel)
            race.start(self._connector.resolver, peer.host)

    def give_up(self, error: UnsentError) -> None:
        """Fail with ``error``, now."""
        if not self._is_over:
            self._stop()
            self.connected.errback(error)

    # Called by the stages

    def reached(self, transport: Any) -> None:
        """Go on: the socket is connected."""
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
        self._set_end_of_stage(transport.abortConnection)
        if self._proxy is None:
            self._at_the_node(transport)
        else:
            assert isinstance(self.node, HostNode)
            hand_over(transport, Tunnel(self._proxy, self.node, self._at_the_node, self.lost))

    def unreached(self, reason: Failure) -> None:
        """Fail, because no socket could be connected."""
        if self._proxy is not None:
            error = of_proxy(connect_error(self._proxy.node, reason), self.node)
            reason = Failure(error)  # type: ignore[no-untyped-call]
        self.lost(reason)

    def finish(self, transport: Any, received: bytes = b"") -> None:
        """Hand the connection over, and then the bytes that were ``received`` for it."""
        if self._is_over:
            return
        self._over()
        self._connector.forget(self)
        # The protocol that is being connected may cancel.
        self._end_stage = transport.abortConnection
        try:
            protocol = self._factory.buildProtocol(transport.getPeer())
            assert protocol is not None, "the factory made no protocol"
            hand_over(transport, protocol)
        except Exception:  # noqa: BLE001 - the caller's protocol failed, so the caller is told
            transport.abortConnection()
            if not self.connected.called:
                self.connected.errback()
            return
        finally:
            self._end_stage = _nothing  # or the connection would hold itself
        if self.connected.called:
            return
        self.connected.callback(protocol)
        if received and not transport.disconnecting:
            protocol.dataReceived(received)

    def fail(self) -> None:
        """Fail with the exception that is being handled: there is no socket yet."""
        self._over()
        self._connector.forget(self)
        self.connected.errback()

    def lost(self, reason: Failure) -> None:
        """Fail, because there is no socket or it was closed."""
        if not self._is_over:
            self._over()
            self.connected.errback(connect_error(self.node, reason))
        self._connector.forget(self)

    def _at_the_node(self, transport: Any, received: bytes = b"") -> None:
        """Go on with a transport that leads to the node itself; ``received`` has come from there."""
        if self._is_over:
            return
        if self._tls is None:
            self.finish(transport, received)
            return
        secured: Any = TLSMemoryBIOFactory(self._tls, True, _HandshakeFactory(self), clock=self._reactor)
        secured.protocol = ClientTransport
        hand_over(transport, secured.buildProtocol(transport.getPeer()))

    def _set_end_of_stage(self, end: Callable[[], object]) -> None:
        # A reactor without sockets may connect, or fail to, before its connectTCP returns.
        if not self._is_over:
            self._end_stage = end

    def _take_too_long(self) -> None:
        self.give_up(connect_timeout(self.node, self._proxy))

    def _stop(self) -> None:
        end = self._end_stage
        self._over()
        end()

    def _over(self) -> None:
        self._is_over = True
        self._end_stage = _nothing
        if self._timer.active():
            self._timer.cancel()


def _nothing() -> None:
    """End a stage that needs no end."""


class _SocketFactory(OneConnection):
    """Tells an attempt whether its socket was connected."""

    def __init__(self, attempt: _ConnectionAttempt) -> None:
        self._attempt = attempt

    def buildProtocol(self, addr: IAddress | None) -> Any:  # noqa: ARG002 - Twisted's interface
        return _Socket(self._attempt)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        super().clientConnectionFailed(connector, reason)
        self._attempt.unreached(reason)


class _Stage(Protocol):
    """The protocol of a transport until the next stage takes it over."""

    def __init__(self, attempt: _ConnectionAttempt) -> None:
        self._attempt = attempt

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._attempt.lost(reason)


class _Socket(_Stage):
    """The first stage: the socket is connected."""

    def connectionMade(self) -> None:
        self._attempt.reached(self.transport)


@implementer(IHandshakeListener)
class _Handshake(_Stage):
    """The last stage: the protocol inside TLS until the handshake is over and the certificate verified."""

    def handshakeCompleted(self) -> None:
        self._attempt.finish(self.transport)


class _HandshakeFactory(Factory):
    """Makes the last stage of an attempt."""

    noisy = False

    def __init__(self, attempt: _ConnectionAttempt) -> None:
        self._attempt = attempt

    def buildProtocol(self, addr: IAddress | None) -> Any:  # noqa: ARG002 - Twisted's interface
        return _Handshake(self._attempt)
