"""Threads for tasks that take their time: one for each, up to a limit."""

import threading

import pytest
from twisted.logger import formatEvent, globalLogPublisher

from serving import eventually
from skitai.context import current_was
from skitai.loop.bridge import Pending, wait_in_thread
from skitai.loop.ownthreads import OwnThreads
from skitai.loop.threads import waiting_frame


class Tasks:
    """Tasks that run until they are let go; ``threads`` are those that they run in."""

    def __init__(self):
        self.gate = Pending()
        self.threads = []

    def __call__(self):
        self.threads.append(threading.current_thread())
        wait_in_thread(self.gate, 60)


def test_each_task_has_a_thread():
    """They run at once, by names of their own, and none keeps the process from ending."""
    pool, tasks = OwnThreads(3, "own"), Tasks()
    for _ in range(3):
        pool.submit(tasks)
    eventually(lambda: len(tasks.threads) == 3)
    assert {thread.name for thread in tasks.threads} == {"own-1", "own-2", "own-3"}
    assert all(thread.daemon for thread in tasks.threads)
    assert (pool.running, pool.is_full) == (3, True)
    tasks.gate.end()
    eventually(lambda: pool.running == 0)
    eventually(lambda: not any(thread.is_alive() for thread in tasks.threads))


def test_no_more_than_the_limit():
    """One more task is refused, and taken when another has ended."""
    pool, tasks = OwnThreads(1, "own"), Tasks()
    pool.submit(tasks)
    with pytest.raises(RuntimeError, match="1 threads run already"):
        pool.submit(tasks)
    tasks.gate.end()
    eventually(lambda: not pool.is_full)
    pool.submit(tasks)
    eventually(lambda: pool.running == 0)
    assert len(tasks.threads) == 2


def test_a_task_that_fails(request):
    """It is logged, and its place is free again."""
    logged = []
    globalLogPublisher.addObserver(logged.append)
    request.addfinalizer(lambda: globalLogPublisher.removeObserver(logged.append))
    pool = OwnThreads(1, "own")
    pool.submit(lambda: 1 / 0)
    eventually(lambda: pool.running == 0)
    assert [formatEvent(event) for event in logged] == ["a task failed"]


def test_without_threads_of_the_system(monkeypatch):
    """Where the system has no more threads, that is raised, and nothing counts."""

    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("skitai.loop.native.start_thread", refuse)
    pool = OwnThreads(1, "own")
    with pytest.raises(RuntimeError, match="can't start"):
        pool.submit(int)
    assert pool.running == 0


def test_adopted_threads_count():
    """A thread that another executor lets go counts until its task is over."""
    pool = OwnThreads(1, "own")
    number = pool.adopt()
    assert pool.is_full
    with pytest.raises(RuntimeError, match="1 threads run already"):
        pool.submit(int)
    pool.release(number)
    assert pool.running == 0


def test_a_context_of_its_own():
    """What a task sets in its context is not there for the next, nor for who submitted it."""
    pool, seen = OwnThreads(2, "own"), []

    def task():
        seen.append(current_was.get(None))
        current_was.set("mine")

    pool.submit(task)
    eventually(lambda: pool.running == 0)
    pool.submit(task)
    eventually(lambda: pool.running == 0)
    assert seen == [None, None]
    assert current_was.get(None) is None


def test_stack_dumps_know_the_thread():
    """As long as it runs, and not when its number may be another's."""
    pool, tasks = OwnThreads(1, "own"), Tasks()
    pool.submit(tasks)
    eventually(lambda: tasks.threads)
    ident = tasks.threads[0].ident
    assert waiting_frame(ident) is None  # it is in the task itself
    tasks.gate.end()
    eventually(lambda: pool.running == 0)
    assert waiting_frame(ident) is None
