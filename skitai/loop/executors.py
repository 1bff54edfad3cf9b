"""Where app code runs: in a few threads, or in a greenlet for each request."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

import greenlet
from twisted.logger import Logger
from zope.interface import implementer

from skitai.interfaces import IExecutor

_log = Logger()

Task = Callable[[], None]
CallSoon = Callable[[Task], object]


def executor_for(threads: int, call_soon: CallSoon) -> ThreadExecutor | GreenletExecutor:
    """Return the executor for the config's ``threads``: greenlets for 0."""
    return ThreadExecutor(threads, call_soon) if threads else GreenletExecutor(call_soon)


@implementer(IExecutor)
class ThreadExecutor:
    """Runs tasks in ``count`` threads, in the order in which they came.

    The queue is a plain one, not Twisted's thread pool: handing over a task costs a third as much. Tasks are
    handed out when the reactor's turn ends. Threads that woke before would only contend with the reactor for
    the interpreter's lock, which halves the requests a second. The threads are daemons, so that an app that
    blocks for ever cannot keep the process from ending. ``call_soon(function)`` has the reactor call
    ``function`` when its turn ends.
    """

    multithread = True

    def __init__(self, count: int, call_soon: CallSoon) -> None:
        self._call_soon = call_soon
        self._held: list[Task] = []
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        #: Whether each thread runs a task.
        self._busy = [False] * count
        self._threads: list[Thread] = []

    def start(self) -> None:
        """Start the threads. Called in the process that serves: threads do not survive a fork."""
        for number in range(len(self._busy)):
            name = f"skitai-app-{number + 1}"
            thread = Thread(target=self._work, args=(number,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Let each thread end when all that was submitted is done."""
        self._hand_out()
        for _ in self._threads:
            self._tasks.put(None)
        self._threads.clear()

    def submit(self, task: Task) -> None:
        """Run ``task`` in the next free thread."""
        self._held.append(task)
        if len(self._held) == 1:
            self._call_soon(self._hand_out)

    def _hand_out(self) -> None:
        held, self._held = self._held, []
        for task in held:
            self._tasks.put(task)

    def statistics(self) -> dict[str, int]:
        """How many tasks run, how many wait for a thread, and how many threads there are."""
        return {
            "running": sum(self._busy),
            "queued": self._tasks.qsize() + len(self._held),
            "threads": len(self._threads),
        }

    def _work(self, number: int) -> None:
        get, busy = self._tasks.get, self._busy
        while (task := get()) is not None:
            busy[number] = True
            try:
                task()
            except greenlet.GreenletExit:
                pass  # it is raised to end the task, and has done so
            except BaseException:  # noqa: BLE001 - a worker must outlive its tasks
                _log.failure("a task failed")
            del task  # or it would live on while the thread waits for the next one
            busy[number] = False


@implementer(IExecutor)
class GreenletExecutor:
    """Runs each task in its own greenlet on the reactor thread, up to where it waits for something.

    ``call_soon(function)`` has the reactor call ``function`` when its turn ends, outside any greenlet.
    Greenlets that are done are kept for the next tasks: starting one costs more than switching to it.
    """

    multithread = False

    #: Greenlets kept for later; a burst may use more.
    idle_max = 256

    def __init__(self, call_soon: CallSoon) -> None:
        self._call_soon = call_soon
        self._hub: greenlet.greenlet | None = None
        self._idle: list[greenlet.greenlet] = []
        self._ready: deque[Task] = deque()
        self._running = 0

    def start(self) -> None:
        """Take the current greenlet as the one that the reactor runs in."""
        self._hub = greenlet.getcurrent()

    def stop(self) -> None:
        """Let go of the idle greenlets."""
        idle, self._idle = self._idle, []
        for worker in idle:
            worker.throw()

    def submit(self, task: Task) -> None:
        """Run ``task`` until it first waits: when the turn ends, or the task that submits it."""
        self._ready.append(task)
        if len(self._ready) == 1:
            # Never at once: both return to the hub, so a greenlet that started another would be abandoned.
            self._call_soon(self._run_ready)

    def statistics(self) -> dict[str, int]:
        """How many tasks run or wait, how many have not begun, and how many greenlets are idle."""
        return {"running": self._running, "queued": len(self._ready), "idle": len(self._idle)}

    def _run_ready(self) -> None:
        try:
            while self._ready:
                worker = self._idle.pop() if self._idle else greenlet.greenlet(self._work, self._hub)
                worker.switch()
        finally:
            if self._ready:  # an exception got out of a greenlet: the other tasks must still run
                self._call_soon(self._run_ready)

    def _work(self) -> None:
        me, hub = greenlet.getcurrent(), self._hub
        assert hub is not None
        while True:
            while self._ready:
                self._run(self._ready.popleft())
            if len(self._idle) >= self.idle_max:
                return
            self._idle.append(me)
            hub.switch()

    def _run(self, task: Task) -> None:
        self._running += 1
        try:
            task()
        except greenlet.GreenletExit:
            raise  # it ends the greenlet, not only this task
        except BaseException:  # noqa: BLE001 - a worker must outlive its tasks
            _log.failure("a task failed")
        finally:
            self._running -= 1
