"""Signals as something to wait for, in a process without a reactor."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress

#: The signals of a terminal's keys. A shell that has no job control has its background jobs ignore them.
_OF_KEYS = (signal.SIGINT, signal.SIGQUIT)


def ignored_from_start() -> set[signal.Signals]:
    """Return which signals of a terminal's keys are not meant for this process.

    Whoever started it has it ignore them, as POSIX has a shell do for ``command &`` (2.11), so it has no
    handlers for them, either. To be called before it sets any.
    """
    return {number for number in _OF_KEYS if signal.getsignal(number) is signal.SIG_IGN}


class Signals:
    """The signals ``numbers``, each of which makes the descriptor readable and waits until it is taken."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._told, self._tell = os.pipe()
        os.set_blocking(self._told, False)
        os.set_blocking(self._tell, False)
        signal.set_wakeup_fd(self._tell, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, _take)

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._told

    def taken(self) -> Iterator[int]:
        """Yield the signals that have come, in their order."""
        with suppress(BlockingIOError):
            yield from os.read(self._told, 4096)

    def close(self) -> None:
        """Let go of the descriptors; somebody else is told of signals now."""
        os.close(self._told)
        os.close(self._tell)


def _take(_number: int, _frame: object) -> None:
    """Do nothing: the number was written to the pipe."""


def handles(pid: int, number: signal.Signals) -> bool:
    """Return whether a process has a handler for a signal; False where the system does not tell (proc(5))."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            caught = next(line.split()[1] for line in status if line.startswith("SigCgt:"))
    except (OSError, StopIteration):
        return False
    return bool(int(caught, 16) >> (number - 1) & 1)
