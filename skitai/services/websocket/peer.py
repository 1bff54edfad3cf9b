"""All websockets to one node, and what waits for one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, maybeDeferred

from skitai.errors import CODE_BAD_REPLY, CODE_EXCEPTION, OperationError, UnsentError
from skitai.loop.turn import Stage
from skitai.services.websocket.jobs import Exchange, Job, Taking
from skitai.services.websocket.pooled import PooledSocket
from skitai.websocket.closing import GOING_AWAY, NORMAL, WebSocketClosed

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from skitai.net.addresses import HTTPNode
    from skitai.services.websocket.pool import SocketPool
    from skitai.websocket.contracts import Wire
    from skitai.websocket.conversation import Message, WebSocket


class Peer:
    """The websockets to ``node``. Jobs beyond the limits wait in the order in which they came.

    It is the ``Owner`` of those that are pooled. All of it is called in the reactor thread.
    """

    def __init__(self, pool: SocketPool, node: HTTPNode) -> None:
        self.node = node
        self._pool = pool
        self._limits = pool.limits
        #: Those without use, the one that was used last at the end.
        self._idle: list[PooledSocket] = []
        self._open: set[PooledSocket | WebSocket] = set()
        #: The jobs whose websockets are being opened.
        self._opening: set[Job] = set()
        self._waiting: deque[Job] = deque()
        self._is_moving_up = False

    def start(self, job: Job) -> None:
        """Do the job over an idle websocket, or else a new one, or else when its turn comes."""
        socket = self._take_idle(job)
        if socket is not None:
            self._give(socket, job)
        elif not self._waiting and self._may_open():
            self._dial(job)
        elif len(self._waiting) < self._limits.waiting:
            self._wait(job)
        else:
            text = f"{self._limits.waiting} messages wait for a websocket to {self.node.label} already"
            self._fail(job, UnsentError(text, code=CODE_EXCEPTION, node=self.node))
            self._forget_if_empty()

    def sweep(self, now: float) -> None:
        """Close the websockets that were idle for too long."""
        while self._idle and now - self._idle[0].since >= self._limits.idle_seconds:
            self._let_go(self._idle[0])
        self._forget_if_empty()

    def close(self, error: OperationError) -> None:
        """Fail every job and close every websocket."""
        waiting, self._waiting = self._waiting, deque()
        for job in (*waiting, *self._opening):
            if job in self._opening:
                job.stop()
            self._fail(job, error)
        for each in list(self._open):
            if isinstance(each, PooledSocket):
                exchange, each.exchange = each.exchange, None
                self._let_go(each, GOING_AWAY)
                if exchange is not None:
                    self._fail(exchange, error)
            else:
                each.close(GOING_AWAY)
        self._forget_if_empty()

    def idle_since(self) -> float | None:
        """Return when the longest idle websocket was last used; None if none is idle."""
        return self._idle[0].since if self._idle else None

    def close_oldest_idle(self) -> None:
        """Close one idle websocket, so that another can be opened."""
        self._let_go(self._idle[0])

    def move_up(self) -> None:
        """Open websockets for what waits, as far as the limits allow."""
        # An attempt may fail at once and call this again: then the loop below, which still runs, goes on.
        if self._is_moving_up:
            return
        self._is_moving_up = True
        try:
            while self._waiting and self._may_open():
                self._dial(self._waiting.popleft())
        finally:
            self._is_moving_up = False
        self._forget_if_empty()

    def statistics(self) -> dict[str, Any]:
        """Return how many websockets are ``open``, ``idle`` and ``in_use``, and how many jobs wait."""
        sockets = len(self._open) + len(self._opening)
        return {
            "host": self.node.label,
            "tls": self.node.tls,
            "open": sockets,
            "idle": len(self._idle),
            "in_use": sockets - len(self._idle),
            "waiting": len(self._waiting),
        }

    # Called by pooled websockets (pooled.Owner)

    def at_turn_end(self, function: Callable[[], object]) -> None:
        """Call ``function`` when the reactor has read all that is there."""
        self._pool.turn_end.call(Stage.CALL, function)

    def replied(self, socket: PooledSocket, exchange: Exchange, message: Message) -> None:
        """Give the websocket to what waits, or keep or close it; then hand over the reply."""
        socket.since = self._pool.seconds()
        following = self._waiting[0] if self._waiting else None
        if following is not None and self._suits(socket, following):
            self._give(socket, self._waiting.popleft())
        elif following is None and socket.in_step and self._may_keep():
            self._idle.append(socket)
        else:
            self._let_go(socket)
            self.move_up()
        # At the end, because the callback may begin the next exchange.
        exchange.succeed(exchange.replied(message, self.node))

    def unasked(self, socket: PooledSocket) -> None:
        """Let go of a websocket whose messages are no replies."""
        if socket.has_reply:
            return  # ``replied`` is yet to come
        if socket in self._open:
            self._let_go(socket)
            self.move_up()
        else:  # ``_opened`` is yet to come
            socket.gone = True
            socket.wire.close()

    def ended(self, socket: PooledSocket, code: int, reason: str) -> None:
        """Send the message again if the websocket was stale, or else fail it; move the queue up."""
        self._pool.ended(socket)
        if socket not in self._open or socket.has_reply:
            return
        self._remove(socket)
        exchange, socket.exchange = socket.exchange, None
        if exchange is not None:
            if socket.reused and exchange.repeatable and not exchange.fresh:
                self._again(exchange)
            else:
                self._fail(exchange, self._closed(code, reason))
        self._pool.released()
        self.move_up()

    # ------------------------------------------------------------------------------------------------------

    def _take_idle(self, job: Job) -> PooledSocket | None:
        """Return an idle websocket for ``job``: the one used last is the least likely to be stale."""
        if job.fresh:
            return None
        for socket in reversed(self._idle):
            if self._suits(socket, job):
                self._idle.remove(socket)
                return socket
            if socket.opening == job.opening:
                self._let_go(socket)
        return None

    def _suits(self, socket: PooledSocket, job: Job) -> bool:
        """Return whether ``socket``, which is free, can do the job."""
        return not job.fresh and job.opening == socket.opening and socket.in_step and socket.is_quiet()

    def _may_keep(self) -> bool:
        return len(self._idle) < self._limits.idle and not self._pool.starved

    def _give(self, socket: PooledSocket, job: Job) -> None:
        assert isinstance(job, Exchange)
        job.stop = partial(self._give_up, socket)
        if socket.reused:
            self._pool.reused += 1
        socket.ask(job)

    def _give_up(self, socket: PooledSocket) -> None:
        """Drop a websocket whose reply nobody waits for any more: it would be taken for that of another."""
        socket.exchange = None
        self._gone(socket)
        socket.wire.abort()
        self.move_up()

    def _again(self, exchange: Exchange) -> None:
        self._pool.repeated += 1
        exchange.fresh = True
        self._wait(exchange, first=True)

    def _wait(self, job: Job, *, first: bool = False) -> None:
        job.stop = partial(self._leave_queue, job)
        if first:
            self._waiting.appendleft(job)
        else:
            self._waiting.append(job)

    def _leave_queue(self, job: Job) -> None:
        self._waiting.remove(job)
        self._forget_if_empty()

    def _dial(self, job: Job) -> None:
        self._pool.open += 1
        self._opening.add(job)
        dialing = maybeDeferred(self._pool.dial, self.node, job.opening, partial(self._listener, job))
        job.stop = dialing.cancel
        dialing.addCallbacks(self._opened, self._not_opened, callbackArgs=(job,), errbackArgs=(job,))

    def _listener(self, job: Job, wire: Wire) -> PooledSocket | WebSocket:
        """Return what listens to a new wire, before anything comes from it."""
        listener = job.make(wire) if isinstance(job, Taking) else PooledSocket(self, job.opening, wire)
        self._pool.began(listener)
        return listener

    def _opened(self, listener: PooledSocket | WebSocket, job: Job) -> None:
        self._opening.remove(job)
        self._open.add(listener)
        if not isinstance(listener, PooledSocket):
            job.succeed(listener)
            listener.at_close(self, partial(self._conversation_ended, listener))
        elif listener.gone or not listener.in_step:
            # It sent a message, or its close, right behind the handshake.
            self._open.discard(listener)
            self._pool.released()
            text = f"{self.node.label} does not wait for a message: use was.ws.connect()"
            self._fail(job, UnsentError(text, code=CODE_BAD_REPLY, node=self.node))
            self.move_up()
        else:
            self._give(listener, job)

    def _not_opened(self, failure: Failure, job: Job) -> None:
        self._opening.remove(job)
        error = failure.value
        assert error is not None
        if not isinstance(error, CancelledError):  # else the job has ended already
            self._fail(job, error)
        self._pool.released()
        self.move_up()

    def _conversation_ended(self, conversation: WebSocket) -> None:
        self._open.discard(conversation)
        self._pool.ended(conversation)
        self._pool.released()
        self.move_up()

    def _closed(self, code: int, reason: str) -> OperationError:
        error = WebSocketClosed(code, reason)
        error.node = self.node
        return error

    def _let_go(self, socket: PooledSocket, code: int = NORMAL) -> None:
        """Close a websocket in good order; its place is free at once."""
        self._gone(socket)
        socket.wire.close(code)

    def _gone(self, socket: PooledSocket) -> None:
        socket.gone = True
        self._remove(socket)
        self._pool.released()

    def _remove(self, socket: PooledSocket) -> None:
        self._open.discard(socket)
        if socket in self._idle:
            self._idle.remove(socket)

    def _fail(self, job: Job, error: BaseException) -> None:
        self._pool.errors += 1
        job.fail(error)

    def _may_open(self) -> bool:
        if len(self._open) + len(self._opening) >= self._limits.connections:
            if not self._idle:
                return False
            self.close_oldest_idle()  # it has another opening
        return self._pool.admits(self)

    def _forget_if_empty(self) -> None:
        if self._waiting:
            return
        self._pool.starved.pop(self, None)
        if not self._open and not self._opening:
            self._pool.forget(self)
