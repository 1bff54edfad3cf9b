"""Sees that an app is still being loaded: its module may wait for ever, and nothing else would say so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from skitai.loop import native
from skitai.worker.watch.reports import Busy, report_slow
from skitai.worker.watch.stacks import current_frames, stack_of


class LoadWatch:
    """Logs where an app is whose load takes ``seconds``; 0 for never.

    The watching thread of requests begins when all apps are loaded. The methods are called in the reactor
    thread, or before there is one.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loading = native.Lock()
        self._is_on = False
        self._join: Callable[[], object] | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch during the block; no thread is left of that, so that the process may fork."""
        self.start()
        try:
            yield
        finally:
            self.end()
            if self._join is not None:
                self._join()

    def start(self) -> None:
        """Begin to watch."""
        if self._seconds:
            self._is_on = True
            self._loading = native.Lock()  # an earlier thread has taken that of before
            self._loading.acquire()
            self._join = native.start_thread(self._watch, "skitai-loading")

    def end(self) -> None:
        """Watch no more. May be called again, and where nothing has begun."""
        if self._is_on:
            self._is_on = False
            self._loading.release()

    def _watch(self) -> None:
        looks = 0
        while not self._loading.acquire(timeout=self._seconds):
            looks += 1
            if self._look(looks * self._seconds):
                return

    def _look(self, seconds: float) -> bool:
        """Log what is being loaded; return whether that is anything: a greenlet that waits is not seen."""
        frames = current_frames()
        stacks = [stack_of(frame) for frame in frames.values()]
        del frames
        loads = [stack for stack in stacks if stack.loads]
        for stack in loads:
            report_slow(Busy(stack, seconds))
        return bool(loads)
