"""A connection to PostgreSQL in the reactor: txpostgres' one, which stays registered.

The stock one leaves the reactor and enters it again for each statement, and hands results over in a later
turn. Both together cost more than the statement.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from socket import socket
from typing import Any

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from txpostgres import txpostgres

from skitai.services.postgresql.bytecount import ByteCount

#: A shorter statement is sent as a whole, because nothing else waits in the socket.
_SENT_AT_ONCE = 4096


#: What is called at the end of a statement: with psycopg2's cursor and what it has raised.
Done = Callable[[Any, Exception | None], object]


class TooManyBytesError(Exception):
    """A result has more bytes than the limit."""


class Link(txpostgres.Connection):  # type: ignore[misc]
    """A connection whose reader stays registered and which hands results over at once.

    It is txpostgres' one while it connects. Then ``execute`` stands for txpostgres' methods and cursors.
    ``on_closed`` is called once when the server has closed it or it fails, before the statement under way
    fails. ``on_notify`` gets the notifications. More than ``bytes_max`` bytes for one statement are not read.
    All of it is used in the reactor thread.
    """

    def __init__(
        self,
        reactor: Any,
        bytes_max: int,
        on_closed: Callable[[], None],
        on_notify: Callable[[list[Any]], None],
    ) -> None:
        super().__init__(reactor)
        self._bytes_max = bytes_max
        self._on_closed = on_closed
        self._on_notify = on_notify
        self._pollingD: Deferred[Any] | None = None  # while it connects
        #: The connection of psycopg2, once it is there.
        self.raw: Any = None
        self._descriptor = -1
        self._socket: socket | None = None
        self._running: Done | None = None
        self._cursor: Any = None
        self._count: ByteCount | None = None

    # -- connecting -----------------------------------------------------------------------------------------

    def continuePolling(self, swallowErrors: bool = False) -> None:  # noqa: ARG002, N803 - txpostgres'
        """Take a step of connecting. After each the socket may be another one."""
        waiting = self._pollingD
        assert waiting is not None
        self._leave_reactor()
        try:
            state = self._connection.poll()
        except psycopg2.Error:
            self._pollingD = None
            waiting.errback(Failure())  # type: ignore[no-untyped-call]
            return
        self._descriptor = self._connection.fileno()
        if state == POLL_OK:
            # libpq closes its descriptor as soon as it finds the connection lost, and the reactor would still
            # know the number. So it knows another one.
            self._socket = socket(fileno=os.dup(self._descriptor))
            self._descriptor = self._socket.fileno()
            self.raw = self._connection
            self._pollingD = None
            waiting.callback(self)  # which has it read from now on
        elif state == POLL_READ:
            self.reactor.addReader(self)
        else:
            self.reactor.addWriter(self)

    # -- statements -----------------------------------------------------------------------------------------

    def execute(self, sql: str | bytes, params: Any, done: Done) -> None:
        """Send a statement; call ``done(cursor, error)``, with a cursor of psycopg2, when it is over.

        ``error`` is what psycopg2 has raised, None if the cursor has the result. Raises what psycopg2 raises
        where nothing was sent. No other statement may be under way.
        """
        cursor = self._connection.cursor()
        cursor.execute(sql, params)
        self._running, self._count = done, None
        self._cursor = cursor  # psycopg2 does not keep it
        if len(cursor.query) >= _SENT_AT_ONCE:
            self._advance()

    def _advance(self) -> None:
        failed = None
        try:
            state = self._connection.poll()
        except psycopg2.Error as error:
            failed = error
        # Behind the handler: what is raised within it has the driver's exception as its context.
        if failed is not None:
            if self._connection.closed or self._running is None:
                self._close()
            self._finish(failed)
            return
        if state == POLL_OK:
            if self._count is not None:
                self._check_size()  # one long value may have come as a whole
            self._finish(None)
        elif state == POLL_WRITE:
            self.reactor.addWriter(self)
        if self._connection.notifies:
            self._notify()

    def _finish(self, error: Exception | None) -> None:
        done, cursor = self._running, self._cursor
        self._running = self._cursor = None
        if done is not None:
            done(cursor, error)

    def _notify(self) -> None:
        notifies = self._connection.notifies[:]
        del self._connection.notifies[:]
        self._on_notify(notifies)

    def _check_size(self) -> None:
        """Close the connection if a result has become too large."""
        if self._socket is None:
            return
        if self._count is None:
            self._count = ByteCount()
        if self._count.of(self._socket) > self._bytes_max:
            self.close_with(TooManyBytesError())

    # -- the reactor's side ---------------------------------------------------------------------------------

    def fileno(self) -> int:
        """Return the descriptor under which the reactor knows it."""
        return self._descriptor

    def doRead(self) -> None:
        """Read what has come."""
        if self._pollingD is not None:
            self.continuePolling()
            return
        running = self._running
        self._advance()
        if running is not None and running is self._running:  # there is more to come
            self._check_size()

    def doWrite(self) -> None:
        """Write what is left of a long statement."""
        if self._pollingD is not None:
            self.continuePolling()
            return
        self.reactor.removeWriter(self)
        self._advance()

    def connectionLost(self, reason: Failure) -> None:
        """Note that the reactor has found the socket closed."""
        if self._pollingD is not None:
            self.continuePolling()
        elif not self._connection.closed:
            self._advance()  # libpq has the server's last words
            if not self._connection.closed:
                self.close_with(psycopg2.OperationalError(reason.getErrorMessage()))

    def _leave_reactor(self) -> None:
        self.reactor.removeReader(self)
        self.reactor.removeWriter(self)
        self._descriptor = -1

    # -- the end --------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connection; what is under way fails."""
        self.close_with(psycopg2.InterfaceError("the connection was closed"))

    def close_with(self, error: Exception) -> None:
        """Close the connection; what is under way fails with ``error``."""
        if self._connection is None:
            return
        self._close()
        connecting, self._pollingD = self._pollingD, None
        if connecting is not None:
            connecting.errback(error)
        self._finish(error)

    def _close(self) -> None:
        self._leave_reactor()
        on_closed, self._on_closed = self._on_closed, _nothing
        self._connection.close()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        on_closed()


def _nothing() -> None:
    pass
