"""The terminal that a process was started in: SIGHUP may mean that it is gone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


class Terminal:
    """What SIGHUP means to this process: ``begin()`` anew, or ``end()`` with the terminal.

    Made in the main thread, before the signal is handled.
    """

    def __init__(self, begin: Callable[[], object], end: Callable[[], object]) -> None:
        self._begin = begin
        self._end = end
        self._was_there = _has_terminal()
        #: Whether the user wants the process to outlive the terminal, as nohup(1) says it.
        self.is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

    def hung_up(self) -> None:
        """Do what the signal that has come means."""
        if not self._is_lost():
            self._begin()
        elif not self.is_ignored:
            self._end()

    def _is_lost(self) -> bool:
        """Whether the terminal was closed; then the next time is about something else."""
        is_lost = self._was_there and not _has_terminal()
        self._was_there = self._was_there and not is_lost
        return is_lost
