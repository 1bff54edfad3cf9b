"""What the system knows of parents and children: a process that ends with its parent, and one that adopts."""

from __future__ import annotations

import ctypes
import os
import signal

#: Options of prctl(2).
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36


def end_with_parent(parent: int, number: signal.Signals) -> None:
    """Have the signal ``number`` sent to this process when its parent, whose id is ``parent``, has ended.

    Where the system has no such thing (it is Linux's), nothing happens. A change of the user undoes it.
    Raises ProcessLookupError if the parent is gone already.
    """
    _prctl(_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        raise ProcessLookupError(f"the parent {parent} is gone")


def adopt_orphans() -> None:
    """Make this process the parent of all its descendants whose own parents end (Linux)."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    function = getattr(ctypes.CDLL(None), "prctl", None)
    if function is not None:
        function(option, ctypes.c_ulong(value), 0, 0, 0)
