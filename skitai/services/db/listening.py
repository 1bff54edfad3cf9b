"""Notifications: ``for note in was.db.listen("@name", "channel"):``."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import attrs
from twisted.internet.defer import Deferred

from skitai.calls.deadline import DEFAULT_TIMEOUT, checked_seconds
from skitai.calls.operation import Operation
from skitai.calls.raising import called_as
from skitai.calls.step import Step
from skitai.errors import CODE_SHUTDOWN, OperationTimeout
from skitai.loop.awaiting import until_over
from skitai.loop.bridge import Pending
from skitai.services.db.interfaces import DBTYPES, RefusedError
from skitai.services.db.result import DBResult
from skitai.services.db.words import LISTEN_KEYWORDS

if TYPE_CHECKING:
    from skitai.calls.call import Call
    from skitai.context import Caller
    from skitai.services.db.service import DatabaseService

#: How many notifications wait for a slow listener; a sign stands for those that come behind them.
WAITING_MAX = 10_000
#: PostgreSQL cuts longer names behind LISTEN (NAMEDATALEN), so nothing would arrive.
_CHANNEL_BYTES = 63
#: Seconds of one wait in a loop of waits without a deadline.
_LOOK_SECONDS = 60.0


@attrs.frozen
class Notification:
    """What somebody sent to a channel: ``pid`` is the server's process of the sender.

    With ``missed`` it is none, but the sign that some may have been missed: the connection was lost and is
    back, or the listener was too slow. Its ``payload`` is empty and its ``pid`` 0.
    """

    channel: str
    payload: str = ""
    pid: int = 0
    missed: bool = False


class Notifications:
    """The notifications of one channel, in order, until ``close()``, the end of the request or of the server.

    Iterating waits for the next one. ``wait()``, or ``await`` in a coroutine, waits until notifications
    arrive, and raises what prevents it. Used by one thread, greenlet or coroutine.
    """

    def __init__(self, caller: Caller, channel: str) -> None:
        self.channel = channel
        self._bridge = caller.bridge
        self._queue: deque[Notification] = deque()
        self._began = Pending()
        #: Over at the next notification, and at the end; then another takes its place.
        self._arrival = Pending()
        self._call: Call | None = None
        self._forget = caller.at_end(self.close)

    def attach(self, call: Call) -> None:
        """Listen for as long as ``call`` is under way."""
        call.collected = True  # or it would end as one that nobody waits for
        self._call = call
        call.on_end(self._end)

    # -- for the engine, in the reactor thread ---------------------------------------------------------------

    def notified(self, payload: str, pid: int) -> None:
        """Take a notification."""
        # None is taken out here to make room: the listener's thread may be about to take it.
        waiting = len(self._queue)
        if waiting < WAITING_MAX:
            self._add(Notification(self.channel, payload, pid))
        elif waiting == WAITING_MAX:
            self._add(Notification(self.channel, missed=True))

    def resumed(self) -> None:
        """Note that the connection was lost and is back."""
        self._add(Notification(self.channel, missed=True))

    def begun(self) -> None:
        """Note that notifications arrive from now on."""
        self._began.end()

    def _add(self, note: Notification) -> None:
        self._queue.append(note)
        self._wake()

    def _wake(self) -> None:
        arrival, self._arrival = self._arrival, Pending()
        arrival.end()

    def _end(self) -> None:
        self._began.end()
        self._wake()

    # -- for apps --------------------------------------------------------------------------------------------

    def wait(self, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Wait until notifications arrive; raise OperationError if they cannot. In a thread or a greenlet."""
        checked_seconds("timeout", timeout)
        self._check_begun(self._bridge.wait(self._began, timeout), timeout)

    def get(self, timeout: float = DEFAULT_TIMEOUT) -> Notification | None:
        """Return the next notification, or None if none comes within ``timeout`` seconds, or ever.

        Raises OperationError if listening has failed. Called in a thread or a greenlet.
        """
        checked_seconds("timeout", timeout)
        arrival = self._arrival  # before the look at the queue, or one that comes now would be missed
        if not self._queue and not self._is_over:
            self._bridge.wait(arrival, timeout)
        return self._next()

    def close(self) -> None:
        """Stop to listen; whoever iterates comes to the end. Called in any thread."""
        self._forget()
        if self._call is not None:
            self._call.cancel()

    @property
    def closed(self) -> bool:
        """Whether ``get`` has nothing to give any more, so that a loop of it ends. Read in any thread."""
        return self._is_over and not self._queue

    @property
    def _is_over(self) -> bool:
        return self._call is None or self._call.over

    def _next(self) -> Notification | None:
        if self._queue:
            return self._queue.popleft()
        if self._is_over:
            self._check()
        return None

    def _check_begun(self, begun: bool, timeout: float) -> None:
        if not begun:
            self.close()
            raise OperationTimeout(f"{self.channel!r} is not listened to within {timeout:g} s")
        self._check()

    def _check(self) -> None:
        """Raise what ended the listening, unless that was ``close()`` or the stop of the server."""
        if self._call is not None and self._call.over and self._call.code != CODE_SHUTDOWN:
            self._call.original.reraise()

    def __iter__(self) -> Iterator[Notification]:
        while True:
            note = self.get(_LOOK_SECONDS)
            if note is not None:
                yield note
            elif self._is_over:
                return

    async def __aiter__(self) -> AsyncIterator[Notification]:
        while True:
            arrival = self._arrival
            if not self._queue and not self._is_over:
                await until_over(self._bridge, arrival, _LOOK_SECONDS)
            note = self._next()
            if note is not None:
                yield note
            elif self._is_over:
                return

    def __await__(self) -> Generator[Any, Any, Self]:
        return self._until_begun().__await__()

    async def _until_begun(self) -> Self:
        begun = await until_over(self._bridge, self._began, DEFAULT_TIMEOUT)
        self._check_begun(begun, DEFAULT_TIMEOUT)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@attrs.frozen
class Listen(Step):
    """The request of the operation that lasts as long as somebody listens."""

    notifications: Notifications

    def perform(self, service: DatabaseService, node: Any) -> Deferred[DBResult]:
        """Listen on ``node`` until the call is cancelled. Called in the reactor thread."""
        return Deferred.fromCoroutine(self._listen(service, node))

    def rehearse(self, reply: Callable[[], Deferred[Any]]) -> Deferred[DBResult]:  # noqa: ARG002
        """Listen to nobody until the call is cancelled."""
        self.notifications.begun()
        return Deferred()

    async def _listen(self, service: DatabaseService, node: Any) -> DBResult:
        try:
            stop = await service.engine_of(node).listen(node, self.notifications)
        except RefusedError as refused:
            return refused.result
        try:
            self.notifications.begun()
            await Deferred()  # for ever: closing cancels it
        finally:
            stop()
        return DBResult()


def listen(service: DatabaseService, caller: Caller, server: str, *args: Any, **kwargs: Any) -> Notifications:
    """Return the notifications of a channel: ``was.db.listen(server, ..., channel)``.

    The arguments are those of ``was.db``, and ``channel`` comes last. Of a cluster one member is listened to.
    Listening begins at once. Raises TypeError or ValueError that names the wrong argument. Called in any
    thread.
    """
    LISTEN_KEYWORDS.refuse("was.db.listen()", kwargs.keys() - LISTEN_KEYWORDS.known)
    *place, channel = (*args, kwargs.pop("channel")) if "channel" in kwargs else args or (None,)
    if channel in DBTYPES and channel in args:  # what stands last is the type of was.db(server, dbtype)
        raise TypeError(
            f"channel is missing: {channel!r} is a kind of database; was.db.listen(server, ..., channel)."
            f" If that is its name, write channel={channel!r}"
        )
    if not isinstance(channel, str) or not channel:
        raise TypeError(f"channel must be the name of a channel, not {channel!r}")
    _check_channel(channel)
    target, node = called_as("was.db.listen()", service.place, LISTEN_KEYWORDS, server, *place, **kwargs)
    notifications = Notifications(caller, channel)
    operation = Operation(
        target, Listen(notifications), idempotent=True, use_cache=False, node=node, counted=False
    )
    started: Any = caller.submit(operation)
    notifications.attach(started)
    return notifications


def _check_channel(channel: str) -> None:
    """Raise ValueError for a name that no channel can have."""
    try:
        size = len(channel.encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"channel {channel!r} is no text: {error.reason}") from None
    if size > _CHANNEL_BYTES:
        raise ValueError(f"channel {channel!r} has {size} bytes in UTF-8; PostgreSQL takes {_CHANNEL_BYTES}")
    if "\0" in channel:
        raise ValueError(f"channel {channel!r} has a NUL character, which no name may have")
