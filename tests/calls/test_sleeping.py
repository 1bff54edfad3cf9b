"""``was.sleep``: it waits wherever code may wait, and no longer than the server runs."""

import pytest
from twisted.internet.defer import CancelledError

from serving import eventually
from skitai.context import ServiceTable, Was
from skitai.errors import OperationError


@pytest.fixture
def was(world):
    return Was(ServiceTable(world.dispatcher, {}, {}))


def timers(world):
    return world.reactor.getDelayedCalls()


def test_in_a_greenlet(world, in_greenlets, was):
    """A greenlet goes on when its time has come, and others do meanwhile."""
    slept = in_greenlets.start(lambda: was.sleep(2))
    world.reactor.advance(1.9)
    assert not slept.done()
    world.reactor.advance(0.1)
    world.reactor.turn()
    assert slept.result() is None
    assert timers(world) == []


def test_in_a_thread(world, in_threads, was):
    """A thread sleeps as long by its own clock."""
    assert in_threads.run(lambda: was.sleep(0.001)) is None


def test_not_at_all(apps, was):
    """No time is a time, too."""
    assert apps.run(lambda: was.sleep(0)) is None


@pytest.mark.parametrize(
    ("seconds", "error"),
    [
        (-1, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        ("1", TypeError),
        (None, TypeError),
    ],
)
def test_no_time(was, seconds, error):
    """What is no number of seconds is refused."""
    with pytest.raises(error, match="seconds must be"):
        was.sleep(seconds)


@pytest.mark.parametrize("end", ["end_calls", "stop"])
def test_the_server_stops(world, apps, was, end):
    """The stop of the server ends a sleep as it ends calls: with an error."""
    slept = apps.start(lambda: was.sleep(3600))
    eventually(lambda: world.dispatcher.sleeping, "a sleep")
    getattr(world.dispatcher, end)()
    with pytest.raises(OperationError, match="the server is stopping") as caught:
        apps.finish(slept)
    assert caught.value.code == 705
    assert world.dispatcher.sleeping == 0


def test_after_the_stop(world, apps, was):
    """Nobody begins to sleep where the server has stopped."""
    world.dispatcher.stop()
    with pytest.raises(OperationError, match="the server is stopping"):
        apps.run(lambda: was.sleep(3600))


class TestInTheReactor:
    """A coroutine awaits it."""

    def test_fires(self, world, was):
        """The Deferred fires with None when the time is over."""
        done = []
        was.sleep(1).addCallback(done.append)
        world.reactor.advance(0.9)
        assert done == []
        world.reactor.advance(0.1)
        assert done == [None]
        assert world.dispatcher.sleeping == 0

    def test_cancelled(self, world, was):
        """A coroutine that is cancelled leaves no timer behind."""
        sleep = was.sleep(1)
        sleep.cancel()
        assert isinstance(sleep.result.value, CancelledError)
        sleep.addErrback(lambda _: None)
        assert (timers(world), world.dispatcher.sleeping) == ([], 0)

    def test_the_server_stops(self, world, was):
        """The stop of the server fails it, now and later."""
        first = was.sleep(1)
        world.dispatcher.stop()
        for sleep in (first, was.sleep(1)):
            failures = []
            sleep.addErrback(failures.append)
            assert failures[0].value.code == 705
        assert (timers(world), world.dispatcher.sleeping) == ([], 0)
