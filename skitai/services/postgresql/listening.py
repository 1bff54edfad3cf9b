"""Notifications of one database: a connection of their own, which is made anew when it is lost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.logger import Logger

from skitai.errors import NORMAL, OperationError, UnsentError
from skitai.services.db.query import Query

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from skitai.services.db.interfaces import Subscription
    from skitai.services.postgresql.driver import Connection

#: The pause before a lost connection is made anew, in seconds: each failure doubles it, up to the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0

_log = Logger()


class Listeners:
    """Who listens to which channel of one database. All of it is called in the reactor thread.

    ``connect()`` makes a connection, ``clock`` is the reactor, ``label`` names the database in the log.
    """

    def __init__(self, clock: Any, label: str, connect: Callable[[], Deferred[Connection]]) -> None:
        self._clock = clock
        self._label = label
        self._connect = connect
        self._channels: dict[str, list[Subscription]] = {}
        self._connection: Connection | None = None
        # One statement at a time, and the connection is made once.
        self._turn = DeferredLock()
        self._pause = FIRST_PAUSE
        self._retry: IDelayedCall | None = None
        self._reconnecting: Deferred[None] | None = None
        self._closed = False

    def add(self, subscription: Subscription) -> Deferred[Callable[[], None]]:
        """Listen for ``subscription``; see ``IEngine.listen``."""
        return Deferred.fromCoroutine(self._add(subscription))

    async def _add(self, subscription: Subscription) -> Callable[[], None]:
        await self._turn.acquire()
        try:
            connection = await self._connected()
            if subscription.channel not in self._channels:
                await _execute(connection, "LISTEN", subscription.channel)
            self._channels.setdefault(subscription.channel, []).append(subscription)
        finally:
            self._turn.release()
            self._close_if_unused()
        return partial(self._remove, subscription)

    async def _connected(self) -> Connection:
        """Return the connection, which is made if there is none."""
        if self._connection is None or self._connection.closed:
            connection = await self._connect()
            connection.on_notify = self._notified
            connection.on_lost = self._lost
            self._connection = connection
            for channel in self._channels:
                await _execute(connection, "LISTEN", channel)
        return self._connection

    def _remove(self, subscription: Subscription) -> None:
        subscriptions = self._channels.get(subscription.channel, [])
        if subscription not in subscriptions:
            return
        subscriptions.remove(subscription)
        if not subscriptions:
            del self._channels[subscription.channel]
            Deferred.fromCoroutine(self._unlisten(subscription.channel)).addErrback(lambda _: None)
        self._close_if_unused()

    async def _unlisten(self, channel: str) -> None:
        await self._turn.acquire()
        try:
            connection = self._connection
            if connection is not None and not connection.closed and channel not in self._channels:
                await _execute(connection, "UNLISTEN", channel)
        finally:
            self._turn.release()

    def _close_if_unused(self) -> None:
        if self._channels or self._turn.locked:
            return
        self._drop()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.on_lost = connection.on_notify = None
            connection.close()

    def _notified(self, channel: str, payload: str, pid: int) -> None:
        for subscription in list(self._channels.get(channel, ())):
            subscription.notified(payload, pid)

    # -- a lost connection -----------------------------------------------------------------------------------

    def _lost(self) -> None:
        self._drop()
        if self._channels and not self._closed:
            _log.warn("{label}: the connection for notifications was lost", label=self._label)
            self._retry_later()

    def _retry_later(self) -> None:
        self._retry = self._clock.callLater(self._pause, self._reconnect)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _reconnect(self) -> None:
        self._retry = None
        self._reconnecting = Deferred.fromCoroutine(self._again())
        self._reconnecting.addErrback(self._failed)

    async def _again(self) -> None:
        await self._turn.acquire()
        try:
            await self._connected()
        finally:
            self._turn.release()
        self._pause = FIRST_PAUSE
        for subscriptions in list(self._channels.values()):
            for subscription in list(subscriptions):
                subscription.resumed()
        self._close_if_unused()

    def _failed(self, failure: Any) -> None:
        if not failure.check(CancelledError, OperationError):
            _log.failure("{label}: notifications", failure, label=self._label)
        self._drop()
        if self._channels and not self._closed:
            self._retry_later()

    def close(self) -> None:
        """Stop to listen. Called at the stop."""
        self._closed = True
        self._channels.clear()
        if self._reconnecting is not None:
            self._reconnecting.cancel()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._drop()


async def _execute(connection: Connection, verb: str, channel: str) -> None:
    quoted = channel.replace('"', '""')
    result = await connection.run(Query(f'{verb} "{quoted}"', internal=True))
    if result.status != NORMAL:
        raise UnsentError(result.msg)
