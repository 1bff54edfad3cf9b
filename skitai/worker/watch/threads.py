"""Sees what is slow in the threads of apps, and which executors do not keep up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from skitai.interfaces import IExecutor, IThreadExecutor
from skitai.loop.threads import waiting_frame
from skitai.worker.watch.blocking import Places
from skitai.worker.watch.counts import Counts
from skitai.worker.watch.queues import News, QueueWatch, Refusals
from skitai.worker.watch.reports import (
    Busy,
    Say,
    report_all_busy,
    report_crowded,
    report_over,
    report_slow,
)
from skitai.worker.watch.stacks import Frames, stack_of

#: What runs tasks, and the mount points of the apps that run there.
Executors = Mapping[IExecutor, Sequence[str]]
#: The thread that runs it, and when it began.
_Task = tuple[int, float]


class ThreadsWatch:
    """Sees requests that run longer than ``slow`` seconds in a thread, and executors that do not keep up."""

    def __init__(self, slow: float, counts: Counts) -> None:
        self._slow = slow
        self._counts = counts
        self._places = Places()
        self._known: set[_Task] = set()
        self._queues: dict[int, QueueWatch] = {}

    def look(self, executors: Executors, frames: Frames, now: float, say: Say) -> bool:
        """Have ``say`` log what is slow; return whether a task runs or waits, or something is to be said."""
        is_any = False
        slow: set[_Task] = set()
        for executor, mounts in executors.items():
            tasks = executor.statistics()
            is_any = is_any or tasks["running"] + tasks["queued"] > 0
            self._look_for_waits(executor, mounts, frames, now, say)
            if IThreadExecutor.providedBy(executor):
                slow.update(task for task in executor.tasks() if now - task[1] >= self._slow)
        for task in slow - self._known:
            self._counts.slow += 1
            busy_for_long = _busy(task, frames, now)
            if busy_for_long.stack is not None and self._places.is_new(busy_for_long.stack.place):
                say(partial(report_slow, busy_for_long))
        self._known = slow
        return is_any or any(queue.began is not None for queue in self._queues.values())

    def _look_for_waits(
        self, executor: IExecutor, mounts: Sequence[str], frames: Frames, now: float, say: Say
    ) -> None:
        """Have ``say`` log that ``executor`` does not keep up, and that it does again."""
        queue = self._queues.setdefault(id(executor), QueueWatch())
        began = queue.began
        news = queue.look(executor.lines.longest_wait(), Refusals.of(executor.lines), now)
        if news is News.OVER:
            assert began is not None
            say(partial(report_over, mounts, queue.last.since(queue.before), now - began))
        elif news is News.BEGUN:
            self._counts.busy += 1
            tasks = executor.statistics()
            waiting = tasks["queued"]
            refused = queue.last.since(queue.before).refused
            if IThreadExecutor.providedBy(executor):
                busy = [_busy(task, frames, now) for task in executor.tasks()]
                say(partial(report_all_busy, mounts, tasks["threads"], busy, waiting, refused))
            else:
                say(partial(report_crowded, mounts, waiting, refused))


def _busy(task: _Task, frames: Frames, now: float) -> Busy:
    ident, since = task
    frame = waiting_frame(ident) or frames.get(ident)
    return Busy(None if frame is None else stack_of(frame), now - since)
