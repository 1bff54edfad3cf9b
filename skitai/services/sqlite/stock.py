"""The connections of one kind to one file: those that nobody uses wait here for the next user."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from skitai.services.sqlite.connection import Connection, Settings
from skitai.services.sqlite.errors import outcome_of

if TYPE_CHECKING:
    from skitai.services.sqlite.node import SQLiteNode
    from skitai.services.sqlite.task import Task

T = TypeVar("T")


class Stock:
    """Connections to the file of ``node``, as many as were used at the same time.

    All methods are called in threads, several at once: what they do with the list of idle ones is atomic.
    Only a clean connection may be taken back in the reactor thread.
    """

    def __init__(self, node: SQLiteNode, settings: Settings, *, writes: bool) -> None:
        self._node = node
        self._settings = settings
        self._writes = writes
        self._idle: list[Connection] = []

    def lend(self, task: Task, work: Callable[[Connection], T]) -> T | Any:
        """Return ``task.use(connection, work)``; failures to connect are returned in the same way.

        The connection is taken back, unless ``work`` returns it: then it is kept until ``take_back``.
        """
        try:
            connection = self._take()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is for who waits
            return outcome_of(error, self._node, may_write=self._writes)
        outcome: Any = None
        try:
            outcome = task.use(connection, work)
        finally:
            if outcome is not connection:
                self.take_back(connection)
        return outcome

    def take_back(self, connection: Connection) -> None:
        """Have a connection ready for its next user, or close it."""
        if connection.clean():
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close those that nobody uses."""
        while (connection := self._pop()) is not None:
            connection.close()

    def _take(self) -> Connection:
        while (connection := self._pop()) is not None:
            if connection.is_current:
                return connection
            connection.close()
        return Connection(self._node, self._settings, writes=self._writes)

    def _pop(self) -> Connection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None
