"""One file: who writes to it, and who reads meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
from twisted.internet import defer
from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from skitai.errors import CODE_BUSY, MisuseError, UnsentError
from skitai.services.db.interfaces import RefusedError
from skitai.services.db.result import DBResult
from skitai.services.sqlite.connection import Connection, Settings
from skitai.services.sqlite.errors import BusyError, locked, refused
from skitai.services.sqlite.session import Session
from skitai.services.sqlite.statements import Script, parse, parse_short
from skitai.services.sqlite.stock import Stock
from skitai.services.sqlite.task import Task

if TYPE_CHECKING:
    from skitai.loop.pool import ThreadPool
    from skitai.services.db.query import Query
    from skitai.services.db.timing import StatementTimes
    from skitai.services.sqlite.node import SQLiteNode

T = TypeVar("T")

#: How many statements may wait for the writer of one file: as many as calls may be under way by default.
WAITING_MAX = 4096
#: How long to wait for the lock of another process before the next look, in seconds: at first, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.05
#: Texts above so many characters are looked at in a thread, since that takes a millisecond or more.
_SHORT = 2000


@attrs.frozen
class Context:
    """What all databases of an instance share. ``clock`` is the reactor, ``busy_timeout`` is in seconds."""

    pool: ThreadPool
    clock: Any
    settings: Settings
    busy_timeout: float
    times: StatementTimes


class Database:
    """The connections to one file. All methods are called in the reactor thread.

    A database in memory has one connection, on which all take turns.
    """

    def __init__(self, node: SQLiteNode, context: Context) -> None:
        self.node = node
        self._context = context
        self._writer = Stock(node, context.settings, writes=True)
        self._readers = Stock(node, context.settings, writes=False)
        self._turn = DeferredLock()
        #: How many statements and transactions are under way.
        self._users = 0
        self._sessions: set[Session] = set()
        self.used_at = context.clock.seconds()

    # -- what it is asked for -------------------------------------------------------------------------------

    def run(self, query: Query) -> Deferred[DBResult]:
        """Execute a statement; see ``IEngine.run``."""
        return self.start(partial(self._run, query))

    async def _run(self, query: Query, task: Task) -> Any:
        until = self.deadline()
        try:
            script = await self.parsed(query.sql)
            if script.within:
                return refused(MisuseError(f"{script.statements[0].verb} is for was.db.transaction()"))
            stock, release = await self._enter(task, until, script.reads_only)
            try:
                run = partial(Connection.run, query=query, script=script)
                return await self.timed(query, self.in_thread(task, partial(stock.lend, task, run), until))
            finally:
                release()
        except MisuseError as error:
            return refused(error)
        except BusyError:
            return self.locked()

    def begin(self, *, readonly: bool) -> Deferred[Session]:
        """Begin a transaction; see ``IEngine.begin``."""
        return self.start(partial(self._begin, readonly))

    async def _begin(self, readonly: bool, task: Task) -> Session:
        until = self.deadline()
        begin = partial(Connection.begin, readonly=readonly)
        try:
            stock, release = await self._enter(task, until, readonly)
            try:
                connection = await self.in_thread(task, partial(stock.lend, task, begin), until)
            except BaseException:
                release()
                raise
        except BusyError:
            raise RefusedError(self.locked()) from None
        if isinstance(connection, DBResult):  # what SQLite said instead of beginning
            release()
            raise RefusedError(connection)
        self._users += 1
        session = Session(self, stock, connection, partial(self._leave, release))
        self._sessions.add(session)
        if task.stopped:  # too late to be interrupted
            await session.rollback()
            raise CancelledError
        return session

    # -- turns ----------------------------------------------------------------------------------------------

    async def _enter(self, task: Task, until: float, reads_only: bool) -> tuple[Stock, Callable[[], None]]:
        """Wait for the turn of who wants to read or write: return the connections, and what ends the turn."""
        pool = self._context.pool
        if pool.is_full:
            raise UnsentError(f"too many statements wait for a thread: {pool.queue_max}", code=CODE_BUSY)
        if self.node.read_only or (reads_only and not self.node.in_memory):
            return self._readers, _end_no_turn
        if len(self._turn.waiting) >= WAITING_MAX:
            raise BusyError
        turn = self._turn.acquire()
        if not turn.called:
            turn.addTimeout(max(until - self._context.clock.seconds(), 0), self._context.clock)
            try:
                await task.wait(turn)
            except defer.TimeoutError:
                raise BusyError from None
        return self._writer, self._turn.release

    def _leave(self, release: Callable[[], None], session: Session) -> None:
        """Note that a session is over."""
        self._sessions.discard(session)
        self._users -= 1
        release()

    # -- for sessions, too ----------------------------------------------------------------------------------

    def start(self, work: Callable[[Task], Coroutine[Any, Any, T]]) -> Deferred[T]:
        """Do ``work(task)``; return a Deferred of its outcome.

        Cancelling it stops the task. It then fails at once, while the work goes on to its end.
        """
        task = Task(self._context.clock)
        outcome: Deferred[T] = Deferred(lambda _: task.stop())
        self._users += 1
        self.used_at = self._context.clock.seconds()

        def end(result: T | Failure) -> None:
            self._users -= 1
            task.end()
            if not outcome.called:
                outcome.callback(result)

        Deferred.fromCoroutine(work(task)).addBoth(end)
        return outcome

    def deadline(self) -> float:
        """Until when a statement that comes now may wait for a lock."""
        seconds: float = self._context.clock.seconds()
        return seconds + self._context.busy_timeout

    def locked(self) -> DBResult:
        """Return the result of a statement that has waited in vain for a lock."""
        return locked(self.node, self._context.busy_timeout)

    async def parsed(self, sql: str) -> Script:
        """Return what a text says to do; raise MisuseError."""
        return parse_short(sql) if len(sql) <= _SHORT else await self.thread(partial(parse, sql))

    async def in_thread(self, task: Task, step: Callable[[], Any], until: float) -> Any:
        """Return what ``step()`` returns in a thread; raise what it returns, if that is an exception.

        It is called again while another process has a lock, but not after ``until``.
        """
        pause = _FIRST_PAUSE
        while isinstance(outcome := await self.thread(step), BusyError):
            clock = self._context.clock
            if clock.seconds() + pause > until:
                break
            await task.wait(deferLater(clock, pause))
            pause = min(2 * pause, _LONGEST_PAUSE)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def timed(self, query: Query, execution: Awaitable[Any]) -> Any:
        """Return what ``execution`` comes to, and count how long it takes, without the wait for a turn."""
        began = self._context.clock.seconds()
        try:
            return await execution
        finally:
            seconds = self._context.clock.seconds() - began
            self._context.times.note(query.sql, self.node.label, seconds)

    def thread(self, function: Callable[[], T]) -> Deferred[T]:
        """Call ``function()`` in a thread."""
        return self._context.pool.run(function)

    # -- the end --------------------------------------------------------------------------------------------

    @property
    def in_use(self) -> bool:
        """Whether a statement or a transaction is under way."""
        return self._users > 0

    def close(self) -> Deferred[None]:
        """Close all connections that no thread uses. Transactions that nobody has ended are undone."""
        left = [connection for session in self._sessions if (connection := session.unused) is not None]

        def close() -> None:
            for connection in left:
                connection.close()
            self._readers.close()
            self._writer.close()

        return self.thread(close)

    def statistics(self) -> dict[str, Any]:
        """What the status page shows."""
        waiting = len(self._turn.waiting)
        return {"file": self.node.label, "under_way": self._users - waiting, "waiting_to_write": waiting}


def _end_no_turn() -> None:
    """End the turn of a reader, who has none."""
