"""Where apps run that wait for ``was``: in a greenlet for each request, on the reactor thread."""

from __future__ import annotations

from collections import deque
from contextvars import Context
from math import inf
from time import monotonic
from types import FrameType
from weakref import WeakSet

import greenlet
from twisted.logger import Logger
from zope.interface import implementer

from skitai.interfaces import IExecutor
from skitai.loop.hub import Hub
from skitai.loop.lines import CallLater, Limits, Line, Lines, Task, Waiter
from skitai.loop.switching import switch_to
from skitai.loop.turn import CallSoon

_log = Logger()

#: Seconds in which tasks begin before the reactor has its turn: they may compute before they first wait.
_TURN_SECONDS = 0.02

#: All greenlets of all executors.
_workers: WeakSet[greenlet.greenlet] = WeakSet()


def waiting_frames() -> list[FrameType]:
    """Return the innermost frame of each greenlet that waits: for something, or for a task.

    Called in any thread, while the reactor is held.
    """
    frames = (worker.gr_frame for worker in list(_workers))
    return [frame for frame in frames if frame is not None]


@implementer(IExecutor)
class GreenletExecutor:
    """Runs each task in its own greenlet on the reactor thread, up to where it waits for something.

    ``call_soon(function)`` has the reactor call ``function`` when its turn ends, in the hub, ``call_later``
    after some seconds. ``hub`` is where the greenlets wait; by default, the greenlet in which the executor is
    started. Greenlets that are done are kept for the next tasks: starting one costs more than switching to
    it.
    """

    multithread = False

    #: Greenlets kept for later; a burst may use more.
    idle_max = 256

    def __init__(
        self, call_soon: CallSoon, hub: Hub | None = None, call_later: CallLater | None = None
    ) -> None:
        self._call_soon = call_soon
        self._hub = hub or Hub()
        self._idle: list[greenlet.greenlet] = []
        self.lines = Lines(self._begin_soon, self._room, call_later)
        self._is_due = False
        #: What begins in this turn, past its line.
        self._ready: deque[Waiter] = deque()
        self._running = 0
        #: When the reactor is to have its turn, though more tasks could begin.
        self._turn_over = 0.0

    def start(self) -> None:
        """Take the current greenlet as the one that the reactor runs in."""
        self._hub.start()

    def stop(self) -> None:
        """Let go of the idle greenlets."""
        self.lines.stop()
        self._hub.run(self._end_idle)

    def _end_idle(self) -> None:
        idle, self._idle = self._idle, []
        for worker in idle:
            worker.throw()

    def submit(self, task: Task) -> None:
        """Run ``task`` until it first waits: when the turn ends, or the task that submits it."""
        # Never at once: both return to the hub, so a greenlet that started another would be abandoned.
        self.lines.submit(task)

    def line(self, name: str, limits: Limits) -> Line:
        """Return a new line for requests; see ``IExecutor.line``."""
        return self.lines.line(name, limits)

    def statistics(self) -> dict[str, int]:
        """How many tasks run or wait, how many have not begun, and how many greenlets are idle."""
        return {
            "running": self._running,
            "queued": self.lines.queued + len(self._ready),
            "idle": len(self._idle),
        }

    def _room(self) -> float:
        # While nobody waits, all that come in a turn may begin in it: it depends on how long each computes.
        return 0 if self.lines.active else inf

    def _begin_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._call_soon(self._run_ready)

    def _run_ready(self) -> None:
        self._is_due = False
        began, lines = monotonic(), self.lines
        self._turn_over = began + _TURN_SECONDS
        taken = lines.take_held()
        if taken is None:
            lines.hand_out()
        else:
            self._ready = taken[1]
        try:
            while (self._ready or lines.active) and not self._hub.is_forked:
                switch_to(self._idle.pop() if self._idle else self._new_worker())
                if monotonic() >= self._turn_over:
                    break
        finally:  # time may be up, or an exception got out of a greenlet
            if taken is not None and self._ready:
                lines.give_back(*taken, began)
                self._ready = deque()
            if lines.active and not self._hub.is_forked:
                lines.trim()
                self._begin_soon()

    def _new_worker(self) -> greenlet.greenlet:
        worker = greenlet.greenlet(self._work, self._hub.parent)
        _workers.add(worker)
        return worker

    def _work(self) -> None:
        me, parent, hub, lines = greenlet.getcurrent(), self._hub.parent, self._hub, self.lines
        assert parent is not None
        # With a condition here, CPython 3.11 would not notice that this runs often, and make nothing quicker.
        while True:
            if hub.is_forked:
                return
            ready = self._ready
            if (ready or lines.active) and (now := monotonic()) < self._turn_over:
                task = ready.popleft().run if ready else lines.take(now)
                if task is None:
                    continue
                # In this function, because each request needs it.
                self._running += 1
                me.gr_context = Context()
                try:
                    task()
                except greenlet.GreenletExit:
                    raise  # it ends the greenlet, not only this task
                except BaseException:  # noqa: BLE001 - a worker must outlive its tasks
                    _log.failure("a task failed")
                finally:
                    # Or they would live on while the greenlet waits for the next task.
                    me.gr_context = task = None
                    self._running -= 1
            elif len(self._idle) < self.idle_max:
                self._idle.append(me)
                greenlet.greenlet.switch(parent)
            else:
                return
