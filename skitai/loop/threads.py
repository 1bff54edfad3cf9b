"""Where apps run that block: in a few threads that live as long as the server."""

from __future__ import annotations

from contextvars import Context
from functools import partial
from time import monotonic
from types import FrameType

import greenlet
from twisted.logger import Logger
from zope.interface import implementer

from skitai.interfaces import IThreadExecutor
from skitai.loop import native
from skitai.loop.astray import FORKS, end_child
from skitai.loop.lines import CallLater, Limits, Line, Lines, Task
from skitai.loop.turn import CallSoon

_log = Logger()

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

    __slots__ = ("_forks", "_greenlet", "ident")

    def __init__(self) -> None:
        self.ident = native.get_ident()
        self._forks = FORKS.count
        self._greenlet = _workers[self.ident] = greenlet.getcurrent()

    def run(self, task: Task) -> None:
        """Run ``task`` in an empty context of its own; what it raises is logged.

        A child that the task forks, and that returns from it, ends: it has no other thread.
        """
        self._greenlet.gr_context = Context()
        try:
            task()
        except greenlet.GreenletExit:
            pass  # it is raised to end the task, and has done so
        except BaseException:  # noqa: BLE001 - a worker must outlive its tasks
            _log.failure("a task failed")
        if FORKS.count != self._forks:
            end_child()
        self._greenlet.gr_context = None  # or it would live on while the thread waits for the next task

    def end(self) -> None:
        """Forget the thread: it ends.

        The main greenlet of a thread that has ended should have no references: greenlet looks for them among
        all objects there are. So no frame has it in a variable: tracebacks may be kept.
        """
        del _workers[self.ident], self._greenlet


@implementer(IThreadExecutor)
class ThreadExecutor:
    """Runs tasks in ``count`` threads, in the order that ``lines`` gives them.

    The queue is a plain one, not Twisted's thread pool: handing over a task costs a third as much. Tasks are
    handed out when the reactor's turn ends. Threads that woke before would only contend with the reactor for
    the interpreter's lock, which halves the requests a second. The threads are daemons, so that an app that
    blocks for ever cannot keep the process from ending. ``call_soon(function)`` has the reactor call
    ``function`` when its turn ends, ``call_later`` after some seconds. The threads are called ``name-1``,
    ``name-2`` and so on.
    """

    multithread = True

    def __init__(
        self,
        count: int,
        call_soon: CallSoon,
        name: str = "skitai-app",
        call_later: CallLater | None = None,
    ) -> None:
        self._name = name
        self.lines = Lines(partial(call_soon, self._hand_out), self._idle, call_later)
        #: Something true for each task that a thread is to take from the lines; something false ends one.
        self._tokens: native.SimpleQueue[bool] = native.SimpleQueue()
        #: When each thread began with its task, in seconds of ``monotonic``; 0 for a thread that has none.
        self._since = [0.0] * count
        self._idents = [0] * count
        self._started = 0

    def start(self) -> None:
        """Start the threads. Called in the process that serves: threads do not survive a fork."""
        for number in range(len(self._since)):
            self._start(number)
            self._started += 1

    def stop(self) -> None:
        """Let each thread end when all that was submitted is done."""
        self._hand_out()
        self.lines.stop()
        for _ in range(self._started):
            self._tokens.put(False)
        self._started = 0

    def submit(self, task: Task) -> None:
        """Run ``task`` in the next free thread."""
        self.lines.submit(task)

    def line(self, name: str, limits: Limits) -> Line:
        """Return a new line for requests; see ``IExecutor.line``."""
        return self.lines.line(name, limits)

    def _hand_out(self) -> None:
        put = self._tokens.put
        for _ in range(self.lines.hand_out()):
            put(True)

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
            "queued": self.lines.queued,
            "threads": self._started,
            "idle": max(self._started - running, 0),  # tasks may run on when the executor was stopped
        }

    def tasks(self) -> list[tuple[int, float]]:
        """Return the ``get_ident()`` of each thread that runs a task, and when it began with it."""
        return [(ident, since) for ident, since in zip(self._idents, self._since, strict=True) if since]

    def _idle(self) -> int:
        return len(self._since) - sum(map(bool, self._since))

    def _start(self, number: int) -> None:
        native.start_thread(partial(self._work, number), f"{self._name}-{number + 1}")

    def _work(self, number: int) -> None:
        get, take, since, idents = self._tokens.get, self.lines.take, self._since, self._idents
        worker = Worker()
        idents[number] = ident = worker.ident
        while True:  # as in GreenletExecutor._work
            if not get():
                break
            now = monotonic()
            task = take(now)
            if task is None:
                continue
            since[number] = now
            worker.run(task)
            del task  # or it would live on while the thread waits for the next one
            if idents[number] != ident:  # see let_go(): the place is another thread's
                break
            since[number] = 0.0
        worker.end()
