"""Ends the wait of the reactor's thread for a lock that nobody can release.

Greenlets share a thread. If one holds a lock while it waits for ``was``, and another one waits for that lock,
the thread waits for itself. No other code of the server can help, so an error is raised where it waits.
"""

from __future__ import annotations

from functools import partial
from types import FrameType
from typing import Any

from skitai.errors import DeadlockError
from skitai.loop.greenlets import waiting_frames
from skitai.worker.watch.interrupts import Interrupter
from skitai.worker.watch.locks import awaited_lock, holds
from skitai.worker.watch.stacks import Frames, is_of_skitai, native_threads, outwards, stack_of

#: Seconds that the reactor is held before anybody thinks of a lock, and that what was found must last.
DOUBT_SECONDS = 1.0

_REMEDY = "give the app threads, or set cooperative = yes; or release the lock before you wait"


class LockWatch:
    """Sees that the reactor's thread waits for ever, and has ``interrupter`` raise a DeadlockError there.

    Only what is certain counts. Either a greenlet that waits is within ``with lock``. Or nothing runs that
    could release the lock: each of the other threads waits for a lock, too, or has nothing to do, and the app
    has no signal handler, which would run while the reactor's thread waits.
    """

    def __init__(self, interrupter: Interrupter, ident: int) -> None:
        self._interrupter = interrupter
        self._ident = ident
        self._lock: Any = None
        self._since = 0.0

    def look(self, frames: Frames, now: float) -> None:
        """Look at a reactor that has been held for ``DOUBT_SECONDS``. Called in the watching thread."""
        lock = awaited_lock(frames[self._ident])
        if lock is self._lock and now - self._since < DOUBT_SECONDS:
            return
        reason = None if lock is None else self._why_for_ever(lock, frames)
        is_confirmed = reason is not None and lock is self._lock
        self._lock, self._since = (None if reason is None else lock), now
        if is_confirmed:
            place = stack_of(frames[self._ident]).place
            error = DeadlockError(f"the lock at {place} cannot be released: {reason}; {_REMEDY}")
            self._interrupter.interrupt(error, partial(_waits_for, lock))

    def _why_for_ever(self, lock: Any, frames: Frames) -> str | None:
        for waiting in waiting_frames():
            if any(holds(frame, lock) for frame in outwards(waiting)):
                holder = stack_of(waiting)
                return (
                    f"{holder.task or 'another greenlet'} holds it and waits at {holder.place},"
                    " in the thread that all requests share"
                )
        if self._interrupter.others_handle_signals():
            return None
        others = [frame for ident, frame in frames.items() if ident != self._ident]
        if len(frames) == native_threads() and all(_is_idle(frame) for frame in others):
            return "no thread runs that could do so, and all requests share this one"
        return None


def _waits_for(lock: Any, frame: FrameType | None) -> bool:
    return frame is not None and awaited_lock(frame) is lock


def _is_idle(frame: FrameType) -> bool:
    """Whether a thread can do nothing until others have: it waits for a lock, or for work from Skitai."""
    if awaited_lock(frame) is not None:
        return True
    stack = stack_of(frame)
    return is_of_skitai(frame) and not stack.task and all(line.is_machinery for line in stack.lines)
