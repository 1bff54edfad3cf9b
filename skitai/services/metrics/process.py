"""What a worker is as a process, by the names that client libraries of Prometheus give."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

from skitai.plugins import Metric, counter, gauge

_DESCRIPTORS = "/proc/self/fd"
#: Seconds between two counts of the descriptors: a worker may have tens of thousands.
_COUNT_SECONDS = 10.0


class ProcessFigures:
    """The figures of this process. ``seconds`` is a monotonic clock. Called in the reactor thread."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._descriptors: int | None = None
        self._counted_at = 0.0

    def metrics(self) -> Iterator[Metric]:
        """Yield them."""
        yield counter(
            "process_cpu_seconds_total", "Processor time of the workers.", round(sum(os.times()[:2]), 2)
        )
        descriptors = self._open_descriptors()
        if descriptors is not None:
            yield gauge("process_open_fds", "Open descriptors of the workers.", descriptors)
        yield gauge("process_threads", "Threads of the workers.", threading.active_count())
        generations = {str(number): figures for number, figures in enumerate(gc.get_stats())}
        for name, figure, text in (
            ("collections", "collections", "Runs of the garbage collector."),
            ("objects_collected", "collected", "Objects that it has freed."),
            ("objects_uncollectable", "uncollectable", "Objects that it could not free."),
        ):
            values = {number: figures[figure] for number, figures in generations.items()}
            yield counter(f"python_gc_{name}_total", text, values, "generation")

    def _open_descriptors(self) -> int | None:
        now = self._seconds()
        if self._descriptors is None or now - self._counted_at >= _COUNT_SECONDS:
            self._counted_at = now
            with suppress(OSError):  # the system has no such folder, or no descriptor is left to read it
                self._descriptors = len(os.listdir(_DESCRIPTORS)) - 1
        return self._descriptors
