"""The process that forks the one that serves, again and again."""

from __future__ import annotations

import os
import signal
import termios
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, NoReturn

import attrs

from skitai.loop import native
from skitai.processes.family import end_with_parent
from skitai.processes.orders import BLOCKED, EXIT_ANEW, EXIT_RESTART
from skitai.processes.signals import ignored_from_start
from skitai.processes.streams import flush_streams

#: The most that a child says of its end, in bytes.
_WORDS_MAX = 4000
#: Signals after which no other child is to come.
_ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGQUIT}


@attrs.frozen
class Forked:
    """What a child knows: the descriptor to say why it ends, and why and when its predecessor did.

    ``why`` is empty, and ``since`` the present, for the first one.
    """

    tell: int
    why: str
    since: float


def fork_children(anew: Callable[[], NoReturn]) -> Forked:
    """Fork a child and another one whenever it asks for that; return in each child, and never in the parent.

    ``anew()`` begins the parent anew. Signals that this process gets are passed on; it ends as the last child
    does. Called in the main thread, when nothing runs. In the child, the signals ``BLOCKED`` are blocked.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {*BLOCKED, signal.SIGCHLD})
    terminal = _terminal()
    parent = _Parent()
    why, since = "", monotonic()
    while True:
        told, tell = os.pipe()
        flush_streams()
        mother = os.getpid()
        pid = native.fork()
        if pid == 0:
            os.close(told)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            with suppress(ProcessLookupError):
                end_with_parent(mother, signal.SIGTERM)
                return Forked(tell, why, since)
            os._exit(0)
        os.close(tell)
        status = parent.wait_for(pid)
        since = monotonic()
        os.set_blocking(told, False)
        with suppress(BlockingIOError):  # the child's children may have it still
            why = os.read(told, _WORDS_MAX).decode(errors="replace")
        os.close(told)
        _restore(terminal)
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        if code not in (EXIT_RESTART, EXIT_ANEW) or parent.is_to_end:
            _end_like(status, parent.is_to_end)
        if code == EXIT_ANEW:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})  # who comes may not reload any more
            anew()


class _Parent:
    """Waits for children, and for signals, which it passes on."""

    def __init__(self) -> None:
        #: The signal after which no other child is to come.
        self.is_to_end: int | None = None
        self._passed_on = set(BLOCKED) - ignored_from_start()

    def wait_for(self, pid: int) -> int:
        """Return the wait status of the child ``pid`` when it has ended; reap all others that end."""
        while True:
            info = signal.sigwaitinfo({*self._passed_on, signal.SIGCHLD})
            if info.si_signo == signal.SIGCHLD:
                status = _reap(pid)
                if status is not None:
                    self._drain()
                    return status
            else:
                self._take(info, pid)

    def _take(self, info: Any, pid: int | None) -> None:
        if info.si_signo in _ENDING:
            self.is_to_end = info.si_signo
        # What the system sends for a terminal (Ctrl-C) has reached the child, too.
        if pid is not None and info.si_pid:
            with suppress(ProcessLookupError):
                os.kill(pid, info.si_signo)

    def _drain(self) -> None:
        while (info := signal.sigtimedwait(self._passed_on, 0)) is not None:
            self._take(info, None)


def _reap(pid: int) -> int | None:
    """Reap all children that have ended; return the status of ``pid``, None if it goes on."""
    found = None
    with suppress(ChildProcessError):
        while (ended := native.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == pid:
                found = ended[1]
    return found


def _end_like(status: int, number: int | None) -> NoReturn:
    """End as a child with the wait ``status`` did; one that asked for another, by a signal."""
    flush_streams()
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
    elif number is None or os.WEXITSTATUS(status) not in (0, EXIT_RESTART, EXIT_ANEW):
        os._exit(os.WEXITSTATUS(status))
    with suppress(OSError):  # SIGKILL has no other effect
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)
    os.kill(os.getpid(), number)
    os._exit(128 + number)


def _terminal() -> list[Any] | None:
    with suppress(termios.error, OSError):
        return termios.tcgetattr(0)
    return None


def _restore(terminal: list[Any] | None) -> None:
    """Undo what a child that ended at a prompt, in a debugger, has left of the terminal."""
    if terminal is not None:
        with suppress(termios.error, OSError):
            termios.tcsetattr(0, termios.TCSADRAIN, terminal)
