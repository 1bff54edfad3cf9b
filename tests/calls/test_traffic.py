import pytest
from call_fakes import Apps, FakeReactor, ManualService, World
from twisted.logger import capturedLogs

from skitai.calls.call import Call
from skitai.calls.operation import Operation
from skitai.calls.traffic import CallLimits, Traffic


@pytest.fixture
def narrow():
    """Two calls under way and three that wait."""
    return World(limits=CallLimits(calls_max=2, calls_queue_max=3))


def asked(world):
    return [asked.operation.request for asked in world.asked]


def counts(world):
    statistics = world.dispatcher.statistics()
    return statistics["in_flight"], statistics["queued"]


def test_calls_queue_in_order(narrow):
    """Beyond the limit calls wait, and start in the order in which they came as others end."""
    for number in range(5):
        narrow.ask("a", number)
    assert asked(narrow) == [0, 1]
    assert counts(narrow) == (2, 3)
    narrow.asked[1].deferred.callback(b"")
    assert asked(narrow) == [0, 1, 2]
    narrow.asked[0].deferred.errback(OSError())
    narrow.asked[2].deferred.callback(b"")
    assert asked(narrow) == [0, 1, 2, 3, 4]
    assert counts(narrow) == (2, 0)


def test_beyond_the_queue_a_call_fails_at_once(narrow):
    """When the queue is full as well, the result says so and names the keys of the config."""
    for number in range(5):
        narrow.ask("a", number)
    result = narrow.ask("a").getwait()
    assert (result.status, result.code) == (2, 707)
    assert result.msg == (
        "too many calls: 2 are under way and 3 wait (calls_max and calls_queue_max in the config)"
    )
    assert result.error.url == "a"


def test_one_that_waits_can_time_out_or_be_cancelled(narrow):
    """A call that ends in the queue leaves it, and is never sent."""
    calls = [narrow.ask("a", number) for number in range(5)]
    late = Apps(narrow.reactor, "greenlet").start(lambda: calls[2].getwait(2).status)
    narrow.reactor.advance(2)
    calls[3].cancel()
    assert late.result() == 1
    assert counts(narrow) == (2, 1)
    narrow.asked[0].deferred.callback(b"")
    assert asked(narrow) == [0, 1, 4]


def test_time_out_frees_the_place_of_the_next(narrow):
    """What is cancelled while it is under way makes room."""
    calls = [narrow.ask("a", number) for number in range(3)]
    calls[0].cancel()
    assert asked(narrow) == [0, 1, 2]
    assert counts(narrow) == (2, 0)


def test_stop_fails_those_that_wait_and_starts_none(narrow):
    """When the server stops, nobody's turn comes any more."""
    calls = [narrow.ask("a", number) for number in range(5)]
    narrow.dispatcher.stop()
    assert [call.code for call in calls] == [705] * 5
    assert asked(narrow) == [0, 1]
    assert counts(narrow) == (0, 0)


def test_many_that_are_answered_at_once():
    """A long queue of calls that are answered as soon as they start takes no stack."""
    first = []

    def react(asked):
        if not first:
            first.append(asked)
            return asked.deferred
        return b"at once"

    world = World(service=ManualService(react), limits=CallLimits(calls_max=1, calls_queue_max=5000))
    calls = [world.ask("a") for _ in range(3000)]
    first[0].deferred.callback(b"")
    assert {call.status for call in calls} == {3}
    assert counts(world) == (0, 0)


def test_who_comes_while_the_queue_moves_waits_behind_it(in_greenlets):
    """A call that an app makes when its last one ends does not overtake those that wait."""
    world = World(in_greenlets.reactor, limits=CallLimits(calls_max=1, calls_queue_max=10))

    def app():
        world.ask("a", "first").getwait()
        return world.ask("a", "late")

    in_greenlets.start(app)
    world.ask("a", "second")
    world.ask("a", "third")
    for number in range(4):
        world.asked[number].deferred.callback(b"")
        world.reactor.turn()
    assert asked(world) == ["first", "second", "third", "late"]


def test_a_map_counts_each_member(narrow):
    """A map over three members is three calls."""
    narrow.ask.map("@c")
    assert counts(narrow) == (2, 1)


def test_no_queue_at_all():
    """Without a queue, what is too much fails at once."""
    world = World(FakeReactor(), limits=CallLimits(calls_max=1, calls_queue_max=0))
    assert [world.ask("a").code for _ in range(3)] == [0, 707, 707]


class Starter:
    """Starts its call, or fails to."""

    def __init__(self, world, error=None):
        self.call = Call(world.bridge, Operation("a"))
        self.error = error
        self.has_begun = False

    def begin(self):
        if self.error is not None:
            raise self.error
        self.has_begun = True


@pytest.mark.parametrize("waits", [False, True])
def test_a_call_that_cannot_be_started(narrow, waits):
    """It fails, and neither takes a place for good nor holds up those that wait."""
    traffic = Traffic(CallLimits(calls_max=1))
    before = Starter(narrow)
    if waits:
        traffic.enter(before)
    broken, after = Starter(narrow, ValueError("no")), Starter(narrow)
    with capturedLogs() as logged:
        traffic.enter(broken)
        traffic.enter(after)
        traffic.leave(before.call)
    assert broken.call.getwait().msg == "ValueError: no"
    assert after.has_begun
    assert (traffic.under_way, traffic.waiting) == (1, 0)
    assert len(logged) == 1


def test_ending_the_calls(narrow):
    """What is under way or waits fails, and calls that come later are started."""
    calls = [narrow.ask("a", number) for number in range(3)]
    narrow.dispatcher.end_calls()
    assert [call.code for call in calls] == [705, 705, 705]
    narrow.ask("a", "later")
    assert asked(narrow) == [0, 1, "later"]
