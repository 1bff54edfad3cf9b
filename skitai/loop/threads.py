"""Where apps run that block: in a few threads that live as long as the server."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from functools import partial
from time import monotonic
from types import FrameType

import greenlet
from twisted.logger import Logger
from zope.interface import implementer

from skitai.interfaces import IThreadExecutor
from skitai.loop import native
from skitai.loop.turn import CallSoon

_log = Logger()

Task = Callable[[], None]

#: The greenlet that runs tasks in each thread of all executors, by the thread's ``get_ident()``. Not a weak
#: dictionary: where greenlet lets go of a thread's greenlet, no Python code may run.
_workers: dict[int, greenlet.greenlet] = {}


def waiting_frame(ident: int) -> FrameType | None:
    """Return the innermost frame of a task that has left its thread to gevent's hub while it waits.

    The result is None if the thread is none of an executor, or is in the task itself. Called in any thread.
    """
    worker = _workers.get(ident)
    return None if worker is None else worker.gr_frame


class Worker:
    """The current thread as one that runs tasks: ``waiting_frame`` knows it until ``end`` is called."""

    __slots__ = ("_greenlet", "ident")

    def __init__(self) -> None:
        self.ident = native.get_ident()
        self._greenlet = _workers[self.ident] = greenlet.getcurrent()

    def run(self, task: Task) -> None:
        """Run ``task`` in an empty context of its own; what it raises is logged."""
        self._greenlet.gr_context = Context()
        try:
            task()
        except greenlet.GreenletExit:
            pass  # it is raised to end the task, and has done so
        except BaseException:  # noqa: BLE001 - a worker must outlive its tasks
            _log.failure("a task failed")
        self._greenlet.gr_context = None  # or it would live on while the thread waits for the next task

    def end(self) -> None:
        """Forget the thread: it ends.

        The main greenlet of a thread that has ended should have no references: greenlet looks for them among
        all objects there are. So no frame has it in a variable: tracebacks may be kept.
        """
        del _workers[self.ident], self._greenlet


@implementer(IThreadExecutor)
class ThreadExecutor:
    """Runs tasks in ``count`` threads, in the order in which they came.

    The queue is a plain one, not Twisted's thread pool: handing over a task costs a third as much. Tasks are
    handed out when the reactor's turn ends. Threads that woke before would only contend with the reactor for
    the interpreter's lock, which halves the requests a second. The threads are daemons, so that an app that
    blocks for ever cannot keep the process from ending. ``call_soon(function)`` has the reactor call
    ``function`` when its turn ends. The threads are called ``name-1``, ``name-2`` and so on.
    """

    multithread = True

    def __init__(self, count: int, call_soon: CallSoon, name: str = "skitai-app") -> None:
        self._call_soon = call_soon
        self._name = name
        self._held: list[Task] = []
        self._tasks: native.SimpleQueue[Task | None] = native.SimpleQueue()
        #: When each thread began with its task, in seconds of ``monotonic``; 0 for a thread that has none.
        self._since = [0.0] * count
        self._idents = [0] * count
        self._started = self._handed_out = 0

    def start(self) -> None:
        """Start the threads. Called in the process that serves: threads do not survive a fork."""
        for number in range(len(self._since)):
            self._start(number)
            self._started += 1

    def stop(self) -> None:
        """Let each thread end when all that was submitted is done."""
        self._hand_out()
        for _ in range(self._started):
            self._tasks.put(None)
        self._started = 0

    def submit(self, task: Task) -> None:
        """Run ``task`` in the next free thread."""
        self._held.append(task)
        if len(self._held) == 1:
            self._call_soon(self._hand_out)

    def _hand_out(self) -> None:
        held, self._held = self._held, []
        for task in held:
            self._tasks.put(task)
        self._handed_out += len(held)

    def let_go(self, ident: int) -> None:
        """Let the task that runs in the thread ``ident`` keep it; a new thread takes its place.

        The thread ends with its task. Raises RuntimeError where the system has no more threads. Called in any
        thread, while the task waits for that.
        """
        number = self._idents.index(ident)
        since, self._since[number], self._idents[number] = self._since[number], 0.0, 0
        try:
            self._start(number)
        except RuntimeError:
            self._since[number], self._idents[number] = since, ident
            raise

    def statistics(self) -> dict[str, int]:
        """How many tasks run, how many wait for a thread, and how many threads there are and are idle."""
        running = sum(map(bool, self._since))
        return {
            "running": running,
            "queued": self._tasks.qsize() + len(self._held),
            "threads": self._started,
            "idle": max(self._started - running, 0),  # tasks may run on when the executor was stopped
        }

    def tasks(self) -> list[tuple[int, float]]:
        """Return the ``get_ident()`` of each thread that runs a task, and when it began with it."""
        return [(ident, since) for ident, since in zip(self._idents, self._since, strict=True) if since]

    def progress(self) -> tuple[int, int]:
        """Return how many tasks have begun, and how many were handed out to the threads, since the start."""
        # In this order: a task that is taken in between has begun.
        handed_out = self._handed_out
        return handed_out - self._tasks.qsize(), handed_out

    def _start(self, number: int) -> None:
        native.start_thread(partial(self._work, number), f"{self._name}-{number + 1}")

    def _work(self, number: int) -> None:
        get, since, idents = self._tasks.get, self._since, self._idents
        worker = Worker()
        idents[number] = ident = worker.ident
        while (task := get()) is not None:
            since[number] = monotonic()
            worker.run(task)
            del task  # or it would live on while the thread waits for the next one
            if idents[number] != ident:  # see let_go(): the place is another thread's
                break
            since[number] = 0.0
        worker.end()
