"""Getting one connection: to an address or through the resolver, with TLS or a proxy where asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from OpenSSL.SSL import Error as TLSError
from twisted.internet import error
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import ClientFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from skitai.errors import CODE_DNS, CODE_EXCEPTION, CODE_SOCKET_ERROR, CODE_TIMEOUT, TIMEOUT, UnsentError
from skitai.net.client_tls import ClientTLS, PeerCertificateError
from skitai.net.race import Race
from skitai.net.tunnel import Proxy, TunnelFactory

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IConnector

    from skitai.net.addresses import HTTPNode
    from skitai.services.http.protocol import HTTPConnection


class _ForOne(ClientFactory):
    """Hands out the one connection that was asked for, and tells it when there will be none."""

    noisy = False

    def __init__(self, connection: HTTPConnection, failed: Callable[[Failure], object]) -> None:
        self._connection = connection
        self._failed = failed

    def buildProtocol(self, addr: IAddress | None) -> Any:  # noqa: ARG002 - Twisted's interface
        return self._connection

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:  # noqa: ARG002
        self._failed(reason)


def connect(
    reactor: Any,
    node: HTTPNode,
    connection: HTTPConnection,
    *,
    tls: ClientTLS | None,
    proxy: Proxy | None,
    resolver: Any,
) -> Callable[[], Any]:
    """Start to connect ``connection`` to its node, over ``tls`` and through ``proxy`` where there is one.

    ``resolver`` is an ``IHostnameResolver``. Returns what stops it, before it is connected: nothing here
    limits how long that takes. ``connection`` learns what comes of it, possibly before this returns. Called
    in the reactor thread.
    """
    peer = node if proxy is None else proxy.node
    failed = connection.connectionFailed if proxy is None else _through(proxy, node, connection)
    factory: IProtocolFactory = _ForOne(connection, failed)
    if tls is not None:
        factory = TLSMemoryBIOFactory(tls, True, factory, clock=reactor)
        if proxy is not None:
            factory = TunnelFactory(proxy, node, connection, factory)
    if isIPAddress(peer.host) or isIPv6Address(peer.host):
        stop: Callable[[], Any] = reactor.connectTCP(peer.host, peer.port, factory, None).stopConnecting
        return stop
    race = Race(reactor, peer.port, factory, failed)
    race.start(resolver, peer.host)
    return race.cancel


def _through(proxy: Proxy, node: HTTPNode, connection: HTTPConnection) -> Callable[[Failure], None]:
    """Return what tells ``connection`` that it was the proxy that could not be reached."""

    def failed(reason: Failure) -> None:
        cause = connect_error(proxy.node, reason)
        error = UnsentError(
            f"{cause.message} (the proxy for {node.label})", code=cause.code, status=cause.status, node=node
        )
        error.__cause__ = cause.__cause__
        connection.connectionFailed(Failure(error))  # type: ignore[no-untyped-call]

    return failed


def connect_error(node: HTTPNode, reason: Failure) -> UnsentError:
    """Return what a connection that never came about means for the request that waited for it."""
    cause = reason.value
    if isinstance(cause, UnsentError):
        return cause
    if isinstance(cause, error.DNSLookupError):
        code, text = CODE_DNS, f"host {node.host!r} was not found"
    elif isinstance(cause, error.TimeoutError):
        return connect_timeout(node)
    elif isinstance(cause, error.ConnectionRefusedError):
        code, text = CODE_EXCEPTION, f"{node.label} refused the connection"
    elif isinstance(cause, PeerCertificateError):
        code, text = CODE_EXCEPTION, f"the certificate of {node.label} {cause}"
    elif isinstance(cause, TLSError):
        code, text = CODE_EXCEPTION, f"TLS with {node.label} failed: {tls_text(cause)}"
    else:
        code, text = CODE_SOCKET_ERROR, f"no connection to {node.label}: {reason.getErrorMessage()}"
    failure = UnsentError(text, code=code, node=node)
    failure.__cause__ = cause
    return failure


def connect_timeout(node: HTTPNode, proxy: Proxy | None = None) -> UnsentError:
    """Return the error for a node, or the proxy for it, that lets callers wait."""
    through = f" through {proxy.label}" if proxy is not None else ""
    text = f"no connection to {node.label}{through} in time"
    return UnsentError(text, code=CODE_TIMEOUT, status=TIMEOUT, node=node)


def tls_text(failure: TLSError) -> str:
    """Return OpenSSL's words, which mostly come as a list of (library, function, reason)."""
    entries = failure.args[0] if failure.args else None
    return "; ".join(entry[-1] for entry in entries) if isinstance(entries, list) else str(failure)
