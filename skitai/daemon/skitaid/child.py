"""One process that skitaid keeps running: a server, or an agent."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from twisted.logger import Logger

from skitai.daemon.skitaid.rates import Rates
from skitai.daemon.supervisor.pauses import Pauses, in_words
from skitai.processes import BOARD_VARIABLE, Board
from skitai.processes.family import end_with_parent
from skitai.processes.orders import EXIT_RESTART, said_of
from skitai.processes.signals import handles

_log = Logger()

#: Seconds until a process that ended is started again, doubled with each further time.
_FIRST_SECONDS, _LONGEST_SECONDS = 5.0, 600.0
#: Seconds that a process must have run for its end not to count as one at its start.
_STARTED_SECONDS = 10.0
#: Seconds from the order to end at once until a process is killed.
_KILL_SECONDS = 10.0
#: How many places for workers the board of a server has.
_SLOTS = 256
#: How much of what a process has printed at its end is said in the log.
_SAID_BYTES, _SAID_LINES = 2048, 5


class Condition(StrEnum):
    """What becomes of a child."""

    RUNNING = "running"
    STOPPING = "stopping"
    #: It ended at its start, and is started again later.
    WAITING = "waiting"
    #: It has ended by itself, or was told to: it is started by an order only.
    DOWN = "down"


@attrs.frozen
class Program:
    """How a child is started: by ``command``, printing to the file ``output``, or to ours if that is None."""

    command: Sequence[str]
    output: Path | None


class Child:
    """The process ``name``. ``program()`` says how to start it, and is asked each time.

    Times are in seconds of a clock that is never set. All methods are called in the main thread.
    """

    def __init__(self, name: str, program: Callable[[], Program], *, has_workers: bool) -> None:
        self.name = name
        self.condition = Condition.DOWN
        self.restarts = 0
        self._program = program
        self._has_workers = has_workers
        self._process: subprocess.Popen[bytes] | None = None
        self._rates: Rates | None = None
        self._board: Board | None = None
        self._began = 0.0
        self._pauses = Pauses(random.random, _FIRST_SECONDS, _LONGEST_SECONDS, _STARTED_SECONDS)
        #: Whether it is started again when it has ended as it was told to.
        self._comes_again = False
        self._kill_at: float | None = None
        self._output: Path | None = None
        self._said_from = 0

    @property
    def pid(self) -> int | None:
        """The process id while there is a process."""
        return None if self._process is None else self._process.pid

    # -- start ---------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Start the process, unless there is one."""
        if self._process is not None:
            self._comes_again = self.condition is Condition.STOPPING
            return
        self._close_board()
        self._board = Board.create(_SLOTS) if self._has_workers else None
        self._rates = None if self._board is None else Rates(self._board)
        try:
            program = self._program()
            self._process = self._open(program)
        except OSError as error:
            _log.error("{name} cannot be started: {reason}", name=self.name, reason=str(error))
            self._wait(self._pauses.failed(now))
            return
        self._began, self._kill_at, self._comes_again = now, None, False
        self.condition = Condition.RUNNING
        _log.info("{name} is started (pid {pid})", name=self.name, pid=self._process.pid)

    def _open(self, program: Program) -> subprocess.Popen[bytes]:
        environ = dict(os.environ)
        descriptors = []
        if self._board is not None:
            environ[BOARD_VARIABLE] = self._board.as_variable()
            descriptors.append(self._board.descriptor)
        self._output = program.output
        output = None
        if program.output is not None:
            output = open(program.output, "ab")  # noqa: SIM115 - closed below
            self._said_from = output.tell()
        try:
            return subprocess.Popen(  # noqa: S603 - our own programs
                program.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environ,
                pass_fds=descriptors,
                process_group=0,  # a Ctrl-C is meant for skitaid, which ends its children
                preexec_fn=partial(_be_child, os.getpid()),
            )
        finally:
            if output is not None:
                output.close()

    # -- end -----------------------------------------------------------------------------------------------

    def stop(self, *, at_once: bool = False, now: float = 0.0) -> None:
        """Have the process end, in good order unless ``at_once``, and stay down."""
        self._comes_again = False
        if self._process is None:
            self.condition = Condition.DOWN
            return
        self._tell_to_end(signal.SIGQUIT if at_once else signal.SIGTERM)
        if at_once:
            self._kill_at = now + _KILL_SECONDS

    def restart(self, now: float) -> None:
        """Have the process serve what its files say now.

        A server does that while it serves; what does not know how is ended and started again.
        """
        if self._process is None or self.condition is Condition.STOPPING:
            self.start(now)
        elif self._has_workers and handles(self._process.pid, signal.SIGHUP):
            self._signal(signal.SIGHUP)
        else:
            self._tell_to_end(signal.SIGTERM)
            self._comes_again = True

    def reopen_logs(self) -> None:
        """Have the process open its logs anew, if it knows how to."""
        if self._process is not None and handles(self._process.pid, signal.SIGUSR1):
            self._signal(signal.SIGUSR1)

    def _tell_to_end(self, number: signal.Signals) -> None:
        self.condition = Condition.STOPPING
        self._signal(number)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def ended(self, status: int, now: float) -> None:
        """Take note that the process has ended with a wait status (``os.waitpid``)."""
        assert self._process is not None
        self._process.returncode = os.waitstatus_to_exitcode(status)  # it was not reaped by subprocess
        self._process = None
        said = said_of(status)
        if self.condition is Condition.STOPPING:
            _log.info("{name} has ended: {said}", name=self.name, said=said)
            self.condition = Condition.DOWN
            if self._comes_again:
                self.start(now)
        elif os.WIFEXITED(status) and os.WEXITSTATUS(status) in (0, EXIT_RESTART):
            _log.info("{name} has ended by itself: {said}", name=self.name, said=said)
            self.condition = Condition.DOWN
            if os.WEXITSTATUS(status) == EXIT_RESTART:
                self.restarts += 1
                self.start(now)
        else:
            self._failed(said, now)

    def _failed(self, said: str, now: float) -> None:
        last = "".join(f"\n{line}" for line in self._last_lines())
        _log.error("{name} has ended: {said}{last}", name=self.name, said=said, last=last)
        self._wait(self._pauses.ended(self._began, now))

    def _wait(self, seconds: float) -> None:
        self.condition = Condition.WAITING
        _log.info("{name} is started again {when}", name=self.name, when=in_words(seconds))

    def _last_lines(self) -> list[str]:
        """Return the last of what the process printed in its life."""
        if self._output is None:
            return []
        try:
            with open(self._output, "rb") as output:
                end = output.seek(0, os.SEEK_END)
                output.seek(max(self._said_from, end - _SAID_BYTES))
                text = output.read(_SAID_BYTES).decode("utf-8", "backslashreplace")
        except OSError:
            return []
        return text.rstrip().split("\n")[-_SAID_LINES:] if text.strip() else []

    # -- now and then --------------------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """Start what has waited, kill what does not end, and count requests."""
        if self.condition is Condition.WAITING and now >= self._pauses.until:
            self.restarts += 1
            self.start(now)
        if self._process is not None and self._kill_at is not None and now >= self._kill_at:
            self._signal(signal.SIGKILL)
        if self._rates is not None:
            self._rates.look(now)

    def changed(self, now: float) -> None:
        """Take note that the configuration has changed: what waits because it is wrong waits no more."""
        if self.condition is Condition.WAITING:
            self._pauses.reset()
            self.start(now)

    def figures(self, now: float) -> dict[str, Any]:
        """Return what ``skitaid status`` shows: seconds, bytes of memory, requests a second."""
        running = self._process is not None
        workers = self._rates.figures() if running and self._rates is not None else {}
        is_starting = self.condition is Condition.RUNNING and workers.get("workers") == 0
        return {
            "name": self.name,
            "state": "starting" if is_starting else str(self.condition),
            "pid": self.pid,
            "uptime": round(now - self._began, 1) if running else None,
            "restarts": self.restarts,
            **workers,
        }

    def close(self) -> None:
        """Let go of the board."""
        self._close_board()

    def _close_board(self) -> None:
        if self._board is not None:
            self._board.close()
        self._board = self._rates = None


def _be_child(skitaid: int) -> None:
    """Prepare a process that was forked for what it is to be: it ends when it is told to, and with skitaid.

    Whoever started skitaid may have it ignore signals by which it ends its children.
    """
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    end_with_parent(skitaid, signal.SIGTERM)
