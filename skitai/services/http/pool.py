"""The connection pool: the way in, the limits, the one sweep, and the end."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.internet.ssl import optionsForClientTLS

from skitai.calls.result import CODE_SHUTDOWN
from skitai.errors import UnsentError
from skitai.services.http.host import Exchange, Host

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from skitai.services.http.address import HTTPNode
    from skitai.services.http.request import HTTPRequest
    from skitai.services.http.result import HTTPResult

_SWEEP_SECONDS = 5
_TLS_OPTIONS_KEPT = 256


@attrs.frozen
class Limits:
    """What a pool holds back: counts for each node, seconds, and the bytes of a decoded body.

    ``idle`` connections are kept, of ``connections`` in all. One is closed after ``idle_seconds`` without
    use, a request fails after ``silence_seconds`` without a byte; both are looked at every few seconds.
    """

    idle: int = 32
    connections: int = 256
    idle_seconds: float = 10
    silence_seconds: float = 60
    connect_seconds: float = 10
    response_max: int = 64 * 1024 * 1024


class ConnectionPool:
    """Keeps connections to any number of nodes. All of it is called in the reactor thread.

    ``trust_root`` says whose certificates are believed (anything that ``optionsForClientTLS`` takes; None:
    those the platform trusts).
    """

    def __init__(self, reactor: Any, limits: Limits | None = None, trust_root: Any = None) -> None:
        self.reactor = reactor
        self.limits = limits or Limits()
        self.seconds = reactor.seconds
        self._hosts: dict[HTTPNode, Host] = {}
        self._sweeper: IDelayedCall | None = None
        self._closed = False
        self._closing: list[Deferred[None]] = []
        # Each loads the trusted certificates, some milliseconds' work: kept for as many names as are in use.
        self._tls_options_for = lru_cache(_TLS_OPTIONS_KEPT)(
            lambda name: optionsForClientTLS(name, trustRoot=trust_root)
        )

    def ask(self, node: HTTPNode, request: HTTPRequest) -> Deferred[HTTPResult]:
        """Send a request to a node: fire with the ``HTTPResult`` or fail with an ``OperationError``.

        Its codes: 700 closed, 701 refused or TLS, 702 too slow, 704 host not found, 705 shutdown, 706
        socket error, 708 not proper HTTP or too large; an ``UnsentError`` where no byte of it left.
        Cancelling closes the connection, or leaves the queue for one, at once.
        """
        if self._closed:
            return fail(_shutdown_error())
        host = self._hosts.get(node)
        if host is None:
            host = self._hosts[node] = Host(self, node)
            self._sweep_later()
        exchange = Exchange(request, request.encode(node.authority))
        host.start(exchange)
        return exchange.deferred

    def close(self) -> Deferred[None]:
        """Fail all requests with code 705 and close all connections; fire when every socket is closed."""
        self._closed = True
        done: Deferred[None] = Deferred()
        self._closing.append(done)
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for host in list(self._hosts.values()):
            host.close(_shutdown_error())
        self._fire_when_closed()
        return done

    def tls_options(self, node: HTTPNode) -> Any:
        """Return what verifies the node's certificate, or None for a node without TLS."""
        return self._tls_options_for(node.host.rstrip(".")) if node.tls else None

    def forget(self, host: Host) -> None:
        """Drop a host that has no connection left."""
        # What it told last may have led to more requests, and to another one in its place.
        if self._hosts.get(host.node) is host:
            del self._hosts[host.node]
        self._fire_when_closed()

    def _fire_when_closed(self) -> None:
        if self._hosts:
            return
        closing, self._closing = self._closing, []
        for done in closing:
            done.callback(None)

    def _sweep_later(self) -> None:
        if self._sweeper is None:
            self._sweeper = self.reactor.callLater(_SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        now = self.seconds()
        for host in list(self._hosts.values()):
            host.sweep(now)
        if self._hosts:
            self._sweep_later()


def _shutdown_error() -> UnsentError:
    return UnsentError("the server is shutting down", code=CODE_SHUTDOWN)
