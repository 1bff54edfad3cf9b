"""What counts as blocking, and as busy: all by a clock of the test's own."""

import json
import threading
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from zope.interface import implementer, implementer_only

from skitai.interfaces import IExecutor, IThreadExecutor
from skitai.loop.lines import Limits, Lines
from skitai.worker.watch.blocking import Hold, Places
from skitai.worker.watch.counts import Counts
from skitai.worker.watch.queues import News, QueueWatch, Refusals
from skitai.worker.watch.reactor import ReactorWatch
from skitai.worker.watch.reports import report_all_busy
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


class CountingReactor(IdleReactor):
    """One that counts how often it has waited, as a ShortReactor does: it is never asked."""

    waits = 0
    is_waiting = False

    def callFromThread(self, function):
        pytest.fail("it was woken")

    def turn(self):
        self.waits += 1


REACTORS = pytest.mark.parametrize("kind", [IdleReactor, CountingReactor])


@implementer(IThreadExecutor)
class BusyExecutor:
    """An executor with tasks that the test makes up."""

    def __init__(self, *tasks, clock=None):
        self.running = list(tasks)
        self.lines = Lines(lambda: None, lambda: 0, seconds=(clock or Clock()).seconds)

    def tasks(self):
        return self.running

    def statistics(self):
        return {"running": len(self.running), "queued": self.lines.queued, "threads": 2}


@implementer_only(IExecutor)
class CrowdedExecutor(BusyExecutor):
    """One with greenlets."""


def test_only_thread(log_lines):
    """One thread is not "all 1 threads"."""
    report_all_busy(["/shop"], 1, ["GET /slow, for 1.0 s"], 2, 0)
    assert log_lines == [
        "the only thread of /shop is busy, and requests wait too long (2 wait, 0 got 503 so far):"
        " raise `threads`, or see what takes long\nGET /slow, for 1.0 s"
    ]


@pytest.mark.parametrize(
    ("threads", "tasks", "begin", "rest"),
    [
        (4, ["GET /slow, for 0.1 s"], "all 4 threads of /shop were", "\nGET /slow, for 0.1 s"),
        (4, [], "all 4 threads of /shop were", ""),
        (1, [], "the only thread of /shop was", ""),
    ],
)
def test_threads_that_were_busy_a_moment_ago(log_lines, threads, tasks, begin, rest):
    """How many run something at the look does not say how many there are."""
    report_all_busy(["/shop"], threads, tasks, 0, 51)
    assert log_lines == [
        f"{begin} busy, and requests waited too long (0 wait, 51 got 503 so far):"
        f" raise `threads`, or see what takes long{rest}"
    ]


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


@REACTORS
def test_the_reactor_is_held(log_lines, kind):
    """Code that holds the reactor is named with its line and for how long, once for each place."""
    reactor = kind()
    watch = ReactorWatch(reactor, 0.1, ME, Counts())
    frame, _kept = frame_in("/srv/shop/views.py")
    for now in (10.0, 10.0625, 10.125, 10.1875, 10.25, 12.0):
        assert watch.look({ME: frame}, now, 0.0, at_once)
    assert len(log_lines) == 1
    assert log_lines[0].startswith(
        "code outside of requests has held up all other requests for 0.12 s so far,"
        " at /srv/shop/views.py:2 in view\n"
    )
    reactor.turn()
    for now in (20.0, 20.25, 20.5):
        watch.look({ME: frame}, now, 0.0, at_once)
    assert len(log_lines) == 1


@REACTORS
def test_a_busy_reactor_is_not_held(log_lines, kind):
    """A reactor that has its turns between the looks blocks nobody, however busy it is."""
    reactor = kind()
    watch = ReactorWatch(reactor, 0.1, ME, Counts())
    frame, _kept = frame_in("/srv/shop/views.py")
    for now in range(10):
        watch.look({ME: frame}, float(now), 0.0, at_once)
        reactor.turn()
    assert log_lines == []


def test_an_idle_reactor_is_left_alone():
    """A reactor that waits for the system is not asked anything."""
    reactor = IdleReactor()
    watch = ReactorWatch(reactor, 0.1, ME, Counts())
    waiting = reactor.doIteration(None)
    next(waiting)
    assert not watch.look({ME: waiting.gi_frame}, 1.0, 0.0, at_once)
    assert reactor.asked == []
    assert not watch.is_waiting  # that took a look


def test_a_reactor_that_says_that_it_waits_needs_no_look(log_lines):
    """Its stack is not asked for, and what held it before does so no more."""
    reactor = CountingReactor()
    watch = ReactorWatch(reactor, 0.1, ME, Counts())
    frame, _kept = frame_in("/srv/shop/views.py")
    assert not watch.is_waiting
    assert watch.look({ME: frame}, 1.0, 0.0, at_once)
    reactor.is_waiting = True
    assert watch.is_waiting
    assert not watch.look({}, 1.05, 0.0, at_once)
    reactor.is_waiting = False
    reactor.turn()
    for now in (1.11, 1.2):
        assert watch.look({ME: frame}, now, 0.0, at_once)
    assert log_lines == []


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


def test_a_long_wait_is_said_once_and_so_is_its_end():
    """It begins when a task has waited for a second, and is over when that has not been for a while."""
    queue = QueueWatch()
    looks = [(0.0, 0.0), (0.9, 1.0), (1.1, 1.5), (3.0, 4.0), (0.0, 5.0), (1.0, 9.0), (0.1, 39.0), (0.1, 39.5)]
    news = [queue.look(waited, Refusals(), now) for waited, now in looks]
    assert news == [News.NONE, News.NONE, News.BEGUN, *[News.NONE] * 4, News.OVER]
    assert queue.look(0.0, Refusals(), 99.0) is News.NONE
    assert queue.look(1.0, Refusals(), 100.0) is News.BEGUN


@pytest.mark.parametrize("refusals", [Refusals(full=1), Refusals(late=1)])
def test_a_refusal_is_a_long_wait(refusals):
    """Where requests are refused, nobody waits for a second; those that leave are no reason."""
    queue = QueueWatch()
    assert queue.look(0.1, Refusals(left=9), 1.0) is News.NONE
    assert queue.look(0.1, refusals, 2.0) is News.BEGUN
    assert queue.look(0.1, refusals, 3.0) is News.NONE
    assert queue.last.since(queue.before).refused == 1


def test_slow_and_busy_threads(log_lines):
    """A slow task is named once for its place; when requests wait long, each thread is listed."""
    clock, counts = Clock(), Counts()
    clock.advance(100)
    watch, (frame, _kept) = ThreadsWatch(10.0, counts), frame_in("/srv/shop/views.py")
    executor = BusyExecutor((7, 100.0), (8, 95.0), clock=clock)

    def look():
        return watch.look({executor: ["/shop"]}, {7: frame, 8: frame}, clock.seconds(), at_once)

    clock.advance(4)
    executor.lines.submit(lambda: None)
    executor.lines.hand_out()
    assert look()
    assert log_lines == []
    for _ in range(3):
        clock.advance(1)
        look()
    assert len(log_lines) == 2
    assert log_lines[0] == (
        "all 2 threads of /shop are busy, and requests wait too long (1 wait, 0 got 503 so far):"
        " raise `threads`, or see what takes long\n"
        "code outside of requests, for 5.0 s, at /srv/shop/views.py:2 in view\n"
        "code outside of requests, for 10.0 s, at /srv/shop/views.py:2 in view"
    )
    assert log_lines[1].startswith(
        "slow: code outside of requests, for 10.0 s, at /srv/shop/views.py:2 in view\n"
    )
    clock.advance(5)
    look()
    assert counts == Counts(slow=2, busy=1)
    assert len(log_lines) == 2  # the second slow one is at the same place
    executor.lines.take(clock.seconds())
    executor.running.clear()
    clock.advance(29)
    assert look()  # or the watching thread would sleep, and not see the end
    clock.advance(2)
    assert not look()
    assert log_lines[2:] == [
        "requests of /shop do not wait too long any more: in 38 s, 0 got 503 (0 after waiting, 0 at once),"
        " and 0 were not begun because their clients had left"
    ]
    assert counts == Counts(slow=2, busy=1)


def test_greenlets_that_do_not_keep_up(log_lines):
    """There are no threads to show; what to do is said."""
    executor, counts = CrowdedExecutor(), Counts()
    line = executor.lines.line("/live", Limits(queue_max=0))
    watch = ThreadsWatch(10.0, counts)
    watch.look({executor: ["/live"]}, {}, 1.0, at_once)
    line.full += 3
    for now in (2.0, 3.0):
        watch.look({executor: ["/live"]}, {}, now, at_once)
    assert log_lines == [
        "requests of /live wait too long (0 wait, 3 got 503 so far): one thread cannot do what they compute;"
        " see what takes long, or raise `threads` or `processes`"
    ]
    assert counts.busy == 1
