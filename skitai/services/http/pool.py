"""The connection pool: where requests come in, with the limits, the sweep and the shutdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import CancelledError, Deferred, fail

from skitai.config.http import CLIENT_KEYS
from skitai.errors import CODE_SHUTDOWN, UnsentError
from skitai.loop.sending import SendQueue
from skitai.net.connector import Connector
from skitai.services.http.decoding import BadReplyError, finish_in_steps
from skitai.services.http.host import Host
from skitai.services.http.transfer import Asked, Transfer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from skitai.interfaces import IConnector
    from skitai.net.addresses import HTTPNode
    from skitai.services.http.decoding import ReplyBody
    from skitai.services.http.result import HTTPResult

#: The most connections to all nodes together, if the process may open as many files.
CONNECTIONS_MAX = 8192
_SWEEP_SECONDS = 1


def _default(key: str) -> Any:
    return CLIENT_KEYS[key].default


@attrs.frozen
class PoolLimits:
    """What a pool may use: counts, seconds, and the bytes of a decoded body.

    Each node has up to ``connections`` connections, of which ``idle`` are kept without use, and ``waiting``
    requests that wait for one. ``total`` is the limit for all nodes together. A connection is closed after
    ``idle_seconds`` without use. A request fails after ``silence_seconds`` in which the node neither sent nor
    took anything, and after ``head_seconds`` (None: the same) without the head of a reply.
    All are checked once a second.
    """

    idle: int = _default("idle_per_host")
    connections: int = _default("connections_per_host")
    waiting: int = _default("waiting_per_host")
    total: int = CONNECTIONS_MAX
    idle_seconds: float = _default("idle_timeout")
    silence_seconds: float = _default("silence_timeout")
    head_seconds: float | None = _default("head_timeout")
    response_max: int = _default("response_max")


class ConnectionPool:
    """Keeps connections to any number of nodes. All of it is called in the reactor thread.

    ``connector`` makes them; it is not closed with the pool. With ``tunnels`` a proxy is asked for a tunnel
    even without TLS, for requests that switch to another protocol.
    """

    def __init__(
        self,
        reactor: Any,
        limits: PoolLimits | None = None,
        *,
        connector: IConnector | None = None,
        tunnels: bool = False,
    ) -> None:
        self.limits = limits or PoolLimits()
        self.reactor = reactor
        self.seconds = reactor.seconds
        self.sending = SendQueue(reactor)
        self.connector: IConnector = connector or Connector(reactor)
        self.tunnels = tunnels
        #: ``open`` counts connections that exist or are being made, the others requests since the start.
        self.open = self.requests = self.reused = self.errors = 0
        self._hosts: dict[HTTPNode, Host] = {}
        #: Hosts that wait for the limit of all connections, in order. While there are any, no idle ones are
        #: kept.
        self.starved: dict[Host, None] = {}
        self._unpacking: set[Transfer] = set()
        self._sweeper: IDelayedCall | None = None
        self._closed = False
        self._closing: list[Deferred[None]] = []

    def ask(self, node: HTTPNode, request: Asked) -> Deferred[HTTPResult]:
        """Send a request to a node: fire with the ``HTTPResult`` or fail with an ``OperationError``.

        Its codes: 700 closed, 701 refused or TLS failed, 702 too slow, 704 host not found, 705 shutdown, 706
        socket error, 708 malformed or too large reply. It is an ``UnsentError`` if no byte was sent.
        Cancelling closes the connection, or leaves the queue for one, at once.
        """
        if self._closed:
            return fail(_shutdown_error())
        host = self._hosts.get(node)
        if host is None:
            host = self._hosts[node] = Host(self, node)
            self._sweep_later()
        self.requests += 1
        transfer = Transfer(request, host.encode(request))
        host.start(transfer)
        return transfer.deferred

    def close(self) -> Deferred[None]:
        """Fail all requests with code 705 and close all connections; fire when every socket is closed."""
        self._closed = True
        done: Deferred[None] = Deferred()
        self._closing.append(done)
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for transfer in list(self._unpacking):
            transfer.stop()
            self.fail(transfer, _shutdown_error())
        for host in list(self._hosts.values()):
            host.close(_shutdown_error())
        self._fire_when_closed()
        return done

    def statistics(self) -> dict[str, Any]:
        """Return what the status page shows: the sums, and under ``hosts`` the counts of each."""
        hosts = [host.statistics() for host in self._hosts.values()]
        sums = {name: sum(host[name] for host in hosts) for name in ("open", "idle", "in_use", "waiting")}
        return {
            **sums,
            "requests": self.requests,
            "reused": self.reused,
            "errors": self.errors,
            "hosts": hosts,
        }

    # Called by hosts

    def unpack(self, transfer: Transfer, result: HTTPResult, body: ReplyBody) -> None:
        """Decode the rest of a body, a step in each turn of the reactor, and end the transfer."""

        def unpacked(data: bytes) -> None:
            self._unpacking.remove(transfer)
            result.data = data
            transfer.succeed(result)

        def failed(failure: Failure) -> None:
            self._unpacking.remove(transfer)
            error = failure.value
            assert error is not None
            if not isinstance(error, CancelledError):  # else the transfer has ended already
                self.fail(transfer, error.about(result.node) if isinstance(error, BadReplyError) else error)

        self._unpacking.add(transfer)
        unpacking = Deferred.fromCoroutine(finish_in_steps(body, self.reactor))
        transfer.stop = unpacking.cancel
        unpacking.addCallbacks(unpacked, failed)

    def fail(self, transfer: Transfer, error: BaseException) -> None:
        """Count a request that failed, and end it."""
        self.errors += 1
        transfer.fail(error)

    def admits(self, host: Host) -> bool:
        """Return whether ``host`` may open a connection; if not, its ``move_up`` is called in its turn."""
        if self.open < self.limits.total:
            return True
        self.starved[host] = None
        idle = [(since, other) for other in self._hosts.values() if (since := other.idle_since()) is not None]
        if idle:
            min(idle, key=lambda pair: pair[0])[1].close_oldest_idle()
        return False

    def released(self) -> None:
        """Count a connection that is gone, and let the hosts that wait move up in their order."""
        self.open -= 1
        while self.starved and self.open < self.limits.total:
            host = next(iter(self.starved))
            del self.starved[host]
            host.move_up()

    def forget(self, host: Host) -> None:
        """Drop a host that has no connection and no request left."""
        # A callback may have begun another request, and so put a new host in its place.
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
