"""Something to do with a connection in a thread, which can be stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred

from skitai.loop.native import Lock
from skitai.services.sqlite.errors import outcome_of

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from skitai.services.sqlite.connection import Connection

T = TypeVar("T")

#: An interrupt is lost if it comes between two statements, so it is repeated, after so many seconds.
_AGAIN = 0.05


class Task:
    """What one call does: it waits in the reactor, and uses a connection in a thread.

    ``clock`` is the reactor; ``stopped`` says whether the outcome is wanted no more. All methods but ``use``
    are called in the reactor thread.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self.stopped = False
        self._waits: Deferred[Any] | None = None
        self._connection: Connection | None = None
        #: Held to look who has the connection: an interrupt must not hit the next statement on it.
        self._lock = Lock()
        self._timer: IDelayedCall | None = None

    async def wait(self, deferred: Deferred[T]) -> T:
        """Wait for ``deferred``, which is cancelled when the task is stopped."""
        if self.stopped:
            deferred.cancel()
        self._waits = deferred
        try:
            return await deferred
        finally:
            self._waits = None

    def stop(self) -> None:
        """End it early, whatever it does."""
        self.stopped = True
        if self._waits is not None:
            self._waits.cancel()
        else:
            self._interrupt()

    def _interrupt(self) -> None:
        with self._lock:
            if self._connection is None:
                return
            self._connection.interrupt()
        self._timer = self._clock.callLater(_AGAIN, self._interrupt)

    def end(self) -> None:
        """Note that it is over."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def use(self, connection: Connection, work: Callable[[Connection], T]) -> T | Any:
        """Return ``work(connection)``, or else what ``outcome_of`` makes of its failure.

        Called in a thread that has ``connection`` to itself.
        """
        try:
            self._enter(connection)
            try:
                return work(connection)
            finally:
                self._leave()
        except Exception as error:  # noqa: BLE001 - parameters may have methods that raise anything
            connection.note(error)
            return outcome_of(error, connection.node, may_write=connection.may_write)

    def _enter(self, connection: Connection) -> None:
        with self._lock:
            if self.stopped:
                raise CancelledError
            connection.resume()
            self._connection = connection

    def _leave(self) -> None:
        with self._lock:
            self._connection = None
