"""All connections to one node, and the requests that wait for one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from skitai.errors import OperationError, OperationTimeout
from skitai.services.http.connect import connect, connect_timeout
from skitai.services.http.protocol import HTTPConnection

if TYPE_CHECKING:
    from skitai.services.http.address import HTTPNode
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
    """The connections to ``node``. Requests beyond the limit wait in the order they came.

    It is the ``Owner`` of its connections. All of it is called in the reactor thread.
    """

    def __init__(self, pool: ConnectionPool, node: HTTPNode) -> None:
        self._pool = pool
        self._limits = pool.limits
        self.node = node
        self._idle: list[HTTPConnection] = []
        self._connections: set[HTTPConnection] = set()
        self._waiting: deque[Exchange] = deque()

    def start(self, exchange: Exchange) -> None:
        """Send the request now if a connection is free, else over a new one, else in its turn."""
        while self._idle:
            # The latest to become idle is the least likely to be stale.
            connection = self._idle.pop()
            if connection.is_quiet():
                self._give(connection, exchange)
                return
            connection.abort()
        if len(self._connections) < self._limits.connections:
            self._open(exchange)
        else:
            exchange.stop = lambda: self._waiting.remove(exchange)
            self._waiting.append(exchange)

    def sweep(self, now: float) -> None:
        """Close what has been idle for too long, and fail what has been silent for too long."""
        for connection in list(self._connections):
            age = now - connection.active
            if connection.exchange is None:
                if age >= self._limits.idle_seconds:
                    self._retire(connection)
            elif not connection.open:
                if age >= self._limits.connect_seconds:
                    self.failed(connection, connect_timeout(self.node))
            elif age >= self._limits.silence_seconds:
                text = f"{self.node.label} sent nothing for {self._limits.silence_seconds:g} seconds"
                self.failed(connection, OperationTimeout(text, node=self.node))

    def close(self, error: OperationError) -> None:
        """Fail every request and close every connection."""
        waiting, self._waiting = self._waiting, deque()
        for exchange in waiting:
            exchange.deferred.errback(error)
        for connection in list(self._connections):
            self.failed(connection, error)

    # What connections report (protocol.Owner)

    def ready(self, connection: HTTPConnection) -> None:
        """Send the request that the connection was opened for."""
        self._give(connection, connection.exchange)

    def replied(self, connection: HTTPConnection, result: HTTPResult, *, reusable: bool) -> None:
        """Hand over the reply and put the connection to further use."""
        exchange, connection.exchange = connection.exchange, None
        if not reusable:
            connection.abort()
        elif self._waiting and connection.is_quiet():
            self._give(connection, self._waiting.popleft())
        elif len(self._idle) < self._limits.idle:
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
            exchange.deferred.errback(error)

    def lost(self, connection: HTTPConnection, error: OperationError) -> None:
        """Repeat what a stale connection swallowed, fail what a fresh one did, and move the queue up."""
        self._connections.discard(connection)
        exchange, connection.exchange = connection.exchange, None
        if connection in self._idle:
            self._idle.remove(connection)
        if exchange is None:
            pass
        elif self._was_stale(connection, exchange):
            self._open(exchange)
        else:
            exchange.deferred.errback(error)
        self._move_up()

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
        connection = HTTPConnection(self, self.node, self._pool.seconds, limits.response_max)
        connection.exchange = exchange
        exchange.stop = connection.abort
        self._connections.add(connection)
        connection.stop_connecting = connect(
            self._pool.reactor,
            self.node,
            connection,
            tls_options=self._pool.tls_options(self.node),
            timeout=limits.connect_seconds,
        )

    def _give(self, connection: HTTPConnection, exchange: Exchange) -> None:
        connection.exchange = exchange
        exchange.stop = connection.abort
        connection.ask(exchange.payload, head_only=exchange.request.method == "HEAD")

    def _retire(self, connection: HTTPConnection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
        connection.abort()

    def _move_up(self) -> None:
        while self._waiting and len(self._connections) < self._limits.connections:
            self._open(self._waiting.popleft())
        if not self._connections:
            self._pool.forget(self)
