"""A pool of real threads, for functions that block.

The threads of apps (``skitai.loop.threads``) are others: they are all there from the start, they take any
number of tasks, and nobody waits for the outcome of one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from skitai.loop import native

Function = Callable[[], Any]


class ThreadPool:
    """Runs functions in real threads: ``threads`` at once, and ``queue`` more may wait, in order.

    A thread is made when a function comes and no thread is idle. It stays, because what libraries keep for a
    thread, such as a connection to a database, serves its next function, too. The threads are daemons: a
    function that blocks for ever cannot keep the process from ending. ``submit(function)`` has the reactor
    call ``function``. All methods are called in the reactor thread.
    """

    def __init__(self, threads: int, queue: int, submit: Callable[[Function], object]) -> None:
        self.threads_max = threads
        self.queue_max = queue
        self._submit = submit
        self._handed_out: native.SimpleQueue[_Job | None] = native.SimpleQueue()
        self._running: dict[_Job, None] = {}
        self._waiting: dict[_Job, None] = {}
        self._threads = 0
        self._ends: list[Deferred[None]] = []

    @property
    def is_full(self) -> bool:
        """Whether no thread is free and no further function may wait."""
        return len(self._running) >= self.threads_max and len(self._waiting) >= self.queue_max

    @property
    def running(self) -> list[Function]:
        """The functions that run and whose outcome is wanted."""
        return [job.function for job in self._running if not job.outcome.called]

    def run(self, function: Function) -> Deferred[Any]:
        """Call ``function`` in a thread of the pool, now or when one is free.

        Returns a Deferred that fires in the reactor with what ``function`` returns, or fails with what it
        raises, whatever that is. Cancelling it drops a function that waits; one that runs goes on.
        """
        job = _Job(function, self._drop)
        if len(self._running) < self.threads_max:
            self._hand_out(job)
        else:
            self._waiting[job] = None
        return job.outcome

    def drop_waiting(self, error: BaseException) -> None:
        """Fail all functions that wait with ``error``."""
        waiting, self._waiting = self._waiting, {}
        for job in waiting:
            job.outcome.errback(error)

    def when_done(self) -> Deferred[None]:
        """Return a Deferred that fires when no function runs whose outcome is wanted.

        Cancelling it fires it at once.
        """
        done: Deferred[None] = Deferred(lambda deferred: deferred.callback(None))
        self._ends.append(done)
        self._tell_end()
        return done

    def stop(self) -> None:
        """Let each thread end when it has done what it does. No function is taken after this."""
        for _ in range(self._threads):
            self._handed_out.put(None)
        self._threads = 0

    def statistics(self) -> dict[str, int]:
        """How many functions run, how many of them for nobody any more, how many wait; and the threads."""
        wanted = len(self.running)
        return {
            "running": len(self._running),
            "given_up": len(self._running) - wanted,
            "queued": len(self._waiting),
            "threads": self._threads,
        }

    def _hand_out(self, job: _Job) -> None:
        self._running[job] = None
        if self._threads < len(self._running):
            try:
                native.start_thread(self._work, f"skitai-run-{self._threads + 1}")
                self._threads += 1
            except RuntimeError:  # the system has no more threads: those that there are must do
                if not self._threads:
                    del self._running[job]
                    job.outcome.errback()
                    return
        self._handed_out.put(job)

    def _work(self) -> None:
        get = self._handed_out.get
        while (job := get()) is not None:
            try:
                outcome = job.function()
            except BaseException:  # noqa: BLE001 - a thread must outlive its functions
                outcome = Failure()  # type: ignore[no-untyped-call]
            self._submit(partial(self._done, job, outcome))
            del job, outcome  # or they would live on while the thread waits for the next one

    def _done(self, job: _Job, outcome: Any) -> None:
        del self._running[job]
        if self._waiting:
            following = next(iter(self._waiting))
            del self._waiting[following]
            self._hand_out(following)
        if not job.outcome.called:
            job.outcome.callback(outcome)
        self._tell_end()

    def _drop(self, job: _Job) -> None:
        self._waiting.pop(job, None)
        job.outcome.errback(CancelledError())
        self._tell_end()

    def _tell_end(self) -> None:
        if self._ends and not self.running:
            ends, self._ends = self._ends, []
            for end in ends:
                if not end.called:
                    end.callback(None)


class _Job:
    """A function that a pool was given; ``drop(job)`` is called if ``outcome`` is cancelled."""

    __slots__ = ("function", "outcome")

    def __init__(self, function: Function, drop: Callable[[_Job], None]) -> None:
        self.function = function
        self.outcome: Deferred[Any] = Deferred(lambda _: drop(self))
