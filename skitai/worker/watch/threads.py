"""Sees what is slow in the threads of apps, and whether all of them are busy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from skitai.interfaces import IExecutor, IThreadExecutor
from skitai.loop.threads import waiting_frame
from skitai.worker.watch.blocking import Places
from skitai.worker.watch.counts import Counts
from skitai.worker.watch.queues import WAIT_SECONDS, QueueWatch
from skitai.worker.watch.reports import Busy, Say, report_all_busy, report_slow
from skitai.worker.watch.stacks import Frames, stack_of

#: What runs tasks, and the mount points of the apps that run there.
Executors = Mapping[IExecutor, Sequence[str]]
#: The thread that runs it, and when it began.
_Task = tuple[int, float]


class ThreadsWatch:
    """Sees requests that run longer than ``slow`` seconds in a thread, and threads that are all busy."""

    def __init__(self, slow: float, counts: Counts) -> None:
        self._slow = slow
        self._counts = counts
        self._places = Places()
        self._known: set[_Task] = set()
        self._queues: dict[int, QueueWatch] = {}

    def look(self, executors: Executors, frames: Frames, now: float, say: Say) -> bool:
        """Have ``say`` log what is slow; return whether any task runs or waits."""
        is_any = False
        slow: set[_Task] = set()
        for executor, mounts in executors.items():
            tasks = executor.statistics()
            is_any = is_any or tasks["running"] + tasks["queued"] > 0
            if IThreadExecutor.providedBy(executor):
                self._look_for_waits(executor, mounts, frames, now, say)
                slow.update(task for task in executor.tasks() if now - task[1] >= self._slow)
        for task in slow - self._known:
            self._counts.slow += 1
            busy_for_long = _busy(task, frames, now)
            if busy_for_long.stack is not None and self._places.is_new(busy_for_long.stack.place):
                say(partial(report_slow, busy_for_long))
        self._known = slow
        return is_any

    def _look_for_waits(
        self, executor: IThreadExecutor, mounts: Sequence[str], frames: Frames, now: float, say: Say
    ) -> None:
        """Have ``say`` log that all threads of ``executor`` are busy, if a task waits for one."""
        tasks = executor.tasks()
        begun, handed_out = executor.progress()
        if self._queues.setdefault(id(executor), QueueWatch()).look(begun, handed_out, now):
            self._counts.busy += 1
            busy = [_busy(task, frames, now) for task in tasks]
            say(partial(report_all_busy, mounts, busy, handed_out - begun, WAIT_SECONDS))


def _busy(task: _Task, frames: Frames, now: float) -> Busy:
    ident, since = task
    frame = waiting_frame(ident) or frames.get(ident)
    return Busy(None if frame is None else stack_of(frame), now - since)
