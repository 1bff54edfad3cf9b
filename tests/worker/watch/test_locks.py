"""Which lock a thread waits for, and who holds one, as frames tell it."""

import queue
import sys
import threading
import time
from concurrent.futures import Future

import pytest

from serving import eventually
from skitai.worker.watch.locks import awaited_lock, holds

LOCK = threading.Lock()


class Holder:
    __slots__ = ("__dict__", "slot")

    @property
    def computed(self):
        return LOCK


HOLDER = Holder()
HOLDER.plain = HOLDER.slot = LOCK


def of_global():
    with LOCK:
        pass


def of_attribute(holder=HOLDER):
    with holder.plain as entered:
        return entered


def of_slot():
    HOLDER.slot.acquire()
    LOCK.release()


def of_closure():
    mine = LOCK

    def inner():
        mine.acquire()
        LOCK.release()

    inner()


def of_condition():
    with threading.Condition(LOCK):
        pass


def blocked(function):
    """Return the innermost frame of a thread that waits in ``function()``."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()

    def waits():
        frame = sys._current_frames()[thread.ident]
        time.sleep(0.02)
        return frame if sys._current_frames()[thread.ident] is frame else None

    return eventually(waits)


@pytest.fixture
def locked():
    """The lock is held for the time of the test, and then by one thread after the other."""
    with LOCK:
        yield LOCK


@pytest.mark.parametrize("function", [of_global, of_attribute, of_slot, of_closure, of_condition])
def test_the_lock_is_found(locked, function):
    """A lock is found by what the instructions have loaded, whatever its name."""
    assert awaited_lock(blocked(function)) is locked


@pytest.mark.parametrize(
    "function",
    [
        lambda: threading.Event().wait(),
        lambda: queue.Queue().get(),
        lambda: threading.Semaphore(0).acquire(),
        lambda: Future().result(),
    ],
    ids=["Event", "Queue", "Semaphore", "Future"],
)
def test_what_is_built_on_a_lock(function):
    """Who waits for an event, an item or a result waits for a lock."""
    assert awaited_lock(blocked(function)).locked()


@pytest.mark.parametrize(
    "function",
    [
        lambda: LOCK.acquire(timeout=3600) and LOCK.release(),
        lambda: LOCK.acquire(True, 3600) and LOCK.release(),
        lambda: threading.Event().wait(3600),
        lambda: queue.Queue().get(timeout=3600),
        lambda: time.sleep(3600),
        lambda: HOLDER.computed.acquire() and LOCK.release(),
    ],
    ids=["timeout", "second argument", "Event", "Queue", "sleep", "property"],
)
def test_what_is_not_certain(locked, function):
    """A wait that ends by itself is none for a lock; nor is one whose lock only running code would tell."""
    assert awaited_lock(blocked(function)) is None


def suspended(function, *args):
    """Return the frame of a generator that was begun."""
    begun = function(*args)
    next(begun)
    return begun


def within(lock):
    try:
        with lock, threading.Lock():
            try:
                yield
            finally:
                pass
    except ValueError:
        pass


def behind(lock):
    with threading.Lock():
        for _ in range(2):
            with lock:
                pass
        yield


def in_another(lock, other):
    with lock:
        pass
    with other:
        yield


def released(lock):
    with lock:
        lock.release()
        try:
            yield
        finally:
            lock.acquire()


@pytest.mark.parametrize(
    ("function", "others", "expected"),
    [(within, 0, True), (behind, 0, False), (in_another, 1, False), (released, 0, False)],
    ids=["within", "behind", "in another", "released"],
)
def test_who_holds_it(function, others, expected):
    """Code that waits within ``with lock`` holds it, not code that has left the block or released it."""
    lock = threading.Lock()
    begun = suspended(function, lock, *(threading.Lock() for _ in range(others)))
    assert holds(begun.gi_frame, lock) is expected
