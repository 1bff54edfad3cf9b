"""One transaction on a connection of its own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredLock
from zope.interface import implementer

from skitai.errors import MisuseError, OperationError, UnsentError, stopping
from skitai.services.db.interfaces import ISession
from skitai.services.db.result import DBResult
from skitai.services.sqlite.connection import Connection
from skitai.services.sqlite.errors import BusyError, is_full, refused

if TYPE_CHECKING:
    from skitai.services.db.query import Query
    from skitai.services.sqlite.database import Database
    from skitai.services.sqlite.stock import Stock
    from skitai.services.sqlite.task import Task


@implementer(ISession)
class Session:
    """A transaction that has begun on ``connection`` of ``stock``.

    ``leave(session)`` is called when it is over.
    """

    #: SQLite rolls everything back when what writes is interrupted (https://sqlite.org/c3ref/interrupt.html).
    outlives_cancelling = False

    def __init__(
        self, database: Database, stock: Stock, connection: Connection, leave: Callable[[Session], None]
    ) -> None:
        self._database = database
        self._stock = stock
        self._connection = connection
        self._leave = leave
        #: Held while a thread uses the connection: a statement that was cancelled may take a while to end.
        self._thread = DeferredLock()

    @property
    def lost(self) -> bool:
        """Whether SQLite has rolled back by itself, such as after an interrupted statement."""
        return not self._connection.in_transaction

    @property
    def unused(self) -> Connection | None:
        """The connection, unless a thread uses it."""
        return None if self._thread.locked else self._connection

    def run(self, query: Query) -> Deferred[DBResult]:
        """Execute a statement; see ``ISession.run``."""
        return self._database.start(partial(self._run, query))

    async def _run(self, query: Query, task: Task) -> Any:
        await task.wait(self._thread.acquire())
        try:
            script = await self._database.parsed(query.sql)
            run = partial(Connection.run_within, query=query, script=script)
            return await self._database.timed(query, self._use(task, run))
        except MisuseError as error:
            return refused(error)
        except BusyError:
            return self._database.locked()
        finally:
            self._thread.release()

    def commit(self) -> Deferred[None]:
        """Commit; see ``ISession.commit``."""
        return self._database.start(self._commit)

    async def _commit(self, task: Task) -> None:
        await self._thread.acquire()
        try:
            outcome = await self._use(task, Connection.commit)
        except BusyError:
            outcome = self._database.locked()
        except OperationError as error:
            if not is_full(error.__cause__):
                raise
            outcome = refused(error.__cause__)  # nothing is committed, and nobody need doubt it
        finally:
            await self._give_back()
        if outcome is not None:
            raise outcome.error

    def rollback(self) -> Deferred[None]:
        """Roll back; see ``ISession.rollback``."""
        return self._database.start(self._roll_back)

    async def _roll_back(self, _: Task) -> None:
        await self._thread.acquire()
        await self._give_back()

    def _use(self, task: Task, work: Callable[[Connection], Any]) -> Coroutine[Any, Any, Any]:
        if self._connection.is_closed:  # by the end of the engine, whose threads are gone
            raise stopping(UnsentError)
        step = partial(task.use, self._connection, work)
        return self._database.in_thread(task, step, self._database.deadline())

    async def _give_back(self) -> None:
        """Give the connection back, which rolls back what is not committed."""
        take_back = partial(self._stock.take_back, self._connection)
        try:
            if self._connection.is_clean:  # then there is nothing to be done that takes a thread
                take_back()
            elif not self._connection.is_closed:
                await self._database.thread(take_back)
        finally:
            self._leave(self)
