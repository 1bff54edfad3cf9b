"""What counts as blocking, and as busy: all by a clock of the test's own."""

import json
import threading
from pathlib import Path

import pytest
from twisted.logger import formatEvent, globalLogPublisher
from zope.interface import implementer

from skitai.interfaces import IThreadExecutor
from skitai.worker.watch.blocking import Hold, Places
from skitai.worker.watch.counts import Counts
from skitai.worker.watch.queues import QueueWatch
from skitai.worker.watch.reactor import ReactorWatch
from skitai.worker.watch.stacks import stack_of
from skitai.worker.watch.threads import ThreadsWatch

ME = threading.get_ident()


def frame_in(file, source="yield"):
    """Return the frame of code in ``file`` that has been begun, as a thread would have it."""
    space = {}
    exec(compile(f"def view():\n    {source}\n", file, "exec"), space)
    begun = space["view"]()
    next(begun)
    return begun.gi_frame, begun


def at_once(report):
    """Log what is reported."""
    report()


class IdleReactor:
    """A reactor whose turn ends when the test says so."""

    def __init__(self):
        self.asked = []

    def doIteration(self, delay):
        yield

    def callFromThread(self, function):
        self.asked.append(function)

    def turn(self):
        while self.asked:
            self.asked.pop()()


@implementer(IThreadExecutor)
class BusyExecutor:
    """An executor with tasks that the test makes up."""

    def __init__(self, *tasks, begun=0, handed_out=0):
        self.running = list(tasks)
        self.counts = begun, handed_out

    def tasks(self):
        return self.running

    def progress(self):
        return self.counts

    def statistics(self):
        return {"running": len(self.running), "queued": 0}


@pytest.fixture
def said():
    """What was logged."""
    messages = []

    def observe(event):
        messages.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield messages
    globalLogPublisher.removeObserver(observe)


def test_a_turn_of_many_requests_is_no_hold():
    """Only the time in one and the same request counts."""
    hold = Hold()
    assert [hold.look(unit, now) for unit, now in [("a", 1.0), ("b", 1.25), ("b", 1.5)]] == [0, 0, 0.25]
    hold.end()
    assert hold.look("b", 2.0) == 0


def test_places_are_bounded():
    """A place is new once; if code makes places without end, they are forgotten one day."""
    places = Places()
    assert (places.is_new("x"), places.is_new("x")) == (True, False)
    assert all(places.is_new(number) for number in range(1000))
    assert places.is_new("x")


def test_the_reactor_is_held(said):
    """Code that holds the reactor is named with its line and for how long, once for each place."""
    reactor = IdleReactor()
    watch = ReactorWatch(reactor, 0.1, ME, Counts())
    frame, _kept = frame_in("/srv/shop/views.py")
    for now in (10.0, 10.0625, 10.125, 10.1875, 10.25, 12.0):
        assert watch.look({ME: frame}, now, 0.0, at_once)
    assert len(said) == 1
    assert said[0].startswith(
        "code outside of requests has held up all other requests for 0.12 s so far,"
        " at /srv/shop/views.py:2 in view\n"
    )
    reactor.turn()
    for now in (20.0, 20.25, 20.5):
        watch.look({ME: frame}, now, 0.0, at_once)
    assert len(said) == 1


def test_a_busy_reactor_is_not_held(said):
    """A reactor that has its turns between the looks blocks nobody, however busy it is."""
    reactor = IdleReactor()
    watch = ReactorWatch(reactor, 0.1, ME, Counts())
    frame, _kept = frame_in("/srv/shop/views.py")
    for now in range(10):
        watch.look({ME: frame}, float(now), 0.0, at_once)
        reactor.turn()
    assert said == []


def test_an_idle_reactor_is_left_alone():
    """A reactor that waits for the system is not asked anything."""
    reactor = IdleReactor()
    watch = ReactorWatch(reactor, 0.1, ME, Counts())
    waiting = reactor.doIteration(None)
    next(waiting)
    assert not watch.look({ME: waiting.gi_frame}, 1.0, 0.0, at_once)
    assert reactor.asked == []


@pytest.mark.parametrize(
    ("files", "place"),
    [
        (["/srv/app.py", "/x/site-packages/lib.py", "json/decoder.py"], "/srv/app.py"),
        (["/x/site-packages/lib.py", "json/decoder.py"], "/x/site-packages/lib.py"),
        (["json/decoder.py"], "json/decoder.py"),
    ],
)
def test_the_place_is_that_of_the_app(files, place):
    """The place is the innermost line of the app, else of a library, else of Python."""

    library = Path(json.__file__).parents[1]
    space = {"sys": __import__("sys"), "found": []}
    for number, file in enumerate(reversed(files)):
        path = file if file.startswith("/") else str(library / file)
        inner = f"f{number - 1}()" if number else "found.append(sys._getframe())"
        exec(compile(f"def f{number}(): {inner}; return None\n", path, "exec"), space)

    thread = threading.Thread(target=space[f"f{len(files) - 1}"])
    thread.start()
    thread.join()
    assert stack_of(space["found"][0]).place.file.endswith(place)


def test_a_wait_for_a_thread_is_said_once():
    """All threads are busy when a task has waited for a second; it is said again only after a quiet time."""
    queue = QueueWatch()
    looks = [(4, 4, 0.0), (4, 6, 1.0), (4, 7, 1.5), (4, 7, 2.0), (4, 9, 9.0), (9, 9, 10.0), (9, 10, 11.0)]
    assert [queue.look(*look) for look in looks] == [False, False, False, True, False, False, False]
    assert [queue.look(*look) for look in [(9, 11, 12.0), (9, 11, 13.0)]] == [False, False]
    assert [queue.look(*look) for look in [(11, 11, 14.0), (11, 12, 60.0), (11, 12, 61.0)]] == [
        False, False, True,
    ]  # fmt: skip


def test_a_queue_that_moves_is_no_wait():
    """A queue that is never empty is fine as long as every task begins soon."""
    queue = QueueWatch()
    assert not any(queue.look(number * 10, number * 10 + 8, number / 2) for number in range(100))


def test_slow_and_busy_threads(said):
    """A slow task is named once for its place; when all threads are busy, each is listed."""
    counts = Counts()
    watch = ThreadsWatch(10.0, counts)
    frame, _kept = frame_in("/srv/shop/views.py")
    executor = BusyExecutor((7, 100.0), (8, 95.0), begun=2, handed_out=3)
    for now in (104.0, 104.5):
        assert watch.look({executor: ["/shop"]}, {7: frame, 8: frame}, now, at_once)
    assert said == []
    for now in (105.0, 105.5, 111.0):
        watch.look({executor: ["/shop"]}, {7: frame, 8: frame}, now, at_once)
    assert len(said) == 2
    assert said[0] == (
        "all 2 threads of /shop are busy, and requests wait (1, the first for 1 s):"
        " raise `threads`, or see what takes long\n"
        "code outside of requests, for 5.0 s, at /srv/shop/views.py:2 in view\n"
        "code outside of requests, for 10.0 s, at /srv/shop/views.py:2 in view"
    )
    assert said[1].startswith("slow: code outside of requests, for 10.0 s, at /srv/shop/views.py:2 in view\n")
    assert not watch.look({BusyExecutor(): ["/"]}, {}, 112.0, at_once)
    assert (counts.busy, counts.slow) == (1, 2)
