"""The pool of websockets: where messages come in, with the limits, the sweep and the shutdown."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail

from skitai.errors import UnsentError, stopping
from skitai.loop.turn import turn_end_of
from skitai.services.websocket.peer import Peer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from skitai.net.addresses import HTTPNode
    from skitai.services.http.pool import PoolLimits
    from skitai.services.websocket.jobs import Job
    from skitai.services.websocket.opening import Opening
    from skitai.services.websocket.pooled import PooledSocket
    from skitai.websocket.contracts import Listener, Wire
    from skitai.websocket.conversation import WebSocket

#: Opens a websocket: ``dial(node, opening, listen)`` fires with the listener that ``listen(wire)`` returned,
#: which is called before anything comes from the wire, or fails with OperationError.
Dial = Callable[["HTTPNode", "Opening", Callable[["Wire"], "Listener"]], Deferred[Any]]

_SWEEP_SECONDS = 1
#: Seconds that peers have to answer our close when the server stops.
_CLOSE_SECONDS = 1.0


class SocketPool:
    """Keeps websockets to any number of nodes. All of it is called in the reactor thread.

    ``limits`` are those of the HTTP client: for each node, for all together, and for idle ones.
    """

    def __init__(self, reactor: Any, limits: PoolLimits, dial: Dial) -> None:
        self.limits = limits
        self.seconds = reactor.seconds
        self.dial = dial
        self.turn_end = turn_end_of(reactor)
        #: ``open`` counts websockets that exist or are being opened, the others messages since the start.
        self.open = self.messages = self.reused = self.repeated = self.errors = 0
        #: Nodes that wait for the limit of all websockets, in order. While there are any, no idle ones are
        #: kept.
        self.starved: dict[Peer, None] = {}
        self._reactor = reactor
        self._peers: dict[HTTPNode, Peer] = {}
        #: Those that have not ended, also when they have no place any more.
        self._alive: set[PooledSocket | WebSocket] = set()
        self._sweeper: IDelayedCall | None = None
        self._closer: IDelayedCall | None = None
        self._closed = False
        self._closing: list[Deferred[None]] = []

    def start(self, node: HTTPNode, job: Job) -> Deferred[Any]:
        """Do a job: fire with its outcome, or fail with an ``OperationError``.

        Its codes are those of the HTTP client; 700: the websocket was closed (``WebSocketClosed``); the HTTP
        status of a handshake that was refused. It is an ``UnsentError`` if no byte of a message was sent.
        Cancelling closes the websocket, or leaves the queue for one, at once.
        """
        if self._closed:
            return fail(stopping(UnsentError))
        peer = self._peers.get(node)
        if peer is None:
            peer = self._peers[node] = Peer(self, node)
            self._sweep_later()
        self.messages += not job.fresh
        peer.start(job)
        return job.deferred

    def close(self) -> Deferred[None]:
        """Fail all jobs with code 705 and close all websockets (1001); fire when every socket is closed."""
        self._closed = True
        done: Deferred[None] = Deferred()
        self._closing.append(done)
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        if self._closer is None:
            self._closer = self._reactor.callLater(_CLOSE_SECONDS, self._abort_all)
        for peer in list(self._peers.values()):
            peer.close(stopping(UnsentError))
        self._fire_when_closed()
        return done

    def statistics(self) -> dict[str, Any]:
        """Return what the status page shows: the sums, and under ``hosts`` the counts of each."""
        hosts = [peer.statistics() for peer in self._peers.values()]
        sums = {name: sum(host[name] for host in hosts) for name in ("open", "idle", "in_use", "waiting")}
        return {
            **sums,
            "messages": self.messages,
            "reused": self.reused,
            "repeated": self.repeated,
            "errors": self.errors,
            "hosts": hosts,
        }

    # Called by peers

    def began(self, socket: PooledSocket | WebSocket) -> None:
        """Note a websocket that is open."""
        self._alive.add(socket)

    def ended(self, socket: PooledSocket | WebSocket) -> None:
        """Note that a websocket has ended."""
        self._alive.discard(socket)
        if self._closed:
            socket.wire.abort()  # the peer may keep the connection for a while
        self._fire_when_closed()

    def admits(self, peer: Peer) -> bool:
        """Return whether ``peer`` may open a websocket; if not, its ``move_up`` is called in its turn."""
        if self.open >= self.limits.total:
            peers = self._peers.values()
            idle = [(since, other) for other in peers if (since := other.idle_since()) is not None]
            if idle:
                min(idle, key=lambda pair: pair[0])[1].close_oldest_idle()
        if self.open >= self.limits.total:  # another node, which waits for longer, may have its place
            self.starved[peer] = None
            return False
        return True

    def released(self) -> None:
        """Count a websocket that is gone, and let the nodes that wait move up in their order."""
        self.open -= 1
        while self.starved and self.open < self.limits.total:
            peer = next(iter(self.starved))
            del self.starved[peer]
            peer.move_up()

    def forget(self, peer: Peer) -> None:
        """Drop a peer that has no websocket and no job left."""
        # A callback may have begun another job, and so put a new peer in its place.
        if self._peers.get(peer.node) is peer:
            del self._peers[peer.node]
        self._fire_when_closed()

    # ------------------------------------------------------------------------------------------------------

    def _abort_all(self) -> None:
        self._closer = None
        for socket in list(self._alive):
            socket.wire.abort()

    def _fire_when_closed(self) -> None:
        if not self._closing or self._peers or self._alive:
            return
        if self._closer is not None:
            self._closer.cancel()
            self._closer = None
        closing, self._closing = self._closing, []
        for done in closing:
            done.callback(None)

    def _sweep_later(self) -> None:
        if self._sweeper is None:
            self._sweeper = self._reactor.callLater(_SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        now = self.seconds()
        for peer in list(self._peers.values()):
            peer.sweep(now)
        if self._peers:
            self._sweep_later()
