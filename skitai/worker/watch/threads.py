"""Sees what is slow in the threads of apps, and whether all of them are busy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from skitai.interfaces import IExecutor
from skitai.worker.watch.blocking import Places
from skitai.worker.watch.queues import WAIT_SECONDS, QueueWatch
from skitai.worker.watch.reports import Busy, Say, report_all_busy, report_slow
from skitai.worker.watch.stacks import Frames, stack_of

#: What runs tasks, and the mount points of the apps that run there.
Executors = Mapping[IExecutor, Sequence[str]]


class ThreadsWatch:
    """Sees requests that run longer than ``slow`` seconds in a thread, and threads that are all busy."""

    def __init__(self, slow: float) -> None:
        self._slow = slow
        self._places = Places()
        self._known: set[tuple[int, float]] = set()
        self._queues: dict[int, QueueWatch] = {}

    def look(self, executors: Executors, frames: Frames, now: float, say: Say) -> bool:
        """Have ``say`` log what is slow; return whether any task runs or waits."""
        is_any = False
        slow: set[tuple[int, float]] = set()
        for executor, mounts in executors.items():
            tasks = executor.tasks()
            begun, handed_out = executor.progress()
            is_any = is_any or begun < handed_out or executor.statistics()["running"] > 0
            slow.update(task for task in tasks if now - task[1] >= self._slow)
            if self._queues.setdefault(id(executor), QueueWatch()).look(begun, handed_out, now):
                busy = [_busy(task, frames, now) for task in tasks]
                say(partial(report_all_busy, mounts, busy, handed_out - begun, WAIT_SECONDS))
        for task in slow - self._known:
            busy_for_long = _busy(task, frames, now)
            if busy_for_long.stack is not None and self._places.is_new(busy_for_long.stack.place):
                say(partial(report_slow, busy_for_long))
        self._known = slow
        return is_any


def _busy(task: tuple[int, float], frames: Frames, now: float) -> Busy:
    ident, since = task
    frame = frames.get(ident)
    return Busy(None if frame is None else stack_of(frame), now - since)
