"""The process that serves while another one begins anew."""

from __future__ import annotations

import os
import select
from collections.abc import MutableMapping
from contextlib import suppress
from time import monotonic
from typing import Self

from skitai.daemon.supervisor.crew import Poll
from skitai.processes.link import Link, LinkClosedError
from skitai.processes.orders import GONE, LEAVE

#: The variable that tells of it: the lines to the nursery and the worker, and the nursery's process id.
_VARIABLE = "SKITAI_STAND_IN"


class StandIn:
    """A nursery, the child ``pid``, with one worker; ``nursery`` and ``worker`` are the lines to both."""

    def __init__(self, pid: int, nursery: Link, worker: Link) -> None:
        self._pid = pid
        self._nursery = nursery
        self._worker: Link | None = worker
        self._is_gone = False

    @property
    def serves(self) -> bool:
        """Whether it was not told to end."""
        return self._worker is not None

    @classmethod
    def of(cls, environ: MutableMapping[str, str]) -> Self | None:
        """Return the stand-in that ``environ`` tells of, and remove that: children have none."""
        words = environ.pop(_VARIABLE, "").split()
        if not words:
            return None
        pid, *lines = map(int, words)
        for line in lines:
            os.set_inheritable(line, False)
        return cls(pid, *map(Link.at, lines))

    def pass_on(self, environ: MutableMapping[str, str]) -> None:
        """Tell of it in ``environ``, for a program that this process is about to become."""
        assert self._worker is not None
        lines = self._nursery.fileno(), self._worker.fileno()
        for line in lines:
            os.set_inheritable(line, True)
        environ[_VARIABLE] = f"{self._pid} {lines[0]} {lines[1]}"

    def dismiss(self, poll: Poll) -> bool:
        """Let it end in good order. Return whether one of its apps has asked the server to end."""
        if self._worker is None:
            return False
        asks = self._asks_to_leave()
        self._let_go()
        self._nursery.set_blocking(False)
        poll.watch(self._nursery, lambda: self._hear(poll))
        return asks

    def _asks_to_leave(self) -> bool:
        assert self._worker is not None
        self._worker.set_blocking(False)
        with suppress(LinkClosedError, BlockingIOError):
            while True:
                message, _ = self._worker.receive()
                if message["kind"] == LEAVE and not message["restart"]:
                    return True
        return False

    def _let_go(self) -> None:
        """End the worker in good order: it does so when it is alone."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _hear(self, poll: Poll) -> None:
        try:
            if self._nursery.receive()[0]["kind"] != GONE:
                return
        except BlockingIOError:
            return
        except LinkClosedError:
            pass
        poll.unwatch(self._nursery)
        self._reap()

    def _reap(self) -> None:
        self._is_gone = True
        self._nursery.close()  # nurseries end then
        with suppress(ChildProcessError):  # a supervisor reaps whatever ends
            os.waitpid(self._pid, 0)

    def end(self, seconds: float) -> None:
        """Wait until it has ended in good order; after so many ``seconds`` it ends at once."""
        self._let_go()
        if self._is_gone:
            return
        until = monotonic() + seconds
        self._nursery.set_blocking(False)
        with suppress(LinkClosedError, BlockingIOError):
            while select.select([self._nursery], [], [], max(until - monotonic(), 0))[0]:
                if self._nursery.receive()[0]["kind"] == GONE:
                    break
        self._reap()
