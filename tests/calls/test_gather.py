import pytest
from call_fakes import World
from twisted.internet.defer import ensureDeferred

from skitai.calls.gather import as_completed, gather
from skitai.calls.result import Results
from skitai.errors import MisuseError, OperationError


class Proxy:
    """What a service gives that is no call but stands for one."""

    def __init__(self, call):
        self.call = call

    def __was_call__(self):
        return self.call

    def __getattr__(self, name):
        raise AssertionError(f"{name} is a remote method")


def answer(world, number, data):
    world.asked[number].deferred.callback(data)


class TestGather:
    def test_results_come_in_the_order_of_the_calls(self, world, apps):
        """Whoever answers first, the results are in order, those of a map in its place."""
        calls = [world.ask("x"), world.ask.map("@c"), Proxy(world.ask("y"))]
        future = apps.start(lambda: gather(world.bridge, calls, 60))
        for number in (4, 2, 0, 3, 1):
            answer(world, number, number)
        results = apps.finish(future)
        assert isinstance(results, Results)
        assert results.data == [0, 1, 2, 3, 4]

    def test_a_time_out_for_all(self, world, apps):
        """What has not come in time is a failed result among the others."""
        calls = [world.ask("a"), world.ask("a")]
        answer(world, 1, b"data")
        assert apps.run(lambda: gather(world.bridge, calls, 0).status) == [1, 3]
        assert world.dispatcher.in_flight == 0

    def test_time_counts_from_creation(self, world, in_greenlets):
        """Each call has its own deadline."""
        calls = [world.ask("a")]
        world.reactor.advance(1)
        calls.append(world.ask("a"))
        future = in_greenlets.start(lambda: gather(world.bridge, calls, 2))
        world.reactor.advance(1)
        assert calls[0].status == 1
        world.reactor.advance(1)
        assert in_greenlets.finish(future).status == [1, 1]

    def test_calls_with_time_outs_of_their_own(self, world, in_greenlets):
        """Without a time-out for all of them, each call has its own, or five seconds."""
        calls = [world.ask("a", timeout=1), world.ask("a"), world.ask("a", timeout=9)]
        future = in_greenlets.start(lambda: gather(world.bridge, calls, None))
        seen = []
        completed = in_greenlets.start(
            lambda: [seen.append(r.msg) for r in as_completed(world.bridge, calls, None)]
        )
        for seconds in (1, 4, 4):
            world.reactor.advance(seconds)
        assert [r.msg for r in in_greenlets.finish(future)] == [
            "no answer within 1 s", "no answer within 5 s", "no answer within 9 s",
        ]  # fmt: skip
        in_greenlets.finish(completed)
        assert seen == ["no answer within 1 s", "no answer within 5 s", "no answer within 9 s"]

    def test_of_nothing(self, world, apps):
        """Nothing to wait for is no mistake."""
        assert len(apps.run(lambda: gather(world.bridge, [], 5))) == 0

    @pytest.mark.parametrize("calls", [[None], ["http://a"], [World]])
    @pytest.mark.parametrize("function", [gather, as_completed])
    def test_what_is_no_call(self, world, apps, function, calls):
        """Anything else is refused before anything is waited for."""
        with pytest.raises(TypeError, match="is no call"):
            apps.run(lambda: function(world.bridge, [world.ask("a"), *calls], 5))

    @pytest.mark.parametrize("function", [gather, as_completed])
    def test_what_is_no_time_out(self, world, apps, function):
        """A senseless time-out is refused by name."""
        for timeout, error in (("5", TypeError), (float("nan"), ValueError)):
            with pytest.raises(error, match="timeout must be a number"):
                apps.run(lambda timeout=timeout: function(world.bridge, [], timeout))

    def test_in_a_coroutine(self, world):
        """In the reactor it is awaited."""
        results = []

        async def view():
            results.append(await gather(world.bridge, [world.ask("a"), world.ask.map("@c")], 5))

        ensureDeferred(view())
        for number in (3, 2, 1, 0):
            answer(world, number, number)
        assert results[0].data == [0, 1, 2, 3]
        assert world.reactor.getDelayedCalls() == []

    def test_in_a_coroutine_of_a_greenlet(self, world, in_greenlets):
        """The same line works where it may wait."""

        async def view():
            return await gather(world.bridge, [world.ask("a")], 5)

        results = []
        in_greenlets.start(lambda: ensureDeferred(view()).addCallback(results.append))
        answer(world, 0, 0)
        world.reactor.turn()
        assert results[0].data == [0]

    def test_deadline_in_a_coroutine(self, world):
        """A coroutine waits no longer than it said."""
        results = []
        gather(world.bridge, [world.ask("a"), world.ask("a")], 3).addCallback(results.append)
        world.reactor.advance(3)
        assert results[0].status == [1, 1]

    @pytest.mark.parametrize("mode", ["calls", "map"])
    def test_a_filter_that_raises_in_a_coroutine(self, world, mode):
        """The calls that are left belong to nobody: the end of the request finds them."""
        asked = {"filter": lambda result: 1 / 0 if result.data == 0 else result}
        if mode == "map":
            begun = [world.ask.map("@c", **asked)]
            calls = begun[0].calls
        else:
            begun = calls = [world.ask("a", **asked), world.ask("b")]
        failures = []
        gather(world.bridge, begun, 5).addErrback(failures.append)
        assert all(call.collected for call in calls)
        answer(world, 0, 0)
        assert failures[0].check(ZeroDivisionError)
        assert not any(call.collected for call in calls if not call.over)

    def test_cancelling_cancels_all(self, world):
        """A coroutine that is cancelled ends its calls."""
        deferred = gather(world.bridge, [world.ask("a"), world.ask.map("@c")], 5)
        failures = []
        deferred.addErrback(failures.append)
        deferred.cancel()
        assert [asked.cancelled for asked in world.asked] == [1] * 4
        assert len(failures) == 1
        assert world.reactor.getDelayedCalls() == []


class TestAsCompleted:
    def test_results_come_as_they_are_there(self, world, apps):
        """The first answer is handed over while the others are awaited."""
        calls = [world.ask("a"), Proxy(world.ask("b")), world.ask("c")]
        seen = []

        def app():
            for result in as_completed(world.bridge, calls, 60):
                seen.append(result.data)
                if len(seen) < 3:
                    world.bridge.submit(lambda: answer(world, [1, 0][len(seen) - 1], len(seen)))

        future = apps.start(app)
        answer(world, 2, 0)
        apps.finish(future)
        assert seen == [0, 1, 2]

    def test_what_is_there_already(self, world, apps):
        """Answers that came before come in the order in which they are given."""
        calls = [world.ask("a"), world.ask.map("@c")]
        for number in (3, 2, 1, 0):
            answer(world, number, number)
        assert apps.run(lambda: [r.data for r in as_completed(world.bridge, calls, 5)]) == [0, 1, 2, 3]

    def test_time_outs_come_at_the_end(self, world, in_greenlets):
        """What does not come in time is cancelled, and comes last, as a failed result."""
        calls = [world.ask("a"), world.ask("b"), world.ask("c")]
        future = in_greenlets.start(lambda: [r.status for r in as_completed(world.bridge, calls, 2)])
        world.reactor.advance(1)
        world.asked[1].deferred.errback(OperationError("broken"))
        assert not future.done()
        world.reactor.advance(1)
        assert in_greenlets.finish(future) == [2, 1, 1]
        assert [asked.cancelled for asked in world.asked] == [1, 0, 1]
        assert world.reactor.getDelayedCalls() == []

    def test_each_has_its_own_deadline(self, world, in_greenlets):
        """Time counts from the creation of each call, in whatever order they are given."""
        old = world.ask("a")
        world.reactor.advance(1)
        young = world.ask("b")
        seen = []

        def app():
            for result in as_completed(world.bridge, [young, old], 2):
                seen.append((result.node.label, world.bridge.seconds()))

        in_greenlets.start(app)
        world.reactor.pump([1, 1])
        assert seen == [("a:80", 2), ("b:80", 3)]

    def test_the_same_call_twice(self, world, apps):
        """A call that is given twice comes once."""
        call = world.ask("a")
        answer(world, 0, b"")
        assert apps.run(lambda: len(list(as_completed(world.bridge, [call, call], 5)))) == 1

    def test_leaving_early(self, world, in_greenlets):
        """An app may stop at the first good answer; the others stay what they are."""
        calls = [world.ask("a"), world.ask("b")]
        future = in_greenlets.start(lambda: next(iter(as_completed(world.bridge, calls, 5))).data)
        answer(world, 1, b"first")
        assert in_greenlets.finish(future) == b"first"
        assert calls[0].status == 0
        assert [call.collected for call in calls] == [False, True]

    def test_in_the_reactor_is_misuse(self, world):
        """Where nothing may wait, it says so."""
        with pytest.raises(MisuseError):
            list(as_completed(world.bridge, [world.ask("a")], 5))

    def test_async_for(self, world):
        """A coroutine writes ``async for``; what is too late comes as a failed result."""
        calls = [world.ask("a"), world.ask("b")]

        async def collect():
            return [result.status async for result in as_completed(world.bridge, calls, 2)]

        collected = ensureDeferred(collect())
        answer(world, 1, b"first")
        world.reactor.advance(3)
        found = []
        collected.addCallback(found.extend)
        assert found == [3, 1]

    def test_leaving_async_for_early(self, world):
        """The calls that are left belong to nobody: the end of the request finds them."""
        calls = [world.ask("a"), world.ask("b")]

        async def first():
            async for result in as_completed(world.bridge, calls, 5):
                found.append(result.data)
                break

        found = []
        ensureDeferred(first())
        answer(world, 1, b"first")
        assert found == [b"first"]
        assert [call.collected for call in calls] == [False, True]
        calls[0].cancel()
        assert world.reactor.getDelayedCalls() == []

    def test_a_filter_that_raises_ends_only_its_own(self, world, apps):
        """Whoever catches what one filter raises gets the results after it."""
        calls = [world.ask("a", filter=lambda _: 1 / 0), world.ask("b")]
        answer(world, 0, b"first")
        answer(world, 1, b"second")

        def app():
            results = iter(as_completed(world.bridge, calls, 5))
            with pytest.raises(ZeroDivisionError):
                next(results)
            return [result.data for result in results]

        assert apps.run(app) == [b"second"]

    def test_async_for_and_a_filter_that_raises(self, world):
        """What a filter raises is raised in the loop; results before it are there."""
        calls = [world.ask("a"), world.ask("b", filter=lambda _: 1 / 0)]
        found = []

        async def collect():
            async for result in as_completed(world.bridge, calls, 2):
                found.append(result.data)

        failures = []
        ensureDeferred(collect()).addErrback(failures.append)
        answer(world, 0, b"first")
        answer(world, 1, b"second")
        assert found == [b"first"]
        assert failures[0].check(ZeroDivisionError)

    def test_of_nothing(self, world, apps):
        """Nothing to wait for ends at once."""
        assert apps.run(lambda: list(as_completed(world.bridge, [], 5))) == []
