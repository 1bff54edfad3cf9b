"""Where app code runs that takes its time: in a thread for each task, which ends with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count

from skitai.loop import native
from skitai.loop.threads import Worker

Task = Callable[[], None]


class OwnThreads:
    """Starts a real thread for each task, ``most`` at once. They are called ``name-1``, ``name-2`` and so on.

    They are daemons: a task that blocks for ever cannot keep the process from ending. All methods are called
    in the reactor thread.
    """

    def __init__(self, most: int, name: str) -> None:
        self.most = most
        self._name = name
        self._numbers = count(1)
        # Threads take themselves out, so this is a set: counting down in two threads would miscount.
        self._running: set[int] = set()

    @property
    def running(self) -> int:
        """How many threads there are."""
        return len(self._running)

    @property
    def is_full(self) -> bool:
        """Whether there is no thread for another task."""
        return len(self._running) >= self.most

    def submit(self, task: Task) -> None:
        """Run ``task`` in a thread of its own, with an empty ``contextvars.Context``.

        Raises RuntimeError where ``is_full``, and where the system has no more threads.
        """
        number = self.adopt()
        try:
            native.start_thread(partial(self._work, number, task), f"{self._name}-{number}")
        except RuntimeError:
            self.release(number)
            raise

    def adopt(self) -> int:
        """Count a thread that another executor lets go; return what ``release`` takes when its task is over.

        Raises RuntimeError where ``is_full``.
        """
        if self.is_full:
            raise RuntimeError(f"{self.most} threads run already")
        number = next(self._numbers)
        self._running.add(number)
        return number

    def release(self, number: int) -> None:
        """Count an adopted thread no more."""
        self._running.discard(number)

    def _work(self, number: int, task: Task) -> None:
        worker = Worker()
        try:
            worker.run(task)
        finally:
            worker.end()
            self.release(number)
