"""The thread that sees who blocks."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Any

import attrs
from twisted.logger import Logger

from skitai.loop import native
from skitai.loop.turn import turn_end_of
from skitai.worker.watch.counts import Counts
from skitai.worker.watch.interrupts import Interrupter
from skitai.worker.watch.reactor import ReactorWatch
from skitai.worker.watch.stacks import current_frames
from skitai.worker.watch.threads import Executors, ThreadsWatch

_log = Logger()

#: Seconds between two looks at most, and where ``blocked_warning`` is off.
_LOOK_SECONDS = 0.5
#: Seconds without anything to do after which the watching thread sleeps, too.
_QUIET_SECONDS = 1.0


@attrs.frozen
class Thresholds:
    """The seconds after which something is logged, 0 for never. The keys of ``[server]`` have these names."""

    blocked_warning: float
    slow_request: float


class Watcher:
    """Looks now and then, in a thread of its own, at what the reactor and the threads of executors do.

    While the server has nothing to do, the thread sleeps. ``interrupter`` is there if the reactor runs in the
    main thread.
    """

    interrupter: Interrupter | None = None

    def __init__(self, reactor: Any, thresholds: Thresholds, executors: Executors) -> None:
        self._reactor = reactor
        self._thresholds = thresholds
        self._executors = executors
        self._turn_end = turn_end_of(reactor)
        self.counts = Counts()
        # A longer one would miss threads that are busy, and locks.
        self._interval = _often_enough(thresholds.blocked_warning)
        self._threads_interval = _often_enough(thresholds.slow_request)
        self._gate = native.Lock()
        self._stopped = False
        self._expected = self._busy_at = self._threads_at = 0.0
        self._has_tasks = False
        self._runs = 0

    def start(self) -> None:
        """Begin to watch. Called in the reactor thread."""
        blocked, slow = self._thresholds.blocked_warning, self._thresholds.slow_request
        if not (blocked or slow or self.interrupter):
            return
        self._threads = ThreadsWatch(slow or inf, self.counts)
        self._on_reactor = ReactorWatch(
            self._reactor, blocked, native.get_ident(), self.counts, self.interrupter
        )
        self._gate.acquire()
        native.start_thread(self._watch, "skitai-watch")

    def stop(self) -> None:
        """Let the thread end. Called in the reactor thread."""
        self._stopped = True
        self._turn_end.wake_sleepers()

    def _wake(self) -> None:
        self._expected = monotonic()
        self._gate.release()

    # -- in the watching thread ----------------------------------------------------------------------------

    def _watch(self) -> None:
        self._busy_at = monotonic()
        while not self._stopped:
            if self._is_quiet():
                self._sleep()
            else:
                self._expected = monotonic() + self._interval
                self._gate.acquire(timeout=self._interval)
            try:
                self._look(monotonic())
            except Exception:  # noqa: BLE001 - the next look may succeed
                _log.failure("the watching thread failed")

    def _look(self, now: float) -> None:
        reports: list[Callable[[], None]] = []
        looks_at_threads = now >= self._threads_at
        # Most looks are no more than this one, and cost a quarter of a whole one.
        frames = current_frames() if looks_at_threads or not self._on_reactor.is_waiting else {}
        computes = self._on_reactor.look(frames, now, now - self._expected, reports.append)
        if looks_at_threads:
            self._threads_at = now + self._threads_interval
            self._has_tasks = self._threads.look(self._executors, frames, now, reports.append)
        del frames
        if computes or self._has_tasks or self._runs != self._turn_end.runs:
            self._busy_at = now
        self._runs = self._turn_end.runs
        for report in reports:
            report()

    def _is_quiet(self) -> bool:
        return self._runs == self._turn_end.runs and monotonic() - self._busy_at > _QUIET_SECONDS

    def _sleep(self) -> None:
        self._turn_end.sleepers.append(self._wake)
        # After the append: either the reactor finds the sleeper, or this finds that there is something to do.
        if not (self._is_quiet() and not self._stopped):
            try:
                self._turn_end.sleepers.remove(self._wake)
            except ValueError:
                pass  # it is being woken
            else:
                return
        self._gate.acquire()


def _often_enough(seconds: float) -> float:
    """Return the seconds between two looks that find what takes ``seconds``; 0: nothing is looked for."""
    return min(seconds / 2 or _LOOK_SECONDS, _LOOK_SECONDS)
