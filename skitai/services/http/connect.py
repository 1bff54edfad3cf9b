"""Getting one connection: to an IP address at once, to a name through the resolver, with TLS where asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from OpenSSL.SSL import Error as TLSError
from service_identity import VerificationError
from twisted.internet import error
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import ClientFactory
from twisted.protocols.tls import TLSMemoryBIOFactory

from skitai.calls.result import CODE_DNS, CODE_EXCEPTION, CODE_TIMEOUT, TIMEOUT
from skitai.errors import UnsentError

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IConnector
    from twisted.python.failure import Failure

    from skitai.services.http.address import HTTPNode
    from skitai.services.http.protocol import HTTPConnection

CODE_SOCKET_ERROR = 706


class _ForOne(ClientFactory):
    """Hands out the one connection that was asked for, and tells it when there will be none."""

    noisy = False

    def __init__(self, connection: HTTPConnection) -> None:
        self._connection = connection

    def buildProtocol(self, addr: IAddress | None) -> Any:  # noqa: ARG002 - Twisted's interface
        return self._connection

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:  # noqa: ARG002
        self._connection.connectionFailed(reason)


def connect(
    reactor: Any, node: HTTPNode, connection: HTTPConnection, *, tls_options: Any, timeout: float
) -> Callable[[], Any]:
    """Start to connect ``connection`` to its node, over TLS where ``tls_options`` are given.

    ``timeout`` (seconds) limits each address that is tried. Returns what stops it, before it is connected.
    ``connection`` learns what comes of it, possibly before this returns. Called in the reactor thread.
    """
    factory: IProtocolFactory = _ForOne(connection)
    if tls_options is not None:
        factory = TLSMemoryBIOFactory(tls_options, True, factory, clock=reactor)
    # HostnameEndpoint refuses underscores, which names of containers have; the reactor itself does not.
    if isIPAddress(node.host) or isIPv6Address(node.host) or "_" in node.host:
        stop: Callable[[], Any] = reactor.connectTCP(node.host, node.port, factory, timeout).stopConnecting
        return stop
    attempt = HostnameEndpoint(reactor, node.host, node.port, timeout).connect(factory)
    attempt.addErrback(connection.connectionFailed)
    return attempt.cancel


def connect_error(node: HTTPNode, reason: Failure) -> UnsentError:
    """Return what a connection that never came about means for the request that waited for it."""
    cause = reason.value
    if isinstance(cause, error.DNSLookupError):
        code, text = CODE_DNS, f"host {node.host!r} was not found"
    elif isinstance(cause, error.TimeoutError):
        return connect_timeout(node)
    elif isinstance(cause, error.ConnectionRefusedError):
        code, text = CODE_EXCEPTION, f"{node.label} refused the connection"
    elif isinstance(cause, VerificationError):
        code, text = CODE_EXCEPTION, f"the certificate of {node.label} is not for {node.host!r}"
    elif isinstance(cause, TLSError):
        code, text = CODE_EXCEPTION, f"TLS with {node.label} failed: {_tls_text(cause)}"
    else:
        code, text = CODE_SOCKET_ERROR, f"no connection to {node.label}: {reason.getErrorMessage()}"
    failure = UnsentError(text, code=code, node=node)
    failure.__cause__ = cause
    return failure


def connect_timeout(node: HTTPNode) -> UnsentError:
    """Return the error for a node that lets callers wait."""
    return UnsentError(f"no connection to {node.label} in time", code=CODE_TIMEOUT, status=TIMEOUT, node=node)


def _tls_text(failure: TLSError) -> str:
    """Return OpenSSL's words, which mostly come as a list of (library, function, reason)."""
    entries = failure.args[0] if failure.args else None
    return "; ".join(entry[-1] for entry in entries) if isinstance(entries, list) else str(failure)
