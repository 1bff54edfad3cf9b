"""One statement by itself, from the pool to its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from skitai.calls.outcome import Outcome
from skitai.errors import NORMAL, MisuseError, OperationError
from skitai.services.db.reading import reads_only
from skitai.services.db.result import DBResult
from skitai.services.postgresql.sessionstate import leaves_state

if TYPE_CHECKING:
    from skitai.services.db.query import Query
    from skitai.services.db.timing import StatementTimes
    from skitai.services.postgresql.driver import Connection
    from skitai.services.postgresql.pool import Pool

#: A connection that the server closed while nobody used it fails a statement within these seconds.
_STALE_SECONDS = 0.25
_LEFT_OPEN = (
    "the statement left a transaction open, so it was rolled back: was.db.transaction() spans several calls"
)


class Running(Outcome):
    """Executes ``query`` on a connection of ``pool``, and fires with the result; see ``IEngine.run``.

    ``times`` count it, by the clock ``seconds``. All of it is called in the reactor thread.
    """

    __slots__ = ("_began", "_connection", "_pool", "_query", "_seconds", "_times", "_was_idle")

    def __init__(self, pool: Pool, query: Query, times: StatementTimes, seconds: Callable[[], float]) -> None:
        super().__init__()
        self._pool = pool
        self._query = query
        self._times = times
        self._seconds = seconds
        self._connection: Connection | None = None

    def start(self) -> None:
        """Take a connection, or wait for one, and execute the statement."""
        connection = self._pool.take()
        if connection is None:
            self._was_idle = False
            self._pool.wait(self)
        else:
            self._was_idle = True
            self.lend(connection)

    def lend(self, connection: Connection) -> None:
        """Execute the statement on ``connection``."""
        self._connection = connection
        self._began = self._seconds()
        connection.start(self._query, self._ended)

    def refuse(self, error: OperationError) -> None:
        """Fail, because no connection is to be had."""
        self.errback(error)

    def _ended(self, result: DBResult | OperationError) -> None:
        connection = self._connection
        assert connection is not None
        if connection.in_transaction and not isinstance(result, OperationError) and result.status == NORMAL:
            result = DBResult.of_statement_error(MisuseError(_LEFT_OPEN), _LEFT_OPEN)
        seconds = self._note(connection)
        self._pool.put_back(connection)  # first, so that the server has the next statement soon
        if self.called:  # who got the connection has cancelled this one
            return
        if not isinstance(result, OperationError):
            self.callback(result)
        # The server had closed it before, where it fails at once: what only reads is executed on another one.
        # If the statement ran for a while, it was lost in the middle, maybe by the statement itself.
        elif self._was_idle and seconds < _STALE_SECONDS and reads_only(self._query.sql):
            self.start()
        else:
            self.errback(result)

    def _note(self, connection: Connection) -> float:
        """Note the end, and return how many seconds the statement took."""
        self._connection = None
        seconds = self._seconds() - self._began
        self._times.note(self._query.sql, self._pool.label, seconds)
        if leaves_state(self._query.sql):
            connection.close()
        return seconds

    def _stop(self) -> None:
        connection = self._connection
        if connection is None:
            self._pool.give_up(self)
        else:
            connection.cancel()
            self._note(connection)
            self._pool.release(connection)
