"""The reactor's side of a transaction: the steps of one connection, one after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger, LogLevel
from zope.interface import implementer

from skitai.errors import (
    CODE_SHUTDOWN,
    NORMAL,
    MisuseError,
    OperationError,
    OperationTimeout,
    commit_unknown,
    words_of,
)
from skitai.interfaces import INode
from skitai.services.db.interfaces import RefusedError
from skitai.services.db.query import Query
from skitai.services.db.result import CODE_STATEMENT, DBResult
from skitai.services.db.turn import Turn

if TYPE_CHECKING:
    from skitai.calls.call import Call
    from skitai.services.db.interfaces import IEngine, ISession, TransactionOptions

_log = Logger()


class State(Enum):
    """Where a transaction is."""

    BEGINNING = auto()
    OPEN = auto()
    COMMITTING = auto()
    #: The commit was cancelled after it was sent.
    UNKNOWN = auto()
    OVER = auto()


@implementer(INode)
class Pinned:
    """The connection that a transaction has to itself, as a node for its calls.

    A statement that fails or does not end in time aborts the transaction: nothing more is executed, and the
    commit fails. Going back to a savepoint before that statement mends it. All methods but ``__init__`` are
    called in the reactor thread.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.state = State.BEGINNING
        #: The node that it is on, once it has begun.
        self.database: Any = None
        self._session: ISession | None = None
        #: The result to give for the commit; None while all is well.
        self._failed: DBResult | None = None
        self._savepoints: list[str] = []
        self._turn = Turn()
        self._turn.acquire()  # until it has begun

    # -- beginning ------------------------------------------------------------------------------------------

    async def begin(self, engine: IEngine, node: Any, options: TransactionOptions) -> DBResult:
        """Begin on ``node``; raise if it is unwell, so that another node can be asked."""
        if getattr(node, "read_only", False) and not options.readonly:
            text = f"{node.label} is read_only: begin with readonly=True"
            return DBResult.of_statement_error(MisuseError(text), text)
        try:
            session = await engine.begin(node, options)
        except RefusedError as refused:
            return refused.result
        self.label, self.database = node.label, node
        return await self.adopt(session)

    async def adopt(self, session: ISession) -> DBResult:
        """Take the connection on which the transaction has begun."""
        if self.state is State.OVER:
            await session.rollback()
        else:
            self._session, self.state = session, State.OPEN
            self._turn.release()
        return DBResult()

    def not_begun(self, result: DBResult) -> None:
        """Note that it could not begin, whatever was tried; ``result`` says why."""
        if self.state is State.BEGINNING:
            self.state = State.OVER
            self._failed = result
            self._turn.release()

    # -- statements -----------------------------------------------------------------------------------------

    async def run(self, query: Query) -> DBResult:
        """Execute a statement in its turn; one that is not executed has a result that says why."""
        return await self._in_turn(lambda: self._run(query))

    async def savepoint(self, name: str) -> DBResult:
        """Set a savepoint."""

        async def set_it() -> DBResult:
            result = await self._run(_internal(f"SAVEPOINT {name}"))
            if result.status == NORMAL:
                self._savepoints.append(name)
            return result

        return await self._in_turn(set_it)

    async def release(self, name: str) -> DBResult:
        """Keep what was done since a savepoint; if a statement has failed since, the result is that one's."""

        async def release() -> DBResult:
            result = self._failed or await self._run(_internal(f"RELEASE SAVEPOINT {name}"))
            if result.status == NORMAL:
                self._savepoints.remove(name)
            return result

        return await self._in_turn(release)

    async def back_to(self, name: str) -> DBResult:
        """Undo what was done since a savepoint, failures included."""

        async def go_back() -> DBResult:
            if name not in self._savepoints or self._is_lost():
                return self._failed or DBResult()
            del self._savepoints[self._savepoints.index(name) :]
            self._failed = None
            undone = await self._run(_internal(f"ROLLBACK TO SAVEPOINT {name}"))
            return (
                undone if undone.status != NORMAL else await self._run(_internal(f"RELEASE SAVEPOINT {name}"))
            )

        return await self._in_turn(go_back)

    def cancel_within(self, calls: Iterable[Call]) -> None:
        """Cancel statements that a savepoint is about to undo, unless that would end the transaction."""
        if self._session is None or self._session.outlives_cancelling:
            for call in calls:
                call.cancel()

    # -- the end --------------------------------------------------------------------------------------------

    async def commit(self) -> DBResult:
        """Commit when all statements have ended; if one has failed, roll back and give that one's result.

        Raises CommitUnknownError if the connection is lost meanwhile.
        """
        try:
            await self._turn.acquire()
        except CancelledError:
            self.abandon("the transaction did not end in time")
            raise
        try:
            session = self._session
            if session is None or self.state is State.OVER or self._failed is not None:
                failed = self._failed or DBResult.failed(_over())
                await self._roll_back()
                return failed
            self.state = State.COMMITTING
            return await self._commit(session)
        finally:
            self._close()
            self._turn.release()

    async def _commit(self, session: ISession) -> DBResult:
        self._session = None  # its end, one way or the other
        try:
            await session.commit()
        except OperationError as error:
            raise commit_unknown(error) from None
        except CancelledError:
            self.state = State.UNKNOWN
            raise
        except Exception as error:  # noqa: BLE001 - the driver's: the database has refused
            text = f"{type(error).__name__}: {words_of(error)}".strip()
            return DBResult.of_statement_error(error.with_traceback(None), text)
        return DBResult()

    async def roll_back(self) -> DBResult:
        """Roll back when the statement under way has ended."""
        await self._turn.acquire()
        try:
            await self._roll_back()
        finally:
            self._close()
            self._turn.release()
        return DBResult()

    def abandon(self, reason: str) -> None:
        """Roll back, because nobody will end it; a statement that comes later fails with ``reason``."""
        if self.state in (State.UNKNOWN, State.OVER):
            return
        self._failed = self._failed or DBResult.failed(OperationError(reason, code=CODE_SHUTDOWN))
        Deferred.fromCoroutine(self.roll_back()).addErrback(
            lambda failure: _log.failure("a rollback failed", failure, level=LogLevel.error)
        )

    async def _roll_back(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.rollback()

    def _close(self) -> None:
        if self.state is not State.UNKNOWN:
            self.state = State.OVER
        self._failed = self._failed or DBResult.failed(_over())

    # -- turns ----------------------------------------------------------------------------------------------

    async def _in_turn(self, step: Callable[[], Awaitable[DBResult]]) -> DBResult:
        await self._place()
        try:
            return await step()
        finally:
            self._turn.release()

    def _place(self) -> Deferred[None]:
        """Fire when the caller has its turn.

        One that is cancelled keeps its place and aborts there: what comes before it may be of an outer block,
        which goes on when the inner one is undone.
        """
        place: Deferred[None] = Deferred()

        def reached(_: None) -> None:
            if place.called:
                self._abort(_late())
                self._turn.release()
            else:
                place.callback(None)

        self._turn.acquire().addCallback(reached)
        return place

    async def _run(self, query: Query) -> DBResult:
        if self._failed is not None:
            text = f"not executed, because of what came before: {self._failed.msg}"
            return DBResult.failed(OperationError(text, code=CODE_STATEMENT))
        assert self._session is not None
        try:
            result = await self._session.run(query)
        except CancelledError:
            self._abort(_late())
            raise
        except OperationError as error:
            self._abort(error)
            raise
        if result.status != NORMAL:
            self._failed = result
        return result

    def _abort(self, error: OperationError) -> None:
        if self._failed is None:
            self._failed = DBResult.failed(error)

    def _is_lost(self) -> bool:
        return self._session is None or self._session.lost


def _internal(sql: str) -> Query:
    return Query(sql, internal=True)


def _over() -> OperationError:
    return OperationError("the transaction is over", code=CODE_STATEMENT)


def _late() -> OperationTimeout:
    return OperationTimeout("a statement of the transaction did not end in time")
