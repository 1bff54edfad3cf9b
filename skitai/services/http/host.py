"""All connections to one node, and the requests that wait for one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from skitai.errors import CODE_EXCEPTION, OperationError, OperationTimeout, UnsentError
from skitai.net.connect import connect, connect_timeout
from skitai.services.http.protocol import HTTPConnection

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from skitai.net.addresses import HTTPNode
    from skitai.services.http.pool import ConnectionPool
    from skitai.services.http.request import HTTPRequest
    from skitai.services.http.result import HTTPResult


class Exchange:
    """One request on its way: ``deferred`` fires with its outcome, ``stop`` is what cancels it now."""

    __slots__ = ("deferred", "payload", "request", "stop")

    def __init__(self, request: HTTPRequest, payload: bytes) -> None:
        self.request = request
        self.payload = payload
        self.stop: Callable[[], object]
        self.deferred: Deferred[HTTPResult] = Deferred(self._cancelled)

    def _cancelled(self, _deferred: Deferred[HTTPResult]) -> None:
        self.stop()


class Host:
    """The connections to ``node``. Requests beyond the limits wait in the order they came.

    It is the ``Owner`` of its connections. All of it is called in the reactor thread.
    """

    def __init__(self, pool: ConnectionPool, node: HTTPNode) -> None:
        self._pool = pool
        self._limits = pool.limits
        self.node = node
        self._authority = node.authority
        self._proxy = pool.route(node)
        self._moving_up = False
        self._idle: list[HTTPConnection] = []
        self._connections: set[HTTPConnection] = set()
        #: What ends the attempts to connect that take too long.
        self._timers: dict[HTTPConnection, IDelayedCall] = {}
        self._waiting: deque[Exchange] = deque()

    def encode(self, request: HTTPRequest) -> bytes:
        """Return the bytes of the request as the node, or the proxy for it, wants them."""
        payload = request.encode(self._authority)
        if self._proxy is not None and not self.node.tls:
            return self._proxy.forwarded(self.node, payload)
        return payload

    def start(self, exchange: Exchange) -> None:
        """Send the request now if a connection is free, else over a new one, else in its turn."""
        if self._idle:
            # The latest to become idle is the least likely to be stale.
            self._give(self._idle.pop(), exchange)
        elif self._may_open():
            self._open(exchange)
        elif len(self._waiting) < self._limits.waiting:
            exchange.stop = lambda: self._leave_queue(exchange)
            self._waiting.append(exchange)
        else:
            text = f"{self._limits.waiting} requests wait for a connection to {self.node.label} already"
            self._fail(exchange, UnsentError(text, code=CODE_EXCEPTION, node=self.node))
            self._forget_if_empty()

    def sweep(self, now: float) -> None:
        """Close what has been idle for too long, and fail what has been silent for too long."""
        for connection in list(self._connections):
            age = now - connection.active
            if connection.exchange is None:
                if age >= self._limits.idle_seconds:
                    self._retire(connection)
            elif connection.open and age >= self._limits.silence_seconds:
                text = f"{self.node.label} sent nothing for {self._limits.silence_seconds:g} seconds"
                self.failed(connection, OperationTimeout(text, node=self.node))

    def close(self, error: OperationError) -> None:
        """Fail every request and close every connection."""
        waiting, self._waiting = self._waiting, deque()
        for exchange in waiting:
            self._fail(exchange, error)
        for connection in list(self._connections):
            self.failed(connection, error)
        self._forget_if_empty()

    def idle_since(self) -> float | None:
        """Return when the connection that is idle for longest was used last, None if none is idle."""
        return self._idle[0].active if self._idle else None

    def close_oldest_idle(self) -> None:
        """Give up one idle connection, so that another host can have one."""
        self._idle.pop(0).abort()

    def move_up(self) -> None:
        """Open connections for those that wait, as far as the limits allow."""
        # An attempt may fail at once and lead back here: then the loop below goes on.
        if self._moving_up:
            return
        self._moving_up = True
        while self._waiting and self._may_open():
            self._open(self._waiting.popleft())
        self._moving_up = False
        self._forget_if_empty()

    def statistics(self) -> dict[str, Any]:
        """Return how many connections are ``open``, ``idle`` and ``in_use``, and how many requests wait."""
        return {
            "host": self.node.label,
            "tls": self.node.tls,
            "open": len(self._connections),
            "idle": len(self._idle),
            "in_use": len(self._connections) - len(self._idle),
            "waiting": len(self._waiting),
        }

    # What connections report (protocol.Owner)

    def ready(self, connection: HTTPConnection) -> None:
        """Send the request that the connection was opened for."""
        self._timers.pop(connection).cancel()
        self._give(connection, connection.exchange)

    def replied(self, connection: HTTPConnection, result: HTTPResult, *, reusable: bool) -> None:
        """Hand over the reply and put the connection to further use."""
        exchange, connection.exchange = connection.exchange, None
        if not reusable:
            connection.abort()
        elif self._waiting:
            self._give(connection, self._waiting.popleft())
        elif len(self._idle) < self._limits.idle and not self._pool.starved:
            self._idle.append(connection)
        else:
            connection.abort()
        # Last, because whoever gets it may begin the next request.
        exchange.deferred.callback(result)

    def failed(self, connection: HTTPConnection, error: OperationError) -> None:
        """Fail the request under way, if there is one, and close the connection."""
        exchange = connection.exchange
        self._retire(connection)
        if exchange is not None:
            self._fail(exchange, error)

    def lost(self, connection: HTTPConnection, error: OperationError) -> None:
        """Repeat what a stale connection swallowed, fail what a fresh one did, and move the queue up."""
        self._connections.discard(connection)
        timer = self._timers.pop(connection, None)
        if timer is not None and timer.active():
            timer.cancel()
        exchange, connection.exchange = connection.exchange, None
        if connection in self._idle:
            self._idle.remove(connection)
        if exchange is None:
            pass  # nobody waits for it
        elif self._was_stale(connection, exchange):
            self._open(exchange)
        else:
            self._fail(exchange, error)
        self._pool.released()
        self.move_up()

    def _was_stale(self, connection: HTTPConnection, exchange: Exchange) -> bool:
        """Return whether the server may have closed the connection before it saw the request.

        RFC 9112, section 9.3.1: a client may then repeat by itself what is idempotent; anything is safe to
        repeat where none of it left.
        """
        if not connection.reused or connection.answered:
            return False
        return exchange.request.idempotent or not connection.sent

    def _open(self, exchange: Exchange) -> None:
        limits = self._limits
        connection = HTTPConnection(
            self, self.node, self._pool.sending, self._pool.seconds, limits.response_max
        )
        connection.exchange = exchange
        exchange.stop = connection.abort
        self._connections.add(connection)
        self._pool.open += 1
        # Fail-over waits for it, so the sweep would be too late; and few connections are opened.
        self._timers[connection] = self._pool.reactor.callLater(
            limits.connect_seconds, self._connecting_takes_too_long, connection
        )
        connection.stop_connecting = connect(
            self._pool.reactor,
            self.node,
            connection,
            tls=self._pool.tls(self.node),
            proxy=self._proxy,
            resolver=self._pool.resolver,
        )

    def _connecting_takes_too_long(self, connection: HTTPConnection) -> None:
        if connection.exchange is not None:  # else it is being given up already
            self.failed(connection, connect_timeout(self.node, self._proxy))

    def _give(self, connection: HTTPConnection, exchange: Exchange) -> None:
        connection.exchange = exchange
        exchange.stop = connection.abort
        if connection.reused:
            self._pool.reused += 1
        connection.ask(exchange.payload, head_only=exchange.request.method == "HEAD")

    def _retire(self, connection: HTTPConnection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
        connection.abort()

    def _fail(self, exchange: Exchange, error: OperationError) -> None:
        self._pool.errors += 1
        exchange.deferred.errback(error)

    def _may_open(self) -> bool:
        return len(self._connections) < self._limits.connections and self._pool.admits(self)

    def _leave_queue(self, exchange: Exchange) -> None:
        self._waiting.remove(exchange)
        self._forget_if_empty()

    def _forget_if_empty(self) -> None:
        if self._waiting:
            return
        self._pool.starved.pop(self, None)
        if not self._connections:
            self._pool.forget(self)
