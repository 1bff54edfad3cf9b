"""Keeps the delivery agent of a server running: started at once, again after its end, and ended with it."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic

from twisted.logger import Logger

from skitai.daemon.supervisor.pauses import Pauses, in_words
from skitai.formats import zone
from skitai.processes.orders import PARENT_VARIABLE, said_of
from skitai.processes.signals import handles
from skitai.processes.streams import flush_streams

_log = Logger()

#: Seconds until an agent that has ended is started again: none the first time, then these, doubled each time.
_FIRST_SECONDS, _LONGEST_SECONDS = 1.0, 300.0
#: Seconds that one must have run for its end not to count as one at its start.
_STARTED_SECONDS = 10.0
#: Seconds until an agent that was told to end is killed, which gives the mail in hand 12; and in a hurry.
_END_SECONDS, _HURRY_SECONDS = 15.0, 2.0
_STDIN = 0


class AgentKeeper:
    """Keeps one agent running. Times are in seconds of a clock that is never set.

    All methods are called in one thread, which does not end before the process does: agents end with it.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._command: tuple[str, ...] = ()
        self._pid = 0
        self._began = 0.0
        #: When it is killed, if it was told to end.
        self._kill_at: float | None = None
        self._pauses = Pauses(random.random, _FIRST_SECONDS, _LONGEST_SECONDS, _STARTED_SECONDS)
        self._is_ending = False

    @property
    def pid(self) -> int:
        """The process id of the agent; 0: there is none."""
        return self._pid

    def want(self, command: Sequence[str]) -> None:
        """Have an agent of that ``command``, in the place of the one that may be there; empty: have none."""
        self._command = tuple(command)
        self._pauses.reset()
        if self._pid:
            self._tell_to_end(_END_SECONDS)
        else:
            self.look()

    def look(self) -> None:
        """Take note of its end, and start it if it is time. Called about once a second."""
        now = self._clock()
        if self._pid:
            with suppress(ChildProcessError):
                pid, status = os.waitpid(self._pid, os.WNOHANG)
                if pid:
                    self.ended(pid, said_of(status))
                elif self._kill_at is not None and now >= self._kill_at:
                    self._signal(signal.SIGKILL)
                return
            self.ended(self._pid, "somebody else knows how")
        elif self._command and not self._is_ending and now >= self._pauses.until:
            self._start(now)

    def _start(self, now: float) -> None:
        flush_streams()
        environ = {**os.environ, PARENT_VARIABLE: str(os.getpid())}
        zone.restore(environ)
        silent = [(os.POSIX_SPAWN_OPEN, _STDIN, os.devnull, os.O_RDONLY, 0)]
        try:
            # In a group of its own: a Ctrl-C is meant for the server, which ends its agent.
            self._pid = os.posix_spawn(
                self._command[0], self._command, environ, file_actions=silent, setpgroup=0, setsigmask=()
            )
        except OSError as error:
            self._failed(f"cannot be started: {error.strerror}", now)
            return
        self._began, self._kill_at = now, None

    def ended(self, pid: int, said: str) -> None:
        """Take note that the process ``pid`` has ended, if it is the agent."""
        if not self._pid or pid != self._pid:
            return
        was_told, self._pid, self._kill_at = self._kill_at is not None, 0, None
        if was_told:
            self.look()
        elif not self._is_ending:
            self._failed(f"has ended: {said}", self._clock())

    def _failed(self, what: str, now: float) -> None:
        when = in_words(self._pauses.ended(self._began, now))
        _log.error("the delivery agent {what}; it is started again {when}", what=what, when=when)

    # -- signals and the end -------------------------------------------------------------------------------

    def reopen_log(self) -> None:
        """Have the agent open its log anew, if it has come so far that it knows how to."""
        if self._pid and handles(self._pid, signal.SIGUSR1):
            self._signal(signal.SIGUSR1)

    def end(self, *, at_once: bool = False) -> None:
        """Have the agent finish the mail in hand, and end; there is no other."""
        self._is_ending = True
        if self._pid:
            self._tell_to_end(_HURRY_SECONDS if at_once else _END_SECONDS)

    @property
    def is_over(self) -> bool:
        """Whether the agent has ended, after ``end``."""
        return self._is_ending and not self._pid

    def _tell_to_end(self, seconds: float) -> None:
        kill_at = self._clock() + seconds
        if self._kill_at is None:
            self._signal(signal.SIGTERM)
            self._kill_at = kill_at
        self._kill_at = min(self._kill_at, kill_at)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, number)
