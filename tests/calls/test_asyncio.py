"""Calls in the coroutines of an app's own asyncio loop."""

import asyncio
import threading
from functools import partial

import pytest
from twisted.logger import globalLogPublisher

from skitai.calls.gather import as_completed, gather


@pytest.fixture
def in_loop(world, in_threads):
    """Run a coroutine function in an asyncio loop of a thread."""
    return lambda function: in_threads.run(lambda: asyncio.run(function()))


def answer(world, number, data):
    world.bridge.submit(lambda: world.asked[number].deferred.callback(data))


def test_a_call(world, in_loop):
    """It gives its result, each time the same, and counts as collected."""

    async def app():
        call = world.ask("a")
        answer(world, 0, b"data")
        return call, await call, await call

    call, first, second = in_loop(app)
    assert first is second
    assert first.data == b"data"
    assert call.collected


def test_calls_wait_together(world, in_loop):
    """Tasks of one loop that await calls do not wait for each other."""

    async def app():
        async def wait(call):
            return (await call).data

        tasks = [asyncio.create_task(wait(world.ask("a"))) for _ in range(3)]
        await asyncio.sleep(0)
        for number in (2, 1, 0):
            answer(world, number, number)
        return await asyncio.gather(*tasks)

    assert in_loop(app) == [0, 1, 2]


def test_groups_and_gather(world, in_loop):
    """Several results come in the order of the arguments, awaited or just looked at."""

    async def app():
        group, others = world.ask.map("@c"), [world.ask("a"), world.ask("b")]
        for number in (4, 3, 2, 1, 0):
            answer(world, number, number)
        awaited = await gather(world.bridge, others, 5)
        return (await group).data, awaited.data, gather(world.bridge, others, 5).data

    assert in_loop(app) == ([0, 1, 2], [3, 4], [3, 4])


def test_gather_does_not_wait_before_it_is_awaited(world, in_loop):
    """The loop goes on while the results are awaited."""

    async def app():
        calls = [world.ask("a"), world.ask("b")]
        waiting = asyncio.ensure_future(gather(world.bridge, calls, 5))
        await asyncio.sleep(0)
        answer(world, 0, 0)
        answer(world, 1, 1)
        return (await waiting).data

    assert in_loop(app) == [0, 1]


def test_as_completed(world, in_loop):
    """Results come in the order of their arrival; a call that is late gives a failed one."""

    async def app():
        calls = [world.ask("a"), world.ask("b"), world.ask("c")]
        answer(world, 1, 1)
        found = []
        async for result in as_completed(world.bridge, calls, 0.05):
            found.append(result.data if result.status == 3 else result.status)
            if found == [1]:
                answer(world, 0, 0)
        return found

    assert in_loop(app) == [1, 0, 1]


def test_deadlines(world, in_loop):
    """They count from the creation of the call; a late call is cancelled."""

    async def app():
        results = await gather(world.bridge, [world.ask("a"), world.ask.map("@c")], 0.02)
        return results.code

    assert in_loop(app) == [702] * 4
    world.reactor.turn()
    # On a slow machine, some may not have begun in time.
    assert {asked.cancelled for asked in world.asked} == {1}


@pytest.mark.parametrize(("kind", "count"), [("call", 1), ("group", 3), ("gather", 4)])
def test_cancelling_the_task_cancels_the_calls(world, in_loop, kind, count):
    """Nothing goes on for a task that is cancelled."""

    async def app():
        if kind == "call":
            waited = world.ask("a")
        elif kind == "group":
            waited = world.ask.map("@c")
        else:
            waited = gather(world.bridge, [world.ask("a"), world.ask.map("@c")], 5)
        task = asyncio.ensure_future(waited)
        while len(world.asked) < count:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    in_loop(app)
    world.reactor.turn()
    assert [asked.cancelled for asked in world.asked] == [1] * count


def test_a_filter_runs_in_the_loop(world, in_loop):
    """Once, where the app waits; what it raises is raised there."""
    threads = []

    def note(result):
        threads.append(threading.get_ident())
        return result

    async def app():
        good, bad = world.ask("a", filter=note), world.ask("b", filter=lambda result: 1 / 0)
        answer(world, 0, b"data")
        answer(world, 1, b"data")
        await asyncio.gather(good, good)
        with pytest.raises(ZeroDivisionError):
            await bad
        return threading.get_ident()

    assert in_loop(app) == threads[0]
    assert len(threads) == 1


def test_a_loop_that_is_closed(world, in_loop):
    """A call that ends later finds nobody, and that is no failure."""

    async def app():
        results = aiter(as_completed(world.bridge, [world.ask("a")], 5))
        left = asyncio.ensure_future(anext(results))
        while not world.asked:
            await asyncio.sleep(0.001)
        return left

    assert in_loop(app).cancelled()
    failures = []
    globalLogPublisher.addObserver(failures.append)
    world.asked[0].deferred.callback(b"late")
    globalLogPublisher.removeObserver(failures.append)
    assert failures == []


def test_a_foreign_loop_in_a_greenlet(world, in_greenlets):
    """It would hold up the reactor if it waited, so awaiting blocks the greenlet instead."""

    async def app():
        call = world.ask("a")
        world.reactor.callLater(0, lambda: answer(world, 0, b"data"))
        return (await call).data

    loop = asyncio.new_event_loop()
    assert in_greenlets.run(lambda: loop.run_until_complete(app())) == b"data"
    loop.close()


def test_greenlets_have_loops_of_their_own(world, in_greenlets):
    """While one waits within its loop, another runs its own; each is back in its own afterwards."""

    def app(number):
        async def main():
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            data = world.ask("a").getwait().data
            assert (asyncio.get_running_loop(), asyncio.current_task()) == (loop, task)
            return data

        loop = asyncio.new_event_loop()
        try:
            return loop.run_until_complete(main())
        finally:
            loop.close()

    futures = [in_greenlets.start(partial(app, number)) for number in range(3)]
    assert asyncio._get_running_loop() is None
    for number in (0, 2, 1):  # they end in another order than they began
        answer(world, number, number)
    assert [in_greenlets.finish(future) for future in futures] == [0, 1, 2]
