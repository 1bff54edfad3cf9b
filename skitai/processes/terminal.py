"""The terminal that a process was started in: SIGHUP may mean that it is gone."""

from __future__ import annotations

import os
import signal


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


class Terminal:
    """What SIGHUP means to this process. Made in the main thread, before the signal is handled."""

    def __init__(self) -> None:
        self._was_there = _has_terminal()
        #: Whether the user wants the process to outlive the terminal, as nohup(1) says it.
        self.is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

    def is_lost(self) -> bool:
        """Whether the terminal was closed; then the next time is about something else."""
        is_lost = self._was_there and not _has_terminal()
        self._was_there = self._was_there and not is_lost
        return is_lost
