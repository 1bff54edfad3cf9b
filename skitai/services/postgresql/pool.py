"""The connections to one database."""

from __future__ import annotations

import copy
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import attrs
from twisted.internet.defer import Deferred, DeferredList, succeed

from skitai.errors import CODE_BUSY, OperationError, UnsentError, stopping

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from skitai.services.postgresql.driver import Connection

#: How many may wait for a connection: more would not get one in time, and each costs memory.
WAITERS_MAX = 5000
#: A connection that nobody has used for longer is looked at before it is lent.
_FRESH_SECONDS = 1.0
#: Seconds between two looks at idle connections.
_SWEEP_SECONDS = 1.0
#: Seconds that statements have to end, or to be cancelled in the server, when the pool is closed.
CLOSING_SECONDS = 0.5
#: Seconds between two attempts to have ``minimum`` connections, where one failed.
_RETRY_SECONDS = 10.0


@attrs.frozen
class PoolLimits:
    """How many connections a pool keeps, and how long.

    It has up to ``maximum``, and keeps ``minimum`` open. Beyond these a connection is closed after
    ``idle_seconds`` without use, and each one when it is older than ``lifetime_seconds``. Whoever wants one
    waits for up to ``wait_seconds``.
    """

    minimum: int
    maximum: int
    idle_seconds: float
    lifetime_seconds: float
    wait_seconds: float


class Waiter(Protocol):
    """What waits for a connection. One of the two is called once, maybe at once."""

    def lend(self, connection: Connection) -> object:
        """Take the connection; give it back with ``Pool.release``."""

    def refuse(self, error: OperationError) -> object:
        """Take why there is none."""


class _Acquiring:
    """Waits in a Deferred."""

    def __init__(self, pool: Pool) -> None:
        self.connection: Deferred[Connection] = Deferred(lambda _: pool.give_up(self))
        self.lend = self.connection.callback
        self.refuse = self.connection.errback


class Pool:
    """Lends connections; the one that was returned last is lent first, so that the others can be closed.

    ``connect()`` makes a connection, ``clock`` is the reactor. All of it is called in the reactor thread.
    """

    def __init__(
        self, clock: Any, label: str, limits: PoolLimits, connect: Callable[[], Deferred[Connection]]
    ) -> None:
        self.label = label
        self._clock = clock
        self._seconds: Callable[[], float] = clock.seconds
        self._limits = limits
        self._connect = connect
        self._idle: deque[tuple[Connection, float]] = deque()
        #: All connections, with the time of their birth.
        self._born: dict[Connection, float] = {}
        self._connecting: set[Deferred[Connection]] = set()
        #: Who waits for a connection, in order, and until when.
        self._waiters: OrderedDict[Waiter, float] = OrderedDict()
        #: The timer of the first of them. All wait equally long, so the others need none.
        self._patience: IDelayedCall | None = None
        self._sweeper: IDelayedCall | None = None
        self._retry_at = 0.0
        self._last_error: OperationError | None = None
        self._serving = False
        self._closed = False

    @property
    def is_unused(self) -> bool:
        """Whether there is no connection, and nobody wants one."""
        return not (self._born or self._connecting or self._waiters or self._limits.minimum)

    # -- lending ---------------------------------------------------------------------------------------------

    def take(self) -> Connection | None:
        """Return an idle connection, or None."""
        while self._idle:
            connection, since = self._idle.pop()
            if self._seconds() - since > _FRESH_SECONDS:
                connection.look()
            if not connection.closed:
                return connection
        return None

    def acquire(self) -> Deferred[Connection]:
        """Fire with a connection, in the order of the calls; give it back with ``release``.

        Fails with UnsentError: with what prevents a connection, with code 707 when none is free in time, with
        705 when the pool is closed. Cancelling gives up.
        """
        connection = self.take()
        if connection is not None:
            return succeed(connection)
        waiter = _Acquiring(self)
        self.wait(waiter)
        return waiter.connection

    def wait(self, waiter: Waiter) -> None:
        """Do what ``acquire`` does after ``take`` has found none; ``give_up`` ends the wait."""
        if self._closed:
            waiter.refuse(stopping(UnsentError))
            return
        if len(self._waiters) >= WAITERS_MAX:
            text = f"{WAITERS_MAX} statements wait for a connection to {self.label}"
            waiter.refuse(UnsentError(f"{text} (pool_max in [postgresql])", code=CODE_BUSY))
            return
        self._waiters[waiter] = self._seconds() + self._limits.wait_seconds
        if self._patience is None:
            self._keep_timer()
        if self._has_room():
            self._connect_for_waiters()

    def give_up(self, waiter: Waiter) -> None:
        """Let ``waiter`` wait no more."""
        self._waiters.pop(waiter, None)
        self._keep_timer()

    def release(self, connection: Connection) -> None:
        """Take a connection back, even one whose statement is still ending."""
        if connection.busy:
            connection.when_idle().addBoth(self._ended, connection)
        else:
            self.put_back(connection)

    def _ended(self, usable: Any, connection: Connection) -> None:
        if usable is not True:
            connection.close()
        self.put_back(connection)

    def put_back(self, connection: Connection) -> None:
        """Take a connection back whose statement has ended."""
        born = self._born.get(connection)
        if born is None:
            return
        now = self._seconds()
        is_old = now - born > self._limits.lifetime_seconds
        if is_old or connection.closed or self._closed or connection.in_transaction:
            self._drop(connection)
            self._connect_for_waiters()
            return
        if self._waiters and not self._serving:
            self._serve(connection)
        else:
            self._idle.append((connection, now))
        if self._sweeper is None and not self._closed:
            self._sweep_later()

    def _serve(self, connection: Connection | None) -> None:
        """Lend ``connection``, and then idle ones, to those who wait; somebody does.

        They may give it back at once. That must not serve the next from within, one deeper for each.
        """
        self._serving = True
        while connection is not None:
            waiter, _ = self._waiters.popitem(last=False)
            waiter.lend(connection)
            connection = self.take() if self._waiters and self._idle else None
        self._serving = False
        if not self._waiters:
            self._keep_timer()

    def _keep_timer(self) -> None:
        """Have the timer run while somebody waits."""
        if self._patience is None:
            if self._waiters:
                until = next(iter(self._waiters.values()))
                self._patience = self._clock.callLater(max(until - self._seconds(), 0), self._time_out)
        elif not self._waiters:
            self._patience.cancel()
            self._patience = None

    def _time_out(self) -> None:
        """Fail those who have waited too long."""
        self._patience = None
        now = self._seconds()
        while self._waiters and next(iter(self._waiters.values())) <= now:
            waiter, _ = self._waiters.popitem(last=False)
            waiter.refuse(self._too_long())
        self._keep_timer()

    def _too_long(self) -> UnsentError:
        cause = f"; another one cannot be made: {self._last_error.message}" if self._last_error else ""
        limits = self._limits
        text = (
            f"no connection to {self.label} is free within {limits.wait_seconds:g} s: {len(self._born)} are"
            f" in use (pool_max and pool_wait in [postgresql]){cause}"
        )
        return UnsentError(text, code=CODE_BUSY)

    # -- connecting ------------------------------------------------------------------------------------------

    def _connect_for_waiters(self) -> None:
        while len(self._connecting) < len(self._waiters) and self._has_room():
            if not self._connect_one():
                return  # the next one would fail, too

    def _has_room(self) -> bool:
        return not self._closed and len(self._born) + len(self._connecting) < self._limits.maximum

    def _connect_one(self) -> bool:
        """Begin to make a connection; return False if that has failed at once, as without descriptors."""
        connecting = self._connect()
        self._connecting.add(connecting)
        connecting.addCallbacks(self._connected, self._not_connected, (connecting,), {}, (connecting,))
        return connecting in self._connecting or self._last_error is None

    def _connected(self, connection: Connection, connecting: Deferred[Connection]) -> None:
        self._connecting.discard(connecting)
        self._last_error = None
        self._born[connection] = self._seconds()
        connection.on_lost = lambda: self._lost(connection)
        self.put_back(connection)

    def _not_connected(self, failure: Failure, connecting: Deferred[Connection]) -> None:
        self._connecting.discard(connecting)
        error = failure.value
        if not isinstance(error, OperationError):
            error = UnsentError(f"no connection to {self.label}: {type(error).__name__}: {error}")
        self._last_error = error
        self._retry_at = self._seconds() + _RETRY_SECONDS
        # Those that wait may get one of the connections in use. Without any, they wait in vain.
        if not self._born and not self._connecting:
            self._fail_waiters(error)

    def _fail_waiters(self, error: OperationError) -> None:
        waiting = list(self._waiters)
        for waiter in waiting:
            if waiter in self._waiters:  # the failure of one may give up another
                del self._waiters[waiter]
                waiter.refuse(copy.copy(error))
        self._keep_timer()

    # -- the end of connections ------------------------------------------------------------------------------

    def _lost(self, connection: Connection) -> None:
        self._idle = deque(entry for entry in self._idle if entry[0] is not connection)
        self._drop(connection)
        self._connect_for_waiters()

    def _drop(self, connection: Connection) -> None:
        self._born.pop(connection, None)
        connection.on_lost = None
        if not connection.closed:
            connection.close()

    def _sweep_later(self) -> None:
        self._sweeper = self._clock.callLater(_SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        now = self._seconds()
        kept: deque[tuple[Connection, float]] = deque()
        for connection, since in self._idle:  # the oldest first
            spare = now - since > self._limits.idle_seconds and len(self._born) > self._limits.minimum
            if spare or now - self._born[connection] > self._limits.lifetime_seconds:
                self._drop(connection)
            else:
                kept.append((connection, since))
        self._idle = kept
        while len(self._born) + len(self._connecting) < self._limits.minimum and now >= self._retry_at:
            self._connect_one()
        if self._born or self._connecting or self._limits.minimum:
            self._sweep_later()

    def open(self) -> None:
        """Make the connections that are always there."""
        if self._sweeper is None and not self._closed and self._limits.minimum:
            self._sweep()

    def close(self) -> Deferred[None]:
        """Lend nothing any more, and tell whoever waits; fire when all connections are closed.

        What runs has a moment to end: a server goes on with a statement whose client has just gone.
        """
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._fail_waiters(stopping(UnsentError))
        for connecting in list(self._connecting):
            connecting.cancel()
        self._idle.clear()
        running = []
        for connection in list(self._born):
            if connection.busy:
                running.append(connection.when_idle().addBoth(self._ended, connection))
            else:
                self._drop(connection)
        return self._until_over(running)

    def _until_over(self, running: list[Deferred[None]]) -> Deferred[None]:
        def close() -> None:
            for connection in list(self._born):
                connection.close()

        def over(_: Any) -> None:
            if limit.active():
                limit.cancel()

        limit = self._clock.callLater(CLOSING_SECONDS, close)
        return DeferredList(running).addCallback(over)

    def statistics(self) -> dict[str, Any]:
        """Return what the status page shows."""
        return {
            "database": self.label,
            "connections": len(self._born),
            "idle": len(self._idle),
            "connecting": len(self._connecting),
            "waiting": len(self._waiters),
        }
