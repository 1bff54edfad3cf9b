"""A connection of the pool that one transaction has to itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from zope.interface import implementer

from skitai.errors import CODE_CLOSED, NORMAL, MisuseError, OperationError
from skitai.services.db.interfaces import ISession, TransactionOptions
from skitai.services.db.query import Query
from skitai.services.db.result import DBResult
from skitai.services.postgresql.sessionstate import leaves_state

if TYPE_CHECKING:
    from skitai.services.postgresql.driver import Connection
    from skitai.services.postgresql.pool import Pool


def begin_statement(options: TransactionOptions) -> Query:
    """Return the statement that begins a transaction with ``options``."""
    words = ["BEGIN"]
    if options.isolation is not None:
        words.append(f"ISOLATION LEVEL {options.isolation.upper()}")
    if options.readonly:
        words.append("READ ONLY")
    return Query(" ".join(words), internal=True)


@implementer(ISession)
class Session:
    """The transaction that is open on ``connection``, which goes back to ``pool`` at its end."""

    outlives_cancelling = True

    def __init__(self, pool: Pool, connection: Connection) -> None:
        self._pool = pool
        self._connection = connection
        self._leaves_state = False

    @property
    def lost(self) -> bool:
        """Whether the connection is closed."""
        return self._connection.closed

    def run(self, query: Query) -> Deferred[DBResult]:
        """Execute a statement, when one that was cancelled has ended."""
        self._leaves_state = self._leaves_state or leaves_state(query.sql)
        if not self._connection.busy:
            return self._run_next(query)
        return self._connection.when_idle().addCallback(lambda _: self._run_next(query))

    def _run_next(self, query: Query) -> Deferred[DBResult]:
        if self._connection.closed:
            return fail(OperationError("the connection was lost", code=CODE_CLOSED))
        if not self._connection.in_transaction:  # what comes now would be committed at once
            text = "a statement has ended the transaction: that is for the end of its block"
            return succeed(DBResult.of_statement_error(MisuseError(text), text))
        return self._connection.run(query)

    def commit(self) -> Deferred[None]:
        """Commit; see ``ISession.commit``."""
        return Deferred.fromCoroutine(self._commit())

    async def _commit(self) -> None:
        try:
            result = await self.run(Query("COMMIT", internal=True))
        except (CancelledError, OperationError):
            self._connection.close()
            raise
        finally:
            self._give_back()
        if result.status != NORMAL:
            assert result.error is not None
            raise result.error

    def rollback(self) -> Deferred[None]:
        """Roll back; see ``ISession.rollback``."""
        return Deferred.fromCoroutine(self._rollback())

    async def _rollback(self) -> None:
        try:
            if not self.lost:
                await self.run(Query("ROLLBACK", internal=True))
        except (CancelledError, OperationError):
            self._connection.close()
        finally:
            self._give_back()

    def _give_back(self) -> None:
        if self._leaves_state:
            self._connection.close()
        self._pool.release(self._connection)  # it closes one whose transaction is still open
