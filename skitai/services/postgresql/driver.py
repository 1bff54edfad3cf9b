"""One connection to PostgreSQL: a statement at a time, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from enum import Enum, auto
from functools import partial
from typing import Any

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_ACTIVE, TRANSACTION_STATUS_IDLE
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.python.failure import Failure

from skitai.errors import CODE_CLOSED, CommitUnknownError, OperationError, UnsentError, commit_unknown
from skitai.services.db.query import Query
from skitai.services.db.result import DBResult
from skitai.services.postgresql.cancelling import CancelRequest
from skitai.services.postgresql.errors import connect_error, lost_error, means_lost, refused
from skitai.services.postgresql.fetching import fetch, too_large
from skitai.services.postgresql.limits import Limits
from skitai.services.postgresql.link import Link, TooManyBytesError
from skitai.services.postgresql.many import execute_many, messages_of
from skitai.services.postgresql.placeholders import check_places
from skitai.services.postgresql.prepared import Execution, PreparedStatements
from skitai.services.postgresql.readers import reading_together
from skitai.services.postgresql.values import adapted, register_types

#: What is called at the end of a statement: with its result, or with why there is none.
Ended = Callable[[DBResult | OperationError], object]

#: Seconds that the server has to end a statement that was cancelled; then the connection is closed.
CANCEL_SECONDS = 5.0
#: "cached plan must not change result type": the table has changed.
#: "prepared statement does not exist": somebody has sent DISCARD ALL.
_PLAN_CHANGED, _NAME_UNKNOWN = "0A000", "26000"


class State(Enum):
    """What a connection does."""

    IDLE = auto()
    RUNNING = auto()
    #: The statement was cancelled and has not ended.
    CANCELLING = auto()
    CLOSED = auto()


#: Each statement passes through these, and looking up the member of an Enum takes long.
_IDLE, _RUNNING = State.IDLE, State.RUNNING


class Connection:
    """A connection that executes one statement at a time. All of it is called in the reactor thread.

    ``on_lost()`` is called once if the server closes it while it is idle,
    ``on_notify(channel, payload, pid)`` for each notification.
    """

    def __init__(self, reactor: Any, limits: Limits) -> None:
        self.on_lost: Callable[[], None] | None = None
        self.on_notify: Callable[[str, str, int], None] | None = None
        self._reactor = reactor
        self._limits = limits
        self._link = Link(reading_together(reactor), limits.bytes_max, self._link_closed, self._notified)
        self._prepared = PreparedStatements() if limits.prepare else None
        self._state = _IDLE
        #: Whether it is closed or lost.
        self.closed = False
        #: Whether a transaction was open when the last statement ended, as the server says.
        self.in_transaction = False
        self._ended: Ended | None = None
        self._waiting: list[Deferred[bool]] = []
        # While a statement is being cancelled:
        self._request: CancelRequest | None = None
        self._limit: Any = None
        self._unended = 0

    # -- connecting ------------------------------------------------------------------------------------------

    @classmethod
    def connect(cls, reactor: Any, parameters: Mapping[str, str], limits: Limits) -> Deferred[Connection]:
        """Fire with a connection for libpq's ``parameters``; fail with UnsentError.

        With ``hostaddr`` no name is resolved. It may take for ever: cancelling closes the socket at once.
        """
        connection = cls(reactor, limits)

        def cancel(connected: Deferred[Connection]) -> None:
            connected.errback(CancelledError())
            connection.close()

        connected: Deferred[Connection] = Deferred(cancel)
        where = parameters.get("host") or parameters.get("hostaddr") or "PostgreSQL"
        if "port" in parameters:
            where = f"{where}:{parameters['port']}"

        def ready(_: Any) -> None:
            register_types(connection._link.raw)
            connected.callback(connection)

        def failed(failure: Failure) -> None:
            connection.close()
            if not connected.called:
                connected.errback(connect_error(failure.getErrorMessage(), where))

        # libpq would look for a Kerberos ticket, which may block.
        options = {"gssencmode": "disable", **parameters}
        connection._link.connect(**options).addCallbacks(ready, failed)
        return connected

    # -- state -----------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a statement runs or is being cancelled."""
        return self._state is _RUNNING or self._state is State.CANCELLING

    def when_idle(self) -> Deferred[bool]:
        """Fire when no statement runs or is being cancelled: whether it can be used again."""
        if not self.busy:
            return succeed(not self.closed)
        waiting: Deferred[bool] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def look(self) -> None:
        """Read what has come while it was idle, and close it if the server has."""
        self._link.doRead()

    def close(self) -> None:
        """Close it; what runs fails."""
        self._link.close()

    # -- statements ------------------------------------------------------------------------------------------

    def run(self, query: Query) -> Deferred[DBResult]:
        """Execute a statement; see ``IEngine.run``. Cancelling does what ``cancel`` does."""
        outcome: Deferred[DBResult] = Deferred(lambda _: self.cancel())

        def ended(result: DBResult | OperationError) -> None:
            if isinstance(result, OperationError):
                outcome.errback(result)
            else:
                outcome.callback(result)

        self.start(query, ended)
        return outcome

    def start(self, query: Query, ended: Ended) -> None:
        """Do what ``run`` does without a Deferred, which each statement would pay for.

        ``ended`` is called once, maybe at once, unless the statement is cancelled before.
        """
        if self._state is not _IDLE:
            ended(UnsentError(f"the connection is {self._state.name.lower()}", code=CODE_CLOSED))
            return
        self._state = _RUNNING
        self._ended = ended
        if query.rows is not None:
            self._go_on(self._execute_many(query))
            return
        try:
            self._execute_one(query)
        except Exception as error:  # noqa: BLE001 - values may raise anything
            self._failed(error)

    def _execute_one(self, query: Query) -> None:
        if query.params and "%" not in query.sql:
            check_places(query.sql, query.params)
        sql, params = query.sql, adapted(query.params)
        chosen = None
        if self._prepared is not None and not query.internal:
            chosen = self._prepared.choose(sql, params, self.in_transaction)
        if chosen is None:
            self._link.execute(sql, params, self._executed)
            return
        execution, values = chosen
        if execution.preparing:
            self._go_on(self._prepare(execution, values, sql, params))
        else:
            done = partial(self._executed_as, execution, sql, params)
            self._link.execute(*execution.bound(values), done)

    def _executed(self, cursor: Any, error: Exception | None) -> None:
        if error is not None:
            self._failed(error)
            return
        try:
            result = fetch(cursor, self._limits.rows_max, self._reactor, self._is_wanted)
        except psycopg2.Error as unconverted:
            self._failed(unconverted)
            return
        if isinstance(result, DBResult):
            self._end(result)
        else:
            result.addCallbacks(self._end, lambda failure: self._failed(failure.value))

    def _is_wanted(self) -> bool:
        return self._state is _RUNNING

    # -- several messages ------------------------------------------------------------------------------------

    def _go_on(self, steps: Coroutine[Any, Any, None]) -> None:
        Deferred.fromCoroutine(steps).addErrback(lambda failure: self._failed(failure.value))

    def _send(self, sql: str | bytes) -> Deferred[int]:
        """Execute a statement of several; fire with its count of rows."""
        if not self._is_wanted():
            raise CancelledError
        sent: Deferred[int] = Deferred()

        def done(cursor: Any, error: Exception | None) -> None:
            if error is None:
                sent.callback(cursor.rowcount)
            else:
                sent.errback(error)

        self._link.execute(sql, None, done)
        return sent

    async def _execute_many(self, query: Query) -> None:
        messages = messages_of(self._link.raw.cursor(), query)
        begin = not self.in_transaction
        self._end(DBResult(rowcount=await execute_many(messages, self._send, self._commit, begin)))

    async def _commit(self) -> None:
        try:
            await self._send(b"COMMIT")
        except psycopg2.Error as error:
            if not means_lost(error, self._link.raw.closed):
                raise
            self.close()
            raise commit_unknown(lost_error(error)) from None

    async def _prepare(self, execution: Execution, values: Any, sql: str, params: Any) -> None:
        assert self._prepared is not None
        try:
            for message in execution.preparing:
                await self._send(message)
        except psycopg2.Error as error:
            if means_lost(error, self._link.raw.closed):
                raise
            self._prepared.refuse(execution)
        else:
            self._prepared.keep(execution)
            sql, params = execution.sql, values
        if not self._is_wanted():
            raise CancelledError
        self._link.execute(sql, params, self._executed)

    def _executed_as(
        self, execution: Execution, sql: str, params: Any, cursor: Any, error: Exception | None
    ) -> None:
        """Note the end of a prepared statement; if it fails because it was prepared, execute it as it is."""
        code = None if error is None else getattr(error, "pgcode", None)
        if code not in (_PLAN_CHANGED, _NAME_UNKNOWN):
            self._executed(cursor, error)
            return
        assert self._prepared is not None
        if code == _PLAN_CHANGED:
            self._prepared.forget(execution)
        else:
            self._prepared.clear()
        # In a transaction the server executes nothing more, once a statement has failed.
        if not self._is_wanted() or self.in_transaction:
            self._executed(cursor, error)
            return
        try:
            self._link.execute(sql, params, self._executed)
        except Exception as unsent:  # noqa: BLE001 - psycopg2's, or what a value raises
            self._failed(unsent)

    # -- the end of a statement ------------------------------------------------------------------------------

    def _failed(self, error: Any) -> None:
        if isinstance(error, TooManyBytesError):
            self._end(too_large(f"the result has more than {self._limits.bytes_max} bytes (bytes_max)"))
        elif isinstance(error, CancelledError):  # nobody waits for it, unless the connection was closed
            self._end(lost_error(psycopg2.InterfaceError("the connection was closed")))
        elif isinstance(error, CommitUnknownError):
            self._end(error)
        elif isinstance(error, psycopg2.Error) and means_lost(error, self._link.raw.closed):
            self.close()
            self._end(lost_error(error))
        else:
            self._end(refused(error))

    def _end(self, result: DBResult | OperationError) -> None:
        """Note that the statement is over, and tell whoever waits for it."""
        ended, self._ended = self._ended, None
        if self._state is _RUNNING:
            self._settle()
        elif self._state is State.CANCELLING:
            self._one_has_ended()
        if ended is not None:
            ended(result)

    def _settle(self) -> None:
        status = self._link.raw.get_transaction_status()
        self.in_transaction = status != TRANSACTION_STATUS_IDLE
        if status == TRANSACTION_STATUS_ACTIVE:
            self.close()  # a COPY, which nobody will end
            return
        self._state = _IDLE
        if self._waiting:
            self._tell_waiting(True)

    def _tell_waiting(self, usable: bool) -> None:
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(usable)

    # -- cancelling ------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Have the server end the statement that runs. ``when_idle`` tells when that is over."""
        self._ended = None
        if self.closed:  # while the rows are made of a result that has come
            return
        self._state = State.CANCELLING
        self._unended = 2  # the statement and the request
        self._limit = self._reactor.callLater(CANCEL_SECONDS, self.close)
        self._request = CancelRequest(self._reactor, self._link.raw)
        self._request.done.addCallback(self._requested)

    def _requested(self, taken: bool) -> None:
        if taken:
            self._one_has_ended()
        else:
            self.close()

    def _one_has_ended(self) -> None:
        self._unended -= 1
        if not self._unended:
            self._limit.cancel()
            self._settle()

    # -- what the link tells ---------------------------------------------------------------------------------

    def _link_closed(self) -> None:
        before, self._state = self._state, State.CLOSED
        self.closed, self.in_transaction = True, False
        if before is State.CANCELLING:
            if self._limit.active():
                self._limit.cancel()
            if self._request is not None:
                self._request.stop()
        self._tell_waiting(False)
        if before is _IDLE and self.on_lost is not None:
            self.on_lost()

    def _notified(self, notifies: list[Any]) -> None:
        for note in notifies:
            if self.on_notify is not None:
                self.on_notify(note.channel, note.payload, note.pid)
