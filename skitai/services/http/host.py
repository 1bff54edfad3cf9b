"""All connections to one node, and the requests that wait for one."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, maybeDeferred
from twisted.internet.protocol import Factory

from skitai.errors import CODE_BUSY, OperationError, UnsentError
from skitai.net.addresses import NodeTimes
from skitai.net.failures import of_proxy
from skitai.services.http.protocol import ANSWERED, UNSENT, HTTPConnection
from skitai.services.http.transfer import SlowReply

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress
    from twisted.python.failure import Failure

    from skitai.net.addresses import HTTPNode
    from skitai.net.proxies import Proxy
    from skitai.services.http.decoding import ReplyBody
    from skitai.services.http.pool import ConnectionPool
    from skitai.services.http.result import HTTPResult
    from skitai.services.http.transfer import Asked, Transfer


class Host(Factory):
    """The connections to ``node``. Requests beyond the limits wait in the order in which they came.

    It is the factory and the ``Owner`` of its connections. All of it is called in the reactor thread.
    """

    noisy = False

    def __init__(self, pool: ConnectionPool, node: HTTPNode) -> None:
        self._pool = pool
        self._limits = pool.limits
        self.node = node
        self._authority = node.authority
        times, limits = node.times or NodeTimes(), pool.limits
        self._silence_seconds = times.silence or limits.silence_seconds
        self._head_seconds = times.head or times.silence or limits.head_seconds or limits.silence_seconds
        self._proxy: Proxy | None = pool.connector.proxy_for(node)
        #: The proxy that requests are sent to. None where a tunnel leads to the node itself.
        self._forwarder = None if node.tls or node.public or pool.tunnels else self._proxy
        self._is_moving_up = False
        self._idle: list[HTTPConnection] = []
        self._connections: set[HTTPConnection] = set()
        #: The transfers whose connections are being made.
        self._opening: set[Transfer] = set()
        self._waiting: deque[Transfer] = deque()

    def encode(self, request: Asked) -> bytes:
        """Return the bytes of the request in the form for the node or for its proxy."""
        payload = request.encode(self._authority)
        return payload if self._forwarder is None else self._forwarder.forwarded(self.node, payload)

    def start(self, transfer: Transfer) -> None:
        """Send the request over an idle connection, or else a new one, or else when its turn comes."""
        if (idle := self._take_idle()) is not None:
            self._give(idle, transfer)
        elif self._may_open():
            self._open(transfer)
        elif len(self._waiting) < self._limits.waiting:
            transfer.stop = lambda: self._leave_queue(transfer)
            self._waiting.append(transfer)
        else:
            text = f"{self._limits.waiting} requests wait for a connection to {self.node.label} already"
            self._fail(transfer, UnsentError(text, code=CODE_BUSY, node=self.node))
            self._forget_if_empty()

    def sweep(self, now: float) -> None:
        """Close connections that were idle for too long, and fail requests that got nothing for too long."""
        for connection in list(self._connections):
            age = now - connection.active
            if connection.transfer is None:
                if age >= self._limits.idle_seconds or _has_expired(connection, now):
                    self._retire(connection)
            elif connection.waits_for_body:
                connection.note_wait()
            elif age >= self._silence_seconds and not connection.is_paused:
                text = f"{self.node.label} sent nothing for {self._silence_seconds:g} seconds"
                self.failed(connection, SlowReply(text, "silence_timeout", self.node))
            elif connection.waits_for_head and now - connection.asked >= self._head_seconds:
                text = f"{self.node.label} sent no head of a reply for {self._head_seconds:g} seconds"
                self.failed(connection, SlowReply(text, "head_timeout", self.node))

    def close(self, error: OperationError) -> None:
        """Fail every request and close every connection."""
        waiting, self._waiting = self._waiting, deque()
        for transfer in (*waiting, *self._opening):
            if transfer in self._opening:
                transfer.stop()
            self._fail(transfer, error)
        for connection in list(self._connections):
            self.failed(connection, error)
        self._forget_if_empty()

    def idle_since(self) -> float | None:
        """Return when the longest idle connection was last used; None if none is idle."""
        return self._idle[0].active if self._idle else None

    def close_oldest_idle(self) -> None:
        """Close one idle connection, so that another host can open one."""
        self._idle.pop(0).close()

    def move_up(self) -> None:
        """Open connections for requests that wait, as far as the limits allow."""
        # An attempt may fail at once and call this again: then the loop below, which still runs, goes on.
        if self._is_moving_up:
            return
        self._is_moving_up = True
        try:
            while self._waiting and self._may_open():
                self._open(self._waiting.popleft())
        finally:
            self._is_moving_up = False
        self._forget_if_empty()

    def statistics(self) -> dict[str, Any]:
        """Return how many connections are ``open``, ``idle`` and ``in_use``, and how many requests wait."""
        connections = len(self._connections) + len(self._opening)
        return {
            "host": self.node.label,
            "tls": self.node.tls,
            "open": connections,
            "idle": len(self._idle),
            "in_use": connections - len(self._idle),
            "waiting": len(self._waiting),
        }

    def buildProtocol(self, addr: IAddress | None) -> Any:  # noqa: ARG002 - Twisted's interface
        """Return a connection."""
        pool = self._pool
        return HTTPConnection(self, self.node, pool.sending, pool.seconds, self._limits.response_max)

    # Called by connections (protocol.Owner)

    def replied(
        self, connection: HTTPConnection, result: HTTPResult, body: ReplyBody | None, *, reusable: bool
    ) -> None:
        """Give the connection to the next request, or keep or close it; then hand over the reply."""
        transfer, connection.transfer = connection.transfer, None
        if not reusable:
            connection.abort()
        elif self._waiting:
            self._give(connection, self._waiting.popleft())
        elif len(self._idle) < self._limits.idle and not self._pool.starved:
            self._idle.append(connection)
        else:
            connection.close()
        # At the end, because the callback may begin the next request.
        if body is None:
            transfer.succeed(result)
        else:
            self._pool.unpack(transfer, result, body)

    def switched(self, connection: HTTPConnection, result: HTTPResult) -> None:
        """Hand over the reply 101 and forget the connection: another protocol has it now."""
        transfer, connection.transfer = connection.transfer, None
        self._connections.discard(connection)
        transfer.succeed(result)
        self._pool.released()
        self.move_up()

    def failed(self, connection: HTTPConnection, error: OperationError) -> None:
        """Fail the request under way, if there is one, and close the connection."""
        transfer = connection.transfer
        self._retire(connection)
        if transfer is not None:
            self._fail(transfer, error)

    def lost(self, connection: HTTPConnection, error: OperationError) -> None:
        """Queue the request again if the connection was stale, or else fail it; move the queue up."""
        self._connections.discard(connection)
        transfer, connection.transfer = connection.transfer, None
        if connection in self._idle:
            self._idle.remove(connection)
        if transfer is None:
            pass  # it was idle, or its request was given up
        elif self._was_stale(connection, transfer):
            # It waits like any other if the limits are met, but before those that came later.
            transfer.stop = lambda: self._leave_queue(transfer)
            self._waiting.appendleft(transfer)
        else:
            self._fail(transfer, error)
        self._pool.released()
        self.move_up()

    def _was_stale(self, connection: HTTPConnection, transfer: Transfer) -> bool:
        """Return whether the request may be sent again because the server closed an idle connection.

        RFC 9112, section 9.3.1: a client may repeat by itself what is idempotent. A request of which nothing
        was sent may always be repeated.
        """
        if not connection.reused or connection.phase is ANSWERED:
            return False
        return transfer.request.idempotent or connection.phase in UNSENT

    def _open(self, transfer: Transfer) -> None:
        self._pool.open += 1
        self._opening.add(transfer)
        connect = self._pool.connector.connect
        if self._forwarder is not None:
            connecting = maybeDeferred(connect, self._forwarder.node, self)
        else:
            connecting = maybeDeferred(connect, self.node, self, proxy=self._proxy)
        transfer.stop = connecting.cancel
        connecting.addCallbacks(
            self._opened, self._not_opened, callbackArgs=(transfer,), errbackArgs=(transfer,)
        )

    def _opened(self, connection: HTTPConnection, transfer: Transfer) -> None:
        self._opening.remove(transfer)
        self._connections.add(connection)
        self._give(connection, transfer)

    def _not_opened(self, failure: Failure, transfer: Transfer) -> None:
        self._opening.remove(transfer)
        error = failure.value
        assert error is not None
        if not isinstance(error, CancelledError):  # else the transfer has ended already
            if self._forwarder is not None and isinstance(error, UnsentError):
                error = of_proxy(error, self.node)
            self._fail(transfer, error)
        self._pool.released()
        self.move_up()

    def _take_idle(self) -> HTTPConnection | None:
        """Return an idle connection that its server still keeps, or None."""
        while self._idle:
            connection = self._idle.pop()  # the one that became idle last is the least likely to be stale
            if connection.expires is None or not _has_expired(connection, self._pool.seconds()):
                return connection
            connection.close()
        return None

    def _give(self, connection: HTTPConnection, transfer: Transfer) -> None:
        transfer.stop = connection.abort
        if connection.reused:
            self._pool.reused += 1
        connection.ask(transfer)

    def _retire(self, connection: HTTPConnection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.transfer is None:
            connection.close()
        else:
            connection.abort()

    def _fail(self, transfer: Transfer, error: BaseException) -> None:
        self._pool.fail(transfer, error)

    def _may_open(self) -> bool:
        if len(self._connections) + len(self._opening) >= self._limits.connections:
            return False
        return self._pool.admits(self)

    def _leave_queue(self, transfer: Transfer) -> None:
        self._waiting.remove(transfer)
        self._forget_if_empty()

    def _forget_if_empty(self) -> None:
        if self._waiting:
            return
        self._pool.starved.pop(self, None)
        if not self._connections and not self._opening:
            self._pool.forget(self)


def _has_expired(connection: HTTPConnection, now: float) -> bool:
    return connection.expires is not None and now >= connection.expires
