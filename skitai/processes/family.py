"""What the system knows of parents and children: a process that ends with its parent, and one that adopts."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: Options of prctl(2).
_SET_PDEATHSIG, _GET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 2, 36


def end_with_parent(parent: int, number: signal.Signals) -> None:
    """Have the signal ``number`` sent to this process when its parent, whose id is ``parent``, has ended.

    Where the system has no such thing (it is Linux's), nothing happens. A change of the user undoes it.
    Raises ProcessLookupError if the parent is gone already.
    """
    _prctl(_SET_PDEATHSIG, ctypes.c_ulong(number))
    if os.getppid() != parent:
        raise ProcessLookupError(f"the parent {parent} is gone")


@contextmanager
def keeping_end_with_parent() -> Iterator[None]:
    """Let a change of the user within the block undo nothing of ``end_with_parent``."""
    number = ctypes.c_int(0)
    _prctl(_GET_PDEATHSIG, ctypes.byref(number))
    yield
    if number.value:
        _prctl(_SET_PDEATHSIG, ctypes.c_ulong(number.value))


def adopt_orphans() -> None:
    """Make this process the parent of all its descendants whose own parents end (Linux)."""
    _prctl(_SET_CHILD_SUBREAPER, ctypes.c_ulong(1))


def _prctl(option: int, value: Any) -> None:
    function = getattr(ctypes.CDLL(None), "prctl", None)
    if function is not None:
        function(option, value, 0, 0, 0)
