"""The lock that greenlets and real threads share, and what Python makes of it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from processes import environment, run_python

pytest.importorskip("gevent")

import gevent.thread

from skitai.loop.cooperative.locks import Lock

#: A patched process with functions to try things in greenlets and in real threads at once.
SETUP = """
import faulthandler, logging, queue, random, threading, time
import gevent
from skitai.loop import native
from skitai.loop.cooperative.patching import patch

patch()
faulthandler.dump_traceback_later(50, exit=True)

def in_both(function, greenlets=10, threads=4):
    ended = native.SimpleQueue()
    def work():
        function()
        ended.put(None)
    for number in range(threads):
        native.start_thread(work, f"thread-{number}")
    gevent.joinall([gevent.spawn(function) for _ in range(greenlets)], raise_error=True)
    while ended.qsize() < threads:
        gevent.sleep(0.001)
"""


#: At once: Python's own end cuts threads that are just ending, and aborts if one is in greenlet's C++ code.
END = """
import os, sys
sys.stdout.flush()
os._exit(0)
"""


def run_patched(code):
    """Return what a patched process prints that runs ``code``."""
    return run_python("-c", SETUP + code + END, env=environment()).stdout.strip()


class TestInThreads:
    """Without greenlets it is an ordinary lock."""

    def test_one_has_it(self):
        """It is taken once, until it is given back."""
        lock = Lock()
        assert lock.acquire() is True
        assert lock.locked()
        assert lock.acquire(False) is lock.acquire(timeout=0.001) is False
        assert repr(lock).startswith("<locked Lock at ")
        lock.release()
        with lock as taken:
            assert taken
        assert not lock.locked()

    def test_mistakes(self):
        """It complains as Python's does."""
        lock = Lock()
        with pytest.raises(RuntimeError, match="release unlocked lock"):
            lock.release()
        with pytest.raises(ValueError, match="can't specify a timeout for a non-blocking call"):
            lock.acquire(False, 1)
        with pytest.raises(ValueError, match="timeout value must be"):
            lock.acquire(timeout=-2)
        with pytest.raises(OverflowError, match="timeout value is too large"):
            lock.acquire(timeout=1e100)

    def test_one_after_the_other(self):
        """Threads that wait get it in turn; none is left waiting."""
        lock, counts = Lock(), [0]

        def count(_):
            for _ in range(300):
                with lock:
                    before = counts[0]
                    if before % 50 == 0:
                        threading.Event().wait(0.0001)
                    counts[0] = before + 1

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(count, range(8)))
        assert counts == [2400]
        assert not lock.locked()

    def test_after_a_fork(self):
        """A child has it free."""
        lock = Lock()
        lock.acquire()
        lock._at_fork_reinit()
        assert lock.acquire(False)


class TestInBoth:
    """Greenlets and real threads in one patched process."""

    def test_nobody_is_left_waiting(self):
        """A lock that is held over a wait goes from one to the other."""
        code = """
lock, counts = threading.Lock(), [0]
def count():
    for number in range(50):
        with lock:
            before = counts[0]
            if number % 10 == 0:
                time.sleep(0.0005)
            counts[0] = before + 1
in_both(count)
print(counts)
"""
        assert run_patched(code) == "[700]"

    def test_logs(self):
        """Functions in threads write to the log while views do."""
        code = """
import io
stream = io.StringIO()
logging.basicConfig(stream=stream, level=logging.INFO)
def log():
    for number in range(100):
        logging.info("line")
        if number % 20 == 0:
            time.sleep(0)
in_both(log)
print(stream.getvalue().count("INFO:root:line"))
"""
        assert run_patched(code) == "1400"

    def test_giving_up(self):
        """Those who wait for a while only take nothing away from others, and leave it free."""
        code = """
lock, taken = threading.Lock(), native.SimpleQueue()
def attempt():
    for _ in range(50):
        if lock.acquire(timeout=random.random() / 2000):
            taken.put(None)
            time.sleep(0.0002)
            lock.release()
in_both(attempt)
print(taken.qsize() > 0, lock.locked())
"""
        assert run_patched(code) == "True False"

    def test_killed_while_it_waits(self):
        """A greenlet that is killed gives back what it was just given."""
        code = """
lock = threading.Lock()
def hold():
    with lock:
        time.sleep(0.0002)
for _ in range(200):
    victims = [gevent.spawn(hold) for _ in range(3)]
    gevent.sleep(random.random() / 2000)
    gevent.killall(victims)
print(lock.acquire(timeout=10))
"""
        assert run_patched(code) == "True"

    def test_what_is_made_of_locks(self):
        """Queues, events, conditions and semaphores work between greenlets and threads."""
        code = """
asked, answered = queue.SimpleQueue(), queue.Queue(3)
begun = threading.Event()
few = threading.BoundedSemaphore(2)
def serve():
    begun.wait()
    for _ in range(70):
        with few:
            answered.put(2 * asked.get())
def give():
    for number in range(280):
        asked.put(number)
gevent.spawn(give)
gevent.spawn_later(0.01, begun.set)
receiver = gevent.spawn(lambda: sum(answered.get() for _ in range(280)))
in_both(serve, greenlets=2, threads=2)
print(receiver.get() == 2 * sum(range(280)))
"""
        assert run_patched(code) == "True"

    def test_joining(self):
        """Threads and greenlets wait for a thread of an app, which is a greenlet, and an app for a pool."""
        code = """
from concurrent.futures import ThreadPoolExecutor
for seconds in [0, 0.0001, 0.001, 0.002, 0.005] * 4:
    app = threading.Thread(target=time.sleep, args=(seconds,))
    app.start()
    in_both(app.join, greenlets=2, threads=2)
with ThreadPoolExecutor(3) as pool:
    print(app.is_alive(), sum(pool.map(lambda number: time.sleep(0.001) or number, range(10))))
"""
        assert run_patched(code) == "False 45"

    def test_joining_for_a_while(self):
        """The wait for a thread ends with its time."""
        code = """
going_on = threading.Event()
app = threading.Thread(target=going_on.wait)
app.start()
in_both(lambda: app.join(0.01), greenlets=2, threads=2)
print(app.is_alive())
going_on.set()
in_both(lambda: app.join(60), greenlets=2, threads=2)
print(app.is_alive())
"""
        assert run_patched(code) == "True\nFalse"


@pytest.mark.skipif(not hasattr(gevent.thread, "_ThreadHandle"), reason="needs gevent 24.10")
class TestHandles:
    """What threads are joined by, from Python 3.13 on; with older ones, too, it does what it says."""

    def test_in_any_thread(self):
        """Both greenlets and threads wait; one that has ended is not waited for."""
        code = """
from skitai.loop.cooperative.handles import ThreadHandle
handle = ThreadHandle()
from gevent.event import Event
over = Event()
handle._set_greenlet(gevent.spawn(over.wait))
in_both(lambda: handle.join(0.001), greenlets=2, threads=2)
print(handle.is_done())
gevent.spawn_later(0.01, over.set)
in_both(handle.join, greenlets=2, threads=2)
in_both(lambda: handle.join(None), greenlets=2, threads=2)
print(handle.is_done())
"""
        assert run_patched(code) == "False\nTrue"

    def test_mistakes(self):
        """It complains as Python's does."""
        code = """
from skitai.loop.cooperative.handles import ThreadHandle
handle = ThreadHandle()
def join():
    try:
        handle.join()
    except RuntimeError as error:
        print(error)
join()
joining = gevent.spawn(join)
handle._set_greenlet(joining)
joining.join()
"""
        assert run_patched(code) == "thread not started\nCannot join current thread"
