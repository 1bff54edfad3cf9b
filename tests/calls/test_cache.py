"""What ``cache()`` does for an app: the same request again is answered without asking anybody."""

import pytest
from call_fakes import Apps, FakeReactor, ManualService, World

from skitai.calls.result import Result
from skitai.context import Caller
from skitai.errors import OperationError
from skitai.services.cache import MemoryCache


@pytest.fixture
def world():
    reactor = FakeReactor()
    return World(reactor, cache=MemoryCache(100, reactor.seconds))


@pytest.fixture
def answering():
    """A world whose nodes answer at once with a number, which rises."""
    reactor, numbers = FakeReactor(), iter(range(100))
    service = ManualService(lambda _: Result(next(numbers)))
    return World(reactor, service, cache=MemoryCache(100, reactor.seconds))


def kept(world, *args, seconds=60, **options):
    """Ask, have the answer kept and return it."""
    result = world.ask(*args, **options).getwait()
    result.cache(seconds)
    return result


class TestOneResult:
    def test_what_the_app_does_with_its_own(self, world):
        """The result that an app had kept is its own: what it changes there is not in what was kept."""
        world.service.reaction = lambda _: Result([2, 1])
        first = kept(world, "a", key="k")
        first.data.sort()
        assert world.ask("a", key="k").getwait().data == [2, 1]

    def test_the_next_one_is_answered_without_a_request(self, answering):
        """A kept result stands for the answer to the same request, and says so."""
        first = kept(answering, "a", key="k")
        again = answering.ask("a", key="k")
        assert len(answering.asked) == 1
        assert (again.status, again.code) == (3, 200)
        result = again.getwait()
        assert (result.data, result.is_cached, first.is_cached) == (0, True, False)
        assert answering.in_flight() == [0, 0, 0, 0]

    def test_all_get_the_same_object(self, answering):
        """Whoever asks gets the very result that is kept."""
        kept(answering, "a", key="k")
        results = {id(answering.ask("a", key="k").getwait()) for _ in range(3)}
        assert len(results) == 1

    def test_apps_in_threads_and_greenlets(self, world, apps):
        """A hit needs no turn of the reactor."""
        call = world.ask("a", key="k")
        world.asked[0].deferred.callback(b"data")
        assert apps.run(lambda: call.cache(60).data) == b"data"
        assert apps.start(lambda: world.ask("a", key="k").getwait().is_cached).result(60) is True

    def test_it_expires(self, answering):
        """When its time is over, the node is asked again."""
        kept(answering, "a", key="k", seconds=60)
        answering.reactor.advance(60)
        assert answering.ask("a", key="k").getwait().data == 1

    def test_a_hit_that_is_cached_again_does_not_live_longer(self, answering):
        """``cache()`` on what the cache gave changes nothing."""
        kept(answering, "a", key="k", seconds=60)
        answering.reactor.advance(59)
        answering.ask("a", key="k").cache(60)
        answering.reactor.advance(1)
        assert answering.ask("a", key="k").getwait().is_cached is False

    @pytest.mark.parametrize(
        "forget", [lambda result: result.cache(0), lambda result: result.cache(-1), lambda r: r.expire()]
    )
    @pytest.mark.parametrize("hit", [False, True])
    def test_it_can_be_forgotten(self, answering, forget, hit):
        """No time at all, or ``expire``, on the result or on a later hit, lets the node be asked again."""
        result = kept(answering, "a", key="k")
        forget(answering.ask("a", key="k").getwait() if hit else result)
        assert answering.ask("a", key="k").getwait().data == 1

    def test_use_cache_false_asks_and_may_keep_the_newer_answer(self, answering):
        """Who wants no kept answer gets a fresh one, and may put it in the place of the old."""
        kept(answering, "a", key="k")
        fresh = answering.ask("a", key="k", use_cache=False).getwait()
        assert (fresh.data, answering.ask("a", key="k").getwait().data) == (1, 0)
        fresh.cache(60)
        assert answering.ask("a", key="k").getwait().data == 1

    @pytest.mark.parametrize(
        ("args", "options"),
        [(("b",), {"key": "k"}), (("a",), {"key": "other"}), (("a",), {}), (("@c",), {"key": "k"})],
    )
    def test_other_requests_are_asked(self, answering, args, options):
        """Another target or key, or none, is another request."""
        kept(answering, "a", key="k")
        assert answering.ask(*args, **options).getwait().is_cached is False

    def test_services_do_not_share(self, answering):
        """The same key under another ``was`` name is another request."""
        kept(answering, "a", key="k")
        other = Caller(answering.dispatcher, answering.service, name="other")
        assert other("a", key="k").getwait().is_cached is False

    @pytest.mark.parametrize("status", [1, 2])
    def test_failures_are_not_kept(self, status):
        """``cache()`` of anything but a normal result does nothing."""
        reactor = FakeReactor()
        service = ManualService(lambda _: Result(status=status, code=701))
        world = World(reactor, service, cache=MemoryCache(9, reactor.seconds))
        kept(world, "a", key="k")
        world.ask("a", key="k")
        assert len(world.asked) == 2

    def test_without_a_cache_nothing_happens(self):
        """Where the config switches the cache off, ``cache()`` and ``expire()`` are harmless."""
        world = World(service=ManualService(lambda _: b"data"))
        kept(world, "a", key="k").expire()
        assert world.ask("a", key="k").cache().is_cached is False

    def test_a_cluster_is_one_place(self, answering):
        """What one member answered stands for all, plain or with lb."""
        kept(answering, "@c/x", key="k")
        assert answering.ask.lb("@c/x", key="k").getwait().is_cached is True

    @pytest.mark.parametrize(
        ("seconds", "error"), [("60", TypeError), (None, TypeError), (float("nan"), ValueError)]
    )
    def test_what_is_no_number(self, answering, seconds, error):
        """A senseless time is refused by name, before anything is waited for."""
        call = answering.ask("a", key="k")
        for cache in (call.cache, call.getwait().cache, call.getswait().cache):
            with pytest.raises(error, match="seconds must be a number"):
                cache(seconds)

    def test_getswait_of_one(self, answering):
        """The results of a single call keep that call's result."""
        answering.ask("a", key="k").getswait().cache(60)
        assert answering.ask("a", key="k").getwait().is_cached is True
        answering.ask("a", key="k").getswait().expire()
        assert answering.ask("a", key="k").getwait().is_cached is False

    def test_use_counts(self, answering):
        """The dispatcher's statistics have the cache's in them."""
        kept(answering, "a", key="k")
        answering.ask("a", key="k")
        statistics = answering.dispatcher.statistics()["cache"]
        assert (statistics["hits"], statistics["stores"], statistics["entries"]) == (1, 1, 1)


class TestMap:
    def test_all_are_kept_together(self, answering):
        """The results of a map are kept and given as a whole, in member order."""
        results = answering.ask.map("@c", key="k").getswait()
        results.cache(60)
        again = answering.ask.map("@c", key="k")
        assert (again.status, again.code) == ([3, 3, 3], [200, 200, 200])
        hit = again.getswait()
        assert (hit.data, hit.is_cached, results.is_cached) == ([0, 1, 2], True, False)
        assert hit[0].is_cached is True
        assert len(answering.asked) == 3

    def test_a_map_is_not_a_single_request(self, answering):
        """What one member said does not stand for all, nor all for one."""
        kept(answering, "@c", key="k")
        assert answering.ask.map("@c", key="k").cache(60).data == [1, 2, 3]
        assert answering.ask("@c", key="k").getwait().data == 0

    def test_one_failure_keeps_none(self, world):
        """Where one member failed, nothing is kept."""
        group = world.ask.map("@c", key="k")
        world.asked[0].deferred.callback(b"")
        world.asked[1].deferred.errback(OperationError("broken"))
        world.asked[2].deferred.callback(b"")
        Apps(world.reactor, "greenlet").run(lambda: group.cache(60))
        world.ask.map("@c", key="k")
        assert len(world.asked) == 6

    @pytest.mark.parametrize("forget", [lambda results: results.cache(0), lambda results: results.expire()])
    def test_they_can_be_forgotten(self, answering, forget):
        """A map is asked again when its results were forgotten, through a hit as well."""
        answering.ask.map("@c", key="k").cache(60)
        forget(answering.ask.map("@c", key="k").getswait())
        assert answering.ask.map("@c", key="k").getswait().is_cached is False

    def test_a_hit_does_not_live_longer(self, answering):
        """``cache()`` on a hit changes nothing."""
        answering.ask.map("@c", key="k").cache(60)
        answering.reactor.advance(59)
        answering.ask.map("@c", key="k").cache(60)
        answering.reactor.advance(1)
        assert answering.ask.map("@c", key="k").getswait().is_cached is False


class TestFilter:
    """What is kept is what came; a filter works on each answer anew."""

    @staticmethod
    def double(result):
        result.data *= 2
        return result

    @pytest.fixture
    def ten(self):
        reactor = FakeReactor()
        return World(reactor, ManualService(lambda _: Result(10)), cache=MemoryCache(9, reactor.seconds))

    def test_one(self, ten):
        """A filter that changes its result sees the original on every hit."""
        for _ in range(3):
            assert ten.ask("a", key="k", filter=self.double).cache(60).data == 20
        assert ten.ask("a", key="k").getwait().data == 10
        assert len(ten.asked) == 1

    def test_map(self, ten):
        """The same for the results of a map."""
        for _ in range(3):
            assert ten.ask.map("@c", key="k", filter=self.double).cache(60).data == [20] * 3
        assert ten.ask.map("@c", key="k").getswait().data == [10] * 3
        assert len(ten.asked) == 3
