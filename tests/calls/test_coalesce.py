import pytest
from call_fakes import Apps, FakeReactor, ManualService, World

from skitai.calls.cluster import TIMEOUTS_MAX
from skitai.calls.result import Result
from skitai.errors import OperationError
from skitai.services.cache import MemoryCache


@pytest.fixture
def world():
    reactor = FakeReactor()
    return World(reactor, coalesce=True, cache=MemoryCache(9, reactor.seconds))


def test_equal_requests_are_sent_once(world, apps):
    """Calls that ask the same at the same time share one request; each has a result of its own."""
    calls = [world.ask("a", key="k") for _ in range(3)]
    assert len(world.asked) == 1
    assert world.dispatcher.statistics()["coalesced"] == 2
    world.asked[0].deferred.callback(Result(b"data", code=201))
    results = [apps.run(call.getwait) for call in calls]
    assert [(result.code, result.data) for result in results] == [(201, b"data")] * 3
    assert len({id(result) for result in results}) == 3
    assert world.dispatcher.in_flight == 0


def test_failures_are_shared(world):
    """When the one request fails, all calls fail with its code."""
    calls = [world.ask("a", key="k") for _ in range(2)]
    world.asked[0].deferred.errback(OperationError("broken", code=706))
    assert [call.code for call in calls] == [706, 706]
    assert [call.getwait().node.label for call in calls] == ["a:80", "a:80"]


def test_the_next_one_asks_again(world):
    """An answer is for those who were waiting; who comes later wants a newer one."""
    world.ask("a", key="k")
    world.asked[0].deferred.callback(b"")
    world.ask("a", key="k")
    assert len(world.asked) == 2


def test_an_app_that_asks_again_at_once(world):
    """An app that is woken by the answer and asks the same gets a new request."""
    greenlets = Apps(world.reactor, "greenlet")
    future = greenlets.start(lambda: [world.ask("a", key="k").getwait().data for _ in range(2)])
    world.asked[0].deferred.callback(1)
    world.reactor.turn()
    world.asked[1].deferred.callback(2)
    assert greenlets.finish(future) == [1, 2]


def test_cancelling_one_leaves_the_others(world):
    """The first who asked may give up: the others get their answer."""
    first, second = (world.ask("a", key="k") for _ in range(2))
    first.cancel()
    assert world.asked[0].cancelled == 0
    world.asked[0].deferred.callback(b"data")
    assert (first.code, second.getwait().data) == (705, b"data")


def test_the_last_cancels_the_request(world):
    """When nobody waits any longer, the request is cancelled, and the next call is a new one."""
    for call in [world.ask("a", key="k") for _ in range(2)]:
        call.cancel()
    assert world.asked[0].cancelled == 1
    assert world.dispatcher.in_flight == 0
    world.ask("a", key="k")
    assert len(world.asked) == 2


def test_each_has_its_own_deadline(world):
    """The time of each call counts from its own creation."""
    greenlets = Apps(world.reactor, "greenlet")
    first = greenlets.start(lambda: world.ask("a", key="k").getwait(2))
    world.reactor.advance(1)
    second = greenlets.start(lambda: world.ask("a", key="k").getwait(2))
    world.reactor.advance(1)
    result = greenlets.finish(first)
    assert (result.status, result.node.label) == (1, "a:80")
    assert not second.done()
    world.asked[0].deferred.callback(b"data")
    assert greenlets.finish(second).data == b"data"


def test_a_member_that_hangs_is_left_alone(world):
    """That nobody waits any longer counts against the machine, as for a request that is not shared."""
    greenlets = Apps(world.reactor, "greenlet")
    a = world.cluster.members[0]
    for number in range(TIMEOUTS_MAX):
        assert a.failures == 0
        world.cluster.pick([a])  # so that it is a's turn again
        world.cluster.pick([a])
        future = greenlets.start(lambda number=number: world.ask.lb("@c", key=number).getwait(1))
        world.reactor.advance(1)
        assert greenlets.finish(future).node is a.node
    assert a.failures == 1


@pytest.mark.parametrize(
    "options", [{"idempotent": False}, {"use_cache": False}, {"key": None}, {"key": "other"}]
)
def test_what_is_not_the_same_is_not_shared(world, options):
    """What must not be done twice, must be fresh, or is another request is asked for itself."""
    world.ask("a", key="k")
    for _ in range(2):
        world.ask("a", **{"key": "k", **options})
    assert len(world.asked) == (2 if options == {"key": "other"} else 3)


def test_clusters_and_caching(world):
    """A request that is shared fails over, and its result may be kept by any of those who got it."""
    calls = [world.ask.lb("@c", key="k") for _ in range(2)]
    world.asked[0].deferred.errback(OperationError("broken"))
    world.asked[1].deferred.callback(b"data")
    calls[1].cache(60)
    assert world.ask("@c", key="k").getwait().is_cached is True
    assert len(world.asked) == 2


def test_an_answer_at_once():
    """A service that answers at once leaves nothing behind."""
    world = World(service=ManualService(lambda _: b"data"), coalesce=True)
    assert [world.ask("a", key="k").getwait().data for _ in range(2)] == [b"data"] * 2
    assert len(world.asked) == 2


def test_stop(world):
    """When the server stops, all who share a request are told."""
    calls = [world.ask("a", key="k") for _ in range(2)]
    world.dispatcher.stop()
    assert [call.code for call in [*calls, world.ask("a", key="k")]] == [705] * 3
    assert world.asked[0].cancelled == 1


def test_off_by_default():
    """Unless the config says so, each call is a request."""
    world = World()
    for _ in range(2):
        world.ask("a", key="k")
    assert len(world.asked) == 2
