"""Asking the server to end a statement, without blocking: PQcancelStart of libpq 17 ("Canceling Queries").

psycopg2's own ``cancel()`` waits for the server and keeps Python's lock meanwhile, so a thread is no help: if
the server stands still, so does the process.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from psycopg2 import _psycopg
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadWriteDescriptor
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.python.failure import Failure

#: What PQcancelPoll returns (PostgresPollingStatusType).
_FAILED, _READING, _WRITING, _OK = range(4)


def _libpq() -> Any:
    """Return the functions of the libpq that psycopg2 uses, None if it is older than 17."""
    library = ctypes.CDLL(_psycopg.__file__)
    types = {
        "PQcancelCreate": ctypes.c_void_p,
        "PQcancelStart": ctypes.c_int,
        "PQcancelPoll": ctypes.c_int,
        "PQcancelSocket": ctypes.c_int,
        "PQcancelFinish": None,
    }
    try:
        for name, returned in types.items():
            function = getattr(library, name)
            function.argtypes, function.restype = [ctypes.c_void_p], returned
    except AttributeError:
        return None
    return library


_pq = _libpq()


@implementer(IReadWriteDescriptor)
class CancelRequest:
    """Asks the server to end the statement of a connection of psycopg2. Used in the reactor thread.

    ``done`` fires with whether the server has taken the request; then its signal is on the way, and cannot
    reach a later statement.
    """

    def __init__(self, reactor: Any, connection: Any) -> None:
        self.done: Deferred[bool] = Deferred()
        self._reactor = reactor
        self._descriptor = -1
        self._request = _pq.PQcancelCreate(connection.pgconn_ptr) if _pq is not None else None
        if self._request is None or not _pq.PQcancelStart(self._request):
            self._end(False)
        else:
            self._watch(_WRITING)

    def stop(self) -> None:
        """Give up, and close the socket."""
        if self._request is not None or not self.done.called:
            self._end(False)

    def _step(self) -> None:
        self._unwatch()
        state = _pq.PQcancelPoll(self._request)
        if state in (_READING, _WRITING):
            self._watch(state)
        else:
            self._end(state == _OK)

    def _watch(self, state: int) -> None:
        """Wait until the socket, which may be another one after each step, is ready."""
        self._descriptor = _pq.PQcancelSocket(self._request)
        if state == _READING:
            self._reactor.addReader(self)
        else:
            self._reactor.addWriter(self)

    def _unwatch(self) -> None:
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self._descriptor = -1

    def _end(self, taken: bool) -> None:
        self._unwatch()
        request, self._request = self._request, None
        if request is not None:
            _pq.PQcancelFinish(request)
        if not self.done.called:
            self.done.callback(taken)

    # -- for the reactor ------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self._descriptor

    def logPrefix(self) -> str:
        """Return how Twisted's log names it."""
        return "cancel"

    def doRead(self) -> None:
        """Go on."""
        self._step()

    def doWrite(self) -> None:
        """Go on."""
        self._step()

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002 - libpq knows it, too
        """Go on, so that libpq sees what has happened."""
        if self._request is not None:
            self._step()
