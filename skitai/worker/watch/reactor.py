"""Sees what holds the reactor."""

from __future__ import annotations

import time
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

from skitai.loop.turn import turn_end_of
from skitai.worker.watch.blocking import Hold, Places, Question, SilentQuestion
from skitai.worker.watch.counts import Counts
from skitai.worker.watch.deadlock import DOUBT_SECONDS, LockWatch
from skitai.worker.watch.interrupts import Interrupter
from skitai.worker.watch.reports import Say, report_blocked
from skitai.worker.watch.stacks import Frames, mark_of, stack_of

if TYPE_CHECKING:
    from skitai.loop.epolling import ShortReactor


class ReactorWatch:
    """Sees what holds the reactor for ``seconds`` or longer; 0 for never.

    A reactor that computes is asked for an answer, which it gives in its next turn. One that waits for the
    system is left alone: to ask it would wake it. If it waits for a lock that nobody can release,
    ``interrupter`` ends that. ``is_waiting`` and ``look`` are called in the watching thread.
    """

    def __init__(
        self,
        reactor: Any,
        seconds: float,
        ident: int,
        counts: Counts,
        interrupter: Interrupter | None = None,
    ) -> None:
        self._counts = counts
        self._locks = None if interrupter is None else LockWatch(interrupter, ident)
        hub = turn_end_of(reactor).hub
        # Where others run while it waits, only a look tells who.
        has_count = hasattr(reactor, "waits") and not hub.cooperates
        self._counting: ShortReactor | None = reactor if has_count else None
        self._question = Question(reactor) if self._counting is None else SilentQuestion(self._counting)
        self._seconds = seconds
        self._ident = ident
        self._polls = {type(reactor).doIteration.__code__, hub.idle_code}
        self._clock = _processor_clock(ident)
        self._computed = 0.0
        self._hold = Hold()
        self._places = Places()

    @property
    def is_waiting(self) -> bool:
        """Whether the reactor is known to wait for the system: then there is nothing to see."""
        return self._counting is not None and self._counting.is_waiting

    def look(self, frames: Frames, now: float, late: float, say: Say) -> bool:
        """Have ``say`` log what blocks; return whether the reactor does anything.

        ``frames`` may be empty where it waits. ``late`` is for how many seconds the watching thread could not
        run although it was its time: code written in C may hold the interpreter.
        """
        frame = frames.get(self._ident)
        computed, before = self._processor_seconds(), self._computed
        self._computed = computed
        if frame is None or frame.f_code in self._polls:
            self._hold.end()
            return self._question.is_open
        was_asked = self._question.is_open
        if not was_asked:
            self._hold.end()
            self._question.ask()
        held = self._hold.look(self._unit(frame, was_asked), now)
        if late >= self._seconds and computed - before > late / 2:
            held = max(held, late)
        if self._seconds and held >= self._seconds and not self._hold.is_said:
            self._say(frame, held, say)
        if held >= DOUBT_SECONDS and self._locks is not None:
            self._locks.look(frames, now)
        return True

    def _unit(self, frame: FrameType, was_asked: bool) -> Any:
        mark = mark_of(frame)
        # The place is costly to find, and most turns are over before the second look.
        return stack_of(frame).place if mark is None and was_asked else mark

    def _say(self, frame: FrameType, held: float, say: Say) -> None:
        self._hold.is_said = True
        stack = stack_of(frame)
        if stack.loads:
            return
        self._counts.blocked += 1
        if self._places.is_new(stack.place):
            say(partial(report_blocked, stack, held))

    def _processor_seconds(self) -> float:
        return 0.0 if self._clock is None else time.clock_gettime(self._clock)


def _processor_clock(ident: int) -> int | None:
    """Return the clock of the processor time that a thread has taken, where the system has one."""
    find = getattr(time, "pthread_getcpuclockid", None)
    return None if find is None else find(ident)
