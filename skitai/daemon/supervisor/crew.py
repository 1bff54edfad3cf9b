"""The workers as processes: their lines to the supervisor, their signals, and where they hang."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import attrs
from twisted.logger import Logger

from skitai.daemon.supervisor.roster import Worker
from skitai.processes import Board, State
from skitai.processes.link import Link, LinkClosedError
from skitai.processes.orders import FORK, STACKS_SIGNAL, said_of

_log = Logger()

#: What a pipe for stacks may hold: those of hundreds of threads.
_PIPE_BYTES = 1 << 20

#: Takes a worker and what it said.
Listener = Callable[[Worker, dict[str, Any]], None]


class Poll(Protocol):
    """Calls functions when descriptors can be read."""

    def watch(self, source: Any, call: Callable[[], object]) -> None:
        """Call ``call`` whenever ``source`` can be read."""

    def unwatch(self, source: Any) -> None:
        """Undo ``watch``; the second time, do nothing."""


@attrs.define
class _Lines:
    """What the supervisor holds of a worker: its line, and the end of the pipe that stacks come out of."""

    link: Link
    stacks: int


class Crew:
    """Forks workers, and speaks with them. ``listen(worker, message)`` is called with what they say."""

    def __init__(self, board: Board, poll: Poll, listen: Listener) -> None:
        self._board = board
        self._poll = poll
        self._listen = listen
        self._lines: dict[Worker, _Lines] = {}

    def fork(self, worker: Worker, nursery: Link) -> None:
        """Have the ``nursery`` fork ``worker``. Raises LinkClosedError if it is gone."""
        slot = self._board[worker.slot]
        slot.clear()
        slot.state, slot.generation = State.STARTING, worker.generation
        ours, theirs = Link.pair()
        ours.set_blocking(False)
        stacks, write_end = os.pipe()
        with suppress(OSError):  # an ordinary user may have used up what is left for large pipes
            fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        for end in (stacks, write_end):
            os.set_blocking(end, False)
        self._lines[worker] = _Lines(ours, stacks)
        self._poll.watch(ours, lambda: self._hear(worker, ours))
        try:
            nursery.send({"kind": FORK, "slot": worker.slot}, [theirs.fileno(), write_end])
        finally:
            theirs.close()
            os.close(write_end)

    def _hear(self, worker: Worker, link: Link) -> None:
        try:
            message, _ = link.receive()
        except BlockingIOError:
            return
        except LinkClosedError:  # its end will be told by its parent
            self._poll.unwatch(link)
            return
        self._listen(worker, message)

    def send(self, worker: Worker, message: dict[str, Any]) -> None:
        """Say ``message`` to ``worker``, if it hears."""
        lines = self._lines.get(worker)
        if lines is not None:
            with suppress(LinkClosedError, BlockingIOError):
                lines.link.send(message)

    def forked(self, worker: Worker, pid: int) -> None:
        """Take note of the id of the process of ``worker``."""
        worker.pid = pid
        if not worker.stays:
            self.signal(worker, signal.SIGTERM)  # it was asked to end before

    def release(self, worker: Worker) -> Link:
        """Forget a worker that goes on; return the line to it."""
        lines = self._lines.pop(worker)
        self._poll.unwatch(lines.link)
        os.close(lines.stacks)
        return lines.link

    def gone(self, worker: Worker) -> None:
        """Forget a worker that has ended."""
        self._board.retire(self._board[worker.slot])
        lines = self._lines.pop(worker, None)
        if lines is not None:
            self._poll.unwatch(lines.link)
            lines.link.close()
            os.close(lines.stacks)

    def signal(self, worker: Worker, number: int) -> None:
        """Send a signal to ``worker``, if it is there."""
        if worker.pid:
            with suppress(ProcessLookupError):
                os.kill(worker.pid, number)

    def kill(self, worker: Worker) -> None:
        """End ``worker``; before that, log the stacks that it was asked for."""
        if worker.is_asked:
            self._log_stacks(worker)
        self.signal(worker, signal.SIGKILL)

    def ask_for_stacks(self, worker: Worker) -> None:
        """Have ``worker`` write down where its threads and greenlets are."""
        self.signal(worker, STACKS_SIGNAL)

    def _log_stacks(self, worker: Worker) -> None:
        lines = self._lines.get(worker)
        text = b""
        if lines is not None:
            with suppress(BlockingIOError):
                while data := os.read(lines.stacks, 1 << 16):
                    text += data
        if text:
            said = f"its threads were here:\n{text.decode(errors='replace').rstrip()}"
        else:
            said = "it cannot say where it is: it is stopped, or waits for the system"
        _log.error(
            "worker {slot} (pid {pid}) gave no sign of life for {seconds:g} s; {said}",
            slot=worker.slot,
            pid=worker.pid,
            seconds=worker.limits.worker_timeout,
            said=said,
        )


def reason_of(status: int | None, reason: str | None) -> str:
    """Return how a worker ended: by its wait status, or because it could not be forked."""
    return reason or ("lost" if status is None else said_of(status))
