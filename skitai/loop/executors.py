"""Where app code runs: in a few threads, or in a greenlet for each request; a mount may have its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import inf
from typing import Any

from skitai.interfaces import IExecutor
from skitai.loop.greenlets import GreenletExecutor
from skitai.loop.hub import Hub
from skitai.loop.lines import CallLater, Line
from skitai.loop.threads import ThreadExecutor
from skitai.loop.turn import CallSoon


def executor_for(
    threads: int,
    call_soon: CallSoon,
    hub: Hub | None = None,
    *,
    mount: str = "",
    call_later: CallLater | None = None,
) -> ThreadExecutor | GreenletExecutor:
    """Return the executor for the config's ``threads``: greenlets, which wait in ``hub``, for 0.

    ``mount`` is a part of the threads' names: the mount point of their app, empty for those of all others.
    ``call_later`` is the reactor's: without it, requests wait however long it takes.
    """
    if not threads:
        return GreenletExecutor(call_soon, hub, call_later)
    return ThreadExecutor(threads, call_soon, f"skitai-app-{mount}" if mount else "skitai-app", call_later)


class Executors:
    """The executors of one instance: one that mounts share, and one for each mount with its own ``threads``.

    ``make(threads, mount)`` returns a new executor, as ``executor_for`` does; ``threads`` are those of the
    shared one. Mounts are added before the start. Called in the reactor thread.
    """

    def __init__(self, make: Callable[[int, str], IExecutor], threads: int) -> None:
        self._make = make
        self._own_at: Counter[str] = Counter()
        #: The executor of all mounts without their own.
        self.shared = make(threads, "")
        #: For each executor the names of the mounts whose apps run there. Not changed after the start.
        self.mounts: dict[IExecutor, list[str]] = {self.shared: []}

    def for_mount(self, point: str, threads: int | None) -> IExecutor:
        """Return the executor for one more mount: a new one for ``threads``, the shared one for None.

        ``point`` is its path, empty for the root. It names the executor; with a number where the mounts of
        several hosts have executors of their own at one path.
        """
        name = point or "/"
        if threads is None:
            if name not in self.mounts[self.shared]:
                self.mounts[self.shared].append(name)
            return self.shared
        self._own_at[name] += 1
        if self._own_at[name] > 1:
            name = f"{name} ({self._own_at[name]})"
        executor = self._make(threads, name)
        self.mounts[executor] = [name]
        return executor

    def lines(self) -> list[Line]:
        """Return the lines of all mounts: their figures are for metrics and the status page."""
        return [line for executor in self.mounts for line in executor.lines]

    def start(self) -> None:
        """Start all of them. Called in the process that serves: threads do not survive a fork."""
        for executor in self.mounts:
            executor.start()

    def stop(self) -> None:
        """Stop all of them, whether or not they were started."""
        for executor in self.mounts:
            executor.stop()

    def is_busy(self) -> bool:
        """Return whether a task runs or waits in any of them."""
        statistics = [executor.statistics() for executor in self.mounts]
        return any(tasks["running"] or tasks["queued"] for tasks in statistics)

    def overview(self) -> list[dict[str, Any]]:
        """Return a row for each of them, for the status page."""
        return [_row(executor, names) for executor, names in self.mounts.items()]

    def queues(self) -> list[dict[str, Any]]:
        """Return a row for the line of each mount, for the status page."""
        return [_queue(line) for line in self.lines()]


def _row(executor: IExecutor, mounts: list[str]) -> dict[str, Any]:
    tasks = executor.statistics()
    return {
        "mounts": ", ".join(mounts),
        "run_in": "threads" if executor.multithread else "greenlets",
        "threads": tasks.get("threads"),
        "running": tasks["running"],
        "queued": tasks["queued"],
        "idle": tasks.get("idle"),
    }


def _queue(line: Line) -> dict[str, Any]:
    begun = line.begun
    return {
        "mount": line.name,
        "queued": line.queued,
        "queue_max": None if line.most == inf else int(line.most),
        "queue_timeout_seconds": None if line.timeout == inf else line.timeout,
        "begun": begun,
        "refused": line.full,
        "late": line.late,
        "left": line.left,
        "mean_wait_seconds": round(line.waited / begun, 4) if begun else 0.0,
    }
