"""Notifications of one database: a connection of their own, which is made anew when it is lost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from skitai.errors import CODE_CLOSED, NORMAL, OperationError, UnsentError, stopping
from skitai.services.db.interfaces import RefusedError
from skitai.services.db.query import Query
from skitai.services.db.turn import Turn

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from skitai.services.db.interfaces import Subscription
    from skitai.services.postgresql.driver import Connection

#: The pause before a lost connection is made anew, in seconds: each failure doubles it, up to the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0

_log = Logger()


class Listeners:
    """Who listens to which channel of one database. All of it is called in the reactor thread.

    ``connect()`` makes a connection, ``clock`` is the reactor, ``label`` names the database in the log. There
    is a connection as long as somebody listens.
    """

    def __init__(self, clock: Any, label: str, connect: Callable[[], Deferred[Connection]]) -> None:
        self._clock = clock
        self._label = label
        self._connect = connect
        #: Who listens to each channel, in order; thousands may go at once.
        self._channels: dict[str, dict[Subscription, None]] = {}
        self._connection: Connection | None = None
        self._connecting: Deferred[Connection] | None = None
        #: Whoever has it uses the connection: it is made once, and runs one statement at a time.
        self._turn = Turn()
        self._pause = FIRST_PAUSE
        self._retry: IDelayedCall | None = None
        self._closed = False

    @property
    def is_unused(self) -> bool:
        """Whether nobody listens, or is about to."""
        return not self._channels and not self._turn.locked

    def add(self, subscription: Subscription) -> Deferred[Callable[[], None]]:
        """Listen for ``subscription``; see ``IEngine.listen``."""
        return Deferred.fromCoroutine(self._add(subscription))

    async def _add(self, subscription: Subscription) -> Callable[[], None]:
        await self._turn.acquire()
        try:
            connection = await self._connected()
            if subscription.channel not in self._channels:
                await _execute(connection, "LISTEN", subscription.channel)
            self._channels.setdefault(subscription.channel, {})[subscription] = None
        except (CancelledError, OperationError):
            if self._closed:
                raise stopping(UnsentError) from None
            raise
        finally:
            self._turn.release()
            self._settle()
        return partial(self._remove, subscription)

    def _remove(self, subscription: Subscription) -> None:
        subscriptions = self._channels.get(subscription.channel, {})
        if subscription not in subscriptions:
            return
        del subscriptions[subscription]
        if not subscriptions:
            del self._channels[subscription.channel]
            self._settle()
            if self._connection is not None:
                Deferred.fromCoroutine(self._unlisten(subscription.channel)).addErrback(self._failed)

    async def _unlisten(self, channel: str) -> None:
        await self._turn.acquire()
        try:
            if self._connection is not None and channel not in self._channels:
                await _execute(self._connection, "UNLISTEN", channel)
        finally:
            self._turn.release()
            self._settle()

    def _notified(self, channel: str, payload: str, pid: int) -> None:
        for subscription in list(self._channels.get(channel, ())):
            subscription.notified(payload, pid)

    # -- the connection --------------------------------------------------------------------------------------

    async def _connected(self) -> Connection:
        """Return the connection, which is made if there is none; for who has the turn."""
        if self._closed:
            raise CancelledError
        if self._connection is None or self._connection.closed:
            self._cancel_retry()
            self._connecting = self._connect()
            try:
                self._connection = await self._connecting
            finally:
                self._connecting = None
            try:
                await self._take_up(self._connection)
            except BaseException:
                self._drop()
                raise
            self._pause = FIRST_PAUSE
        return self._connection

    async def _take_up(self, connection: Connection) -> None:
        """Listen on a new connection to what was listened to on the last one."""
        connection.on_notify = self._notified
        connection.on_lost = self._lost
        for channel in list(self._channels):
            await _execute(connection, "LISTEN", channel)
            # Only now: who looks for what was missed must not miss what comes while it looks.
            for subscription in list(self._channels.get(channel, ())):
                subscription.resumed()

    def _lost(self) -> None:
        _log.warn("{label}: the connection for notifications was lost", label=self._label)
        self._settle()

    def _settle(self) -> None:
        """Close the connection if nobody listens, and have a lost one made anew; at the end of each turn."""
        if self._turn.locked:
            return
        if self._connection is not None and (self._connection.closed or not self._channels):
            self._drop()
        if not self._channels:
            self._cancel_retry()
        elif self._connection is None and self._retry is None:
            self._retry = self._clock.callLater(self._pause, self._reconnect)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _reconnect(self) -> None:
        self._retry = None
        Deferred.fromCoroutine(self._again()).addErrback(self._failed)

    async def _again(self) -> None:
        await self._turn.acquire()
        try:
            if self._channels:
                await self._connected()
        finally:
            self._turn.release()
            self._settle()

    def _failed(self, failure: Failure) -> None:
        """Log what is unexpected; the rest is tried again."""
        if not isinstance(failure.value, OperationError | RefusedError | CancelledError):
            _log.failure("{label}: notifications", failure, label=self._label)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.on_lost = connection.on_notify = None
            connection.close()

    def _cancel_retry(self) -> None:
        retry, self._retry = self._retry, None
        if retry is not None:
            retry.cancel()

    def close(self) -> None:
        """Stop to listen: who is about to fails with code 705. Called at the stop."""
        self._closed = True
        self._channels.clear()
        self._cancel_retry()
        if self._connecting is not None:
            self._connecting.cancel()
        self._drop()


async def _execute(connection: Connection, verb: str, channel: str) -> None:
    """Execute LISTEN or UNLISTEN, when a statement that was cancelled has ended."""
    if connection.busy:
        await connection.when_idle()
    if connection.closed:
        raise UnsentError("the connection was lost", code=CODE_CLOSED)
    quoted = channel.replace('"', '""')
    result = await connection.run(Query(f'{verb} "{quoted}"', internal=True))
    if result.status != NORMAL:
        raise RefusedError(result)
