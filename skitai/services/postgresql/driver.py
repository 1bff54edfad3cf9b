"""One connection to PostgreSQL, over txpostgres."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import psycopg2
from psycopg2 import extensions
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from txpostgres import txpostgres

from skitai.errors import CODE_CLOSED, OperationError, UnsentError
from skitai.loop import native
from skitai.services.db.query import Query
from skitai.services.db.result import DBResult
from skitai.services.db.rows import rows_of
from skitai.services.postgresql.limits import Limits


class Wire(txpostgres.Connection):  # type: ignore[misc]
    """The connection of txpostgres: it stays registered as a reader, and its owner polls it."""

    def __init__(self, reactor: Any, progress: Callable[[], None]) -> None:
        super().__init__(reactor)
        self._progress = progress

    def doRead(self) -> None:
        """Go on: something has come."""
        if self._pollingD:
            super().doRead()
        else:
            self._progress()

    def doWrite(self) -> None:
        """Go on: something can be sent."""
        if self._pollingD:
            super().doWrite()
        else:
            self.reactor.removeWriter(self)
            self._progress()

    def connectionLost(self, reason: Any) -> None:
        """Go on: psycopg2 says what is wrong."""
        if self._pollingD:
            super().connectionLost(reason)
        else:
            self._progress()


class Connection:
    """A connection that runs one statement at a time. All of it is called in the reactor thread."""

    def __init__(self, reactor: Any, limits: Limits) -> None:
        self._reactor = reactor
        self._limits = limits
        self._wire = Wire(reactor, self._progress)
        self._running: tuple[Deferred[DBResult], Any] | None = None
        self._until_idle: list[Deferred[bool]] = []
        self.on_lost: Callable[[], None] | None = None
        self.on_notify: Callable[[str, str, int], None] | None = None
        self.closed = False

    @classmethod
    def connect(cls, reactor: Any, parameters: Mapping[str, str], limits: Limits) -> Deferred[Connection]:
        """Fire with a connection, or fail with UnsentError. Cancelling closes the socket."""
        self = cls(reactor, limits)

        def cancel(deferred: Deferred[Connection]) -> None:
            deferred.errback(CancelledError())
            self.close()

        connected: Deferred[Connection] = Deferred(cancel)

        def failed(failure: Any) -> None:
            self.closed = True
            if not connected.called:
                connected.errback(UnsentError(str(failure.value).strip()))

        def succeeded(_: Any) -> None:
            if not connected.called:
                connected.callback(self)

        self._wire.connect(**parameters).addCallbacks(succeeded, failed)
        return connected

    @property
    def busy(self) -> bool:
        """Whether a statement runs."""
        return self._running is not None

    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        status: int = self._wire.pollable().info.transaction_status
        idle: int = extensions.TRANSACTION_STATUS_IDLE
        return status != idle

    def run(self, query: Query) -> Deferred[DBResult]:
        """Execute a statement; see ``IEngine.run``."""
        cursor = self._wire.pollable().cursor()
        try:
            if query.rows is None:
                cursor.execute(query.sql, query.params)
            else:
                cursor.execute(b";".join(cursor.mogrify(query.sql, row) for row in query.rows))
        except Exception as error:  # noqa: BLE001 - of the driver, or of a value's own adaptation
            if self._wire.pollable().closed:
                self.close()
                return fail(OperationError(str(error).strip(), code=CODE_CLOSED))
            return succeed(_refused(error))
        done: Deferred[DBResult] = Deferred(self._cancel)
        self._running = (done, cursor)
        self._progress()
        return done

    def _progress(self) -> None:
        connection = self._wire.pollable()
        if connection is None or connection.closed:
            self._lose(OperationError("the connection is closed", code=CODE_CLOSED))
            return
        try:
            state = connection.poll()
        except psycopg2.Error as error:
            if connection.closed or error.pgcode is None or error.pgcode.startswith("57P0"):
                message = str(error).strip() or "the connection was lost"
                self._lose(OperationError(message, code=CODE_CLOSED))
            else:
                self._finish(_refused(error))
            return
        if state == extensions.POLL_WRITE:
            self._reactor.addWriter(self._wire)
        elif state == extensions.POLL_OK and self._running is not None:
            self._finish(_result(self._running[1]))
        while connection.notifies:
            note = connection.notifies.pop(0)
            if self.on_notify is not None:
                self.on_notify(note.channel, note.payload, note.pid)

    def _finish(self, outcome: DBResult | OperationError) -> None:
        running, self._running = self._running, None
        waiting, self._until_idle = self._until_idle, []
        if running is not None and not running[0].called:
            if isinstance(outcome, DBResult):
                running[0].callback(outcome)
            else:
                running[0].errback(outcome)
        for deferred in waiting:
            deferred.callback(not self.closed)

    def _lose(self, error: OperationError) -> None:
        idle = not self.busy
        self._close(error)
        if idle and self.on_lost is not None:
            self.on_lost()

    def _cancel(self, done: Deferred[DBResult]) -> None:
        done.errback(CancelledError())
        connection = self._wire.pollable()

        def cancel() -> None:
            with suppress(psycopg2.Error):
                connection.cancel()

        native.start_thread(cancel, "skitai-cancel")

    def when_idle(self) -> Deferred[bool]:
        """Fire when nothing runs: whether the connection can be used again."""
        if not self.busy:
            return succeed(not self.closed)
        deferred: Deferred[bool] = Deferred()
        self._until_idle.append(deferred)
        return deferred

    def close(self) -> None:
        """Close the connection; a statement that runs fails."""
        self._close(OperationError("the connection was closed", code=CODE_CLOSED))

    def _close(self, error: OperationError) -> None:
        if not self.closed:
            self.closed = True
            self._wire.close()
            self._finish(error)


def _refused(error: Exception) -> DBResult:
    return DBResult.of_statement_error(copy.copy(error).with_traceback(None), str(error).strip())


def _result(cursor: Any) -> DBResult:
    if cursor.description is None:
        return DBResult(rowcount=cursor.rowcount)
    names = [column[0] for column in cursor.description]
    rows = rows_of(names, cursor.fetchall())
    return DBResult(rows, description=cursor.description, rowcount=cursor.rowcount)
