"""What stands for a Deferred in short calls."""

import pytest
from call_fakes import World
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from skitai.calls.outcome import Outcome


class Work(Outcome):
    """It notes that it was stopped; ``at_stop`` is called then."""

    __slots__ = ("at_stop", "stopped")

    def __init__(self, at_stop=lambda: None):
        super().__init__()
        self.stopped, self.at_stop = 0, at_stop

    def _stop(self):
        self.stopped += 1
        self.at_stop()


@pytest.fixture
def work():
    return Work()


@pytest.fixture
def seen():
    return []


class TestFiring:
    def test_calls_the_function(self, work, seen):
        """The function gets the value, and what was given with it."""
        work.addBoth(lambda *args: seen.append(args), 1, 2)
        assert (work.called, seen) == (False, [])
        work.callback("value")
        assert (work.called, seen) == (True, [("value", 1, 2)])

    def test_before_there_is_a_function(self, work, seen):
        """What has fired before calls the function at once."""
        work.callback("value")
        work.addBoth(seen.append)
        assert seen == ["value"]

    def test_with_an_error(self, work, seen):
        """An exception comes as a Failure, by default the one that is being handled."""
        work.addBoth(seen.append)
        work.errback(ConnectionLost())
        assert seen[0].check(ConnectionLost)
        other = Work()
        other.addBoth(seen.append)
        try:
            raise ValueError("handled")
        except ValueError:
            other.errback()
        assert seen[1].check(ValueError)


class TestCancelling:
    def test_stops(self, work, seen):
        """It is stopped, and fires with CancelledError."""
        work.addBoth(seen.append)
        work.cancel()
        assert work.stopped == 1
        assert seen[0].check(CancelledError)

    def test_that_fires(self, seen):
        """What is stopped may say itself how it ends."""
        work = Work(at_stop=lambda: work.callback("stopped"))
        work.addBoth(seen.append)
        work.cancel()
        assert seen == ["stopped"]

    def test_after_the_end(self, work, seen):
        """What is over cannot be stopped."""
        work.addBoth(seen.append)
        work.callback("value")
        work.cancel()
        assert (work.stopped, seen) == (0, ["value"])


class TestDeferred:
    def test_fires_with_the_same(self, work, seen):
        """Who wants a Deferred gets one."""
        work.deferred().addCallback(seen.append)
        work.callback("value")
        assert seen == ["value"]

    def test_fails(self, work, seen):
        """A Failure makes it fail."""
        work.deferred().addErrback(seen.append)
        work.callback(Failure(ConnectionLost()))
        assert seen[0].check(ConnectionLost)

    def test_cancelling(self, work, seen):
        """Cancelling it stops the work."""
        deferred = work.deferred()
        deferred.addErrback(seen.append)
        deferred.cancel()
        assert work.stopped == 1
        assert seen[0].check(CancelledError)


class TestCalls:
    """Calls of a service that returns one."""

    @pytest.fixture
    def world(self, work, monkeypatch):
        world = World()
        monkeypatch.setattr(world.service, "perform", lambda node, operation: work)
        return world

    @pytest.mark.parametrize("target", ["a", "@c"])
    def test_result(self, world, work, target):
        """The call has its result when it fires, of one node or of a cluster's member."""
        call = world.ask(target)
        work.callback(b"data")
        assert call.getwait().data == b"data"

    @pytest.mark.parametrize("target", ["a", "@c"])
    def test_cancelling(self, world, work, target):
        """A call that is given up stops it."""
        call = world.ask(target)
        call.cancel()
        assert work.stopped == 1
        assert call.getwait().status == 2
        assert world.dispatcher.in_flight == 0
