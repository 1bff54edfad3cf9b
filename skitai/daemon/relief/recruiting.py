"""Starts what is to stand in for this process, and so finds out whether it can be loaded."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

from skitai.daemon.relief.standin import StandIn
from skitai.daemon.supervisor.crew import Crew, Poll, reason_of
from skitai.daemon.supervisor.nurseries import Nursery, give_sockets, start_nursery
from skitai.daemon.supervisor.roster import Limits, Worker
from skitai.daemon.supervisor.sockets import Sockets
from skitai.net.sockets import Opened
from skitai.processes import Board
from skitai.processes.link import LinkClosedError
from skitai.processes.orders import BROKEN, FORKED, GONE, HELLO, LOADED, READY, SERVE, said_of


class Recruiting:
    """One attempt.

    ``present`` are duplicates of the sockets that this process serves, ``inherited`` the descriptors of those
    that systemd passed. In the end, ``found(stand_in, sockets)`` is called, when it serves ``sockets``
    already, or ``refused(reason)``. All methods are called in the thread of ``poll``.
    """

    def __init__(
        self,
        poll: Poll,
        inherited: Sequence[int],
        present: Sequence[Opened],
        found: Callable[[StandIn, Sequence[Opened]], object],
        refused: Callable[[str], object],
    ) -> None:
        self._poll = poll
        self._present = present
        self._sockets = Sockets(inherited, present)
        self._found = found
        self._refused = refused
        self._board = Board.create(1)
        self._crew = Crew(self._board, poll, self._listen)
        self._worker = Worker(0, 1, monotonic(), Limits(1))
        self._nursery: Nursery | None = None

    def start(self, command: Sequence[str], folder: str) -> None:
        """Begin: start ``command`` as a nursery in ``folder``, whose name is looked up anew."""
        here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            nursery = self._nursery = start_nursery(1, command, folder)
        except OSError as error:
            self._refuse(f"cannot start {command[0]}: {error.strerror}")
            return
        finally:
            os.fchdir(here)  # that of what still serves
            os.close(here)
        self._poll.watch(nursery.link, lambda: self._hear(nursery))

    def _hear(self, nursery: Nursery) -> None:
        try:
            message, _ = nursery.link.receive()
        except BlockingIOError:
            return
        except LinkClosedError:
            _, status = os.waitpid(nursery.pid, 0)
            self._forget(nursery)
            self._refuse(f"its process ended while it was loaded: {said_of(status)}")
            return
        kind = message["kind"]
        if kind == HELLO:
            give_sockets(nursery, message, self._sockets, self._board)
        elif kind == LOADED:
            with suppress(LinkClosedError, BlockingIOError):  # it has ended, which is heard next
                self._crew.fork(self._worker, nursery.link)
        elif kind == FORKED:
            self._crew.forked(self._worker, message["pid"])
        elif kind == GONE:
            self._refuse(f"its worker ended at its start: {reason_of(message['status'], message['reason'])}")
        elif kind == BROKEN:
            self._refuse(message["reason"])

    def _listen(self, worker: Worker, message: dict[str, Any]) -> None:
        nursery = self._nursery
        if message["kind"] != READY or nursery is None:
            return
        if message["failed"]:
            self._refuse("\n".join(message["failed"]))
            return
        self._crew.send(worker, {"kind": SERVE})
        self._poll.unwatch(nursery.link)
        self._nursery = None
        self._sockets.keep(nursery.sockets)
        self._found(StandIn(nursery.pid, nursery.link, self._crew.release(worker)), nursery.sockets)

    def _refuse(self, reason: str) -> None:
        self.end()
        self._refused(reason)

    def end(self) -> None:
        """Let go of what was started: it is not wanted any more."""
        nursery = self._nursery
        if nursery is not None:
            with suppress(ProcessLookupError):
                os.kill(nursery.pid, signal.SIGKILL)
            os.waitpid(nursery.pid, 0)
            self._forget(nursery)
        self._crew.gone(self._worker)
        self._sockets.keep(self._present)
        for opened in self._present:  # not more than that: the files of Unix sockets are still used
            opened.socket.close()
        self._board.close()

    def _forget(self, nursery: Nursery) -> None:
        self._nursery = None
        self._poll.unwatch(nursery.link)
        nursery.link.close()
