import threading

import pytest
from call_fakes import ManualService, World
from twisted.internet.defer import ensureDeferred

from skitai.calls.operation import Operation
from skitai.calls.result import Result
from skitai.services.cache import MemoryCache


def shout(result):
    result.data = result.data.upper()
    return result


class Counting:
    def __init__(self):
        self.threads = []

    def __call__(self, result):
        self.threads.append(threading.get_ident())
        return Result(b"<" + result.data + b">")


def test_runs_once_where_the_app_waits(world, apps):
    """The filter runs in the waiting thread or greenlet, once; the result stays the same."""
    counting = Counting()
    call = world.ask("a", filter=counting)
    world.asked[0].deferred.callback(b"data")
    assert counting.threads == []

    def app():
        results = [call.getwait(), call.getwait(0), call.getswait()[0]]
        return results, threading.get_ident()

    results, ident = apps.run(app)
    assert counting.threads == [ident]
    assert [result.data for result in results] == [b"<data>"] * 3
    assert results[0] is results[1] is results[2]
    assert call.original.data == b"data"


def test_a_filter_that_ends_the_program_ends_the_wait(world):
    """What a filter raises reaches a coroutine whatever it is: its request does not hang."""

    def leave(_result):
        raise SystemExit(3)

    failures = []
    world.ask("a", filter=leave).deferred().addErrback(failures.append)
    world.asked[0].deferred.callback(b"data")
    assert failures[0].check(SystemExit)


def test_the_result_of_another_call_stays_as_it_is(world, apps):
    """A filter may return what another call gave: that keeps its own place in the cache."""
    world.dispatcher.cache = MemoryCache(10, world.reactor.seconds)
    world.service.reaction = lambda asked: Result(asked.node.label.encode())
    other = world.ask("b", key="b").getwait()
    assert apps.run(world.ask("a", key="a", filter=lambda _: other).getwait).data == b"b:80"
    other.cache(60)
    assert world.ask("b", key="b").getwait().is_cached
    assert not world.ask("a", key="a").getwait().is_cached


def test_sees_failures(world, apps):
    """A filter is given whatever came, and may put something better in its place."""

    def rescue(result):
        return Result(b"default") if result.status != 3 else result

    call = world.ask("a", filter=rescue)
    assert call.status == 0
    result = apps.run(lambda: call.getwait(0))
    assert (result.status, result.data, call.status) == (3, b"default", 3)


def test_what_it_raises_is_raised_each_time(world, apps):
    """The exception of a filter reaches the app, from every wait, and the filter runs once."""
    runs = []

    def fail(result):
        runs.append(1)
        raise KeyError("price")

    call = world.ask("a", filter=fail)
    world.asked[0].deferred.callback(b"data")
    for wait in (call.getwait, call.getswait, call.wait):
        with pytest.raises(KeyError, match="price"):
            apps.run(wait)
    assert runs == [1]


def test_must_return_a_result(world, in_greenlets):
    """A filter that forgot its ``return`` is told."""
    call = world.ask("a", filter=lambda result: None)
    world.asked[0].deferred.callback(b"data")
    with pytest.raises(TypeError, match=r"must return a result.*not None"):
        in_greenlets.run(call.getwait)


def test_must_be_callable():
    """A filter that cannot be called is refused when the app asks."""
    with pytest.raises(TypeError, match="filter must be callable"):
        Operation("a", filter="upper")


def test_map(world, in_greenlets):
    """Each result of a map is filtered by itself."""
    group = world.ask.map("@c", filter=shout)
    for asked in world.asked:
        asked.deferred.callback(asked.node.host.encode())
    assert in_greenlets.run(group.getswait).data == [b"A", b"B", b"C"]


@pytest.mark.parametrize("early", [True, False])
def test_await(world, early):
    """A coroutine gets the filtered result, or what the filter raises."""

    async def view(call):
        return (await call).data

    good, bad = world.ask("a", filter=shout), world.ask("a", filter=lambda _: 1 / 0)
    if early:
        waiting = [ensureDeferred(view(call)) for call in (good, bad)]
    for asked in world.asked:
        asked.deferred.callback(b"data")
    if not early:
        waiting = [ensureDeferred(view(call)) for call in (good, bad)]
    seen = []
    waiting[0].addBoth(seen.append)
    waiting[1].addErrback(lambda failure: seen.append(failure.type))
    assert seen == [b"DATA", ZeroDivisionError]
    assert world.reactor.getDelayedCalls() == []


def test_two_wait_while_it_runs(world, in_greenlets):
    """Who comes while another's filter waits for something gets the result of that one run."""
    runs = []

    def slow(result):
        runs.append(1)
        return world.ask("b").getwait(60)

    call = world.ask("a", filter=slow)
    world.asked[0].deferred.callback(b"data")
    first, second = in_greenlets.start(call.getwait), in_greenlets.start(call.getwait)
    third = []
    call.deferred().addCallback(third.append)
    world.asked[1].deferred.callback(b"better")
    results = [in_greenlets.finish(first), in_greenlets.finish(second), *third]
    assert [result.data for result in results] == [b"better"] * 3
    assert runs == [1]


def test_one_that_waits_for_its_own_call(world, in_greenlets):
    """A filter that waits for the call that it filters is told after a while, and does not hang."""
    call = world.ask("a", filter=lambda _: call.getwait())
    world.asked[0].deferred.callback(b"data")
    future = in_greenlets.start(call.getwait)
    world.reactor.advance(5)
    assert "filter takes longer" in str(future.exception())


def test_service_of_plain_data():
    """A filter is given a result also where the service gave plain data."""
    world = World(service=ManualService(lambda _: b"data"))
    assert world.ask("a", filter=shout).getwait().data == b"DATA"
