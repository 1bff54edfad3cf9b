import pytest
from call_fakes import Apps, ManualService, World
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from skitai.calls.call import DEFAULT_TIMEOUT, Call
from skitai.calls.result import Result
from skitai.errors import MisuseError, OperationError, OperationTimeout


class Rows(Result):
    """The results of a service that has its own."""

    empty = ()

    def __init__(self, data=(), *, description=None, **fields):
        super().__init__(data, **fields)
        self.description = description


class RowsService(ManualService):
    result_type = Rows


class TestGetwait:
    def test_gives_the_result(self, world, apps):
        """An app asks early, does something else, and picks the result up late."""
        call = world.ask("a")
        world.asked[0].deferred.callback(Result(b"data", code=201))
        result = apps.run(call.getwait)
        assert (result.status, result.code, result.data) == (3, 201, b"data")
        assert result.node is world.asked[0].node

    def test_who_forgets_to_wait_is_told_so(self, world):
        """A call has nothing of its result, and says where that is."""
        with pytest.raises(AttributeError, match=r"no attribute 'data', .* write getwait\(\)\.data"):
            world.ask("a").data  # noqa: B018
        assert not hasattr(world.ask("a"), "__len__")
        with pytest.raises(TypeError, match=r"not iterable, .* write call\.getwait\(\)"):
            list(world.ask("a"))

    def test_waits_for_the_result(self, world, apps):
        """An app that is early waits."""
        call = world.ask("a")
        future = apps.start(call.getwait)
        world.asked[0].deferred.callback(b"data")
        assert apps.finish(future).data == b"data"

    def test_gives_the_same_result_each_time(self, world, apps):
        """Asked again, a call gives the very same object, however it is asked."""
        call = world.ask("a")
        world.asked[0].deferred.callback(b"data")
        first = apps.run(call.getwait)
        assert apps.run(call.getwait) is first
        assert apps.run(lambda: call.getwait(0)) is first
        assert apps.run(call.getswait)[0] is first

    def test_calls_that_apps_start_run_in_the_reactor_thread(self, world, apps):
        """A call that starts in an app reaches the reactor before the app waits."""
        future = apps.start(lambda: world.ask("a").getwait(60))
        while not world.asked:
            world.reactor.turn()
        world.asked[0].deferred.callback(b"data")
        assert apps.finish(future).data == b"data"

    def test_time_out_counts_from_creation(self, world, in_greenlets):
        """What an app did between asking and waiting comes off its patience."""
        call = world.ask("a")
        world.reactor.advance(1.5)
        future = in_greenlets.start(lambda: call.getwait(2))
        world.reactor.advance(0.4)
        assert not future.done()
        world.reactor.advance(0.1)
        assert in_greenlets.finish(future).status == 1

    def test_three_calls_wait_together(self, world, in_greenlets):
        """Calls that were made together and are waited for one after the other time out together."""
        calls = [world.ask("a") for _ in range(3)]
        future = in_greenlets.start(lambda: [call.getwait(2).status for call in calls])
        world.reactor.advance(2)
        assert in_greenlets.finish(future) == [1, 1, 1]

    def test_default_is_five_seconds(self, world, in_greenlets):
        """Who does not say how long waits five seconds."""
        future = in_greenlets.start(world.ask("a").getwait)
        world.reactor.advance(4.9)
        assert not future.done()
        world.reactor.advance(0.1)
        assert in_greenlets.finish(future).status == 1
        assert DEFAULT_TIMEOUT == 5

    def test_a_time_out_of_its_own(self, world, in_greenlets):
        """A call that was given a time-out has that, unless the wait for it names another.

        So ``was.get(url, timeout=30)`` does what users of requests and httpx mean by it.
        """
        patient, hasty = world.ask("a", timeout=30), world.ask("a", timeout=1)
        late = in_greenlets.start(patient.getwait)
        soon = in_greenlets.start(hasty.getswait)
        named = in_greenlets.start(lambda: world.ask("a", timeout=1).getwait(2))
        world.reactor.advance(1)
        assert in_greenlets.finish(soon)[0].msg == "no answer within 1 s"
        assert not named.done()
        world.reactor.advance(1)
        assert in_greenlets.finish(named).msg == "no answer within 2 s"
        world.reactor.advance(27.9)
        assert not late.done()
        world.reactor.advance(0.1)
        assert in_greenlets.finish(late).msg == "no answer within 30 s"

    def test_a_time_out_of_its_own_in_threads(self, world, in_threads):
        """In a thread, too, and for all members of a map."""
        assert in_threads.run(world.ask("a", timeout=0.01).getwait).msg == "no answer within 0.01 s"
        assert in_threads.run(world.ask.map("@c", timeout=0.01).getswait).status == [1, 1, 1]

    def test_time_out_result(self, world, apps):
        """A time-out is status 1, code 702, no data, and names the node."""
        call = world.ask("a:99")
        result = apps.run(lambda: call.getwait(0.01 if apps.kind == "thread" else 0))
        assert (result.status, result.code, result.data) == (1, 702, b"")
        assert result.msg.startswith("no answer within")
        assert result.node.label == "a:99"
        assert apps.run(call.getwait) is result

    def test_time_out_cancels_once(self, world, apps):
        """What timed out is cancelled, in the reactor, once; nothing is left under way."""
        call = world.ask("a")
        for _ in range(2):
            apps.run(lambda: call.getwait(0))
        assert world.asked[0].cancelled == 1
        assert world.in_flight() == [0, 0, 0, 0]

    def test_late_answer_is_dropped(self, world, apps):
        """An answer that a service gives in spite of being cancelled changes nothing."""
        answers = []
        deaf = World(world.reactor, ManualService(lambda _: answers.append(Deferred()) or answers[-1]))
        call = deaf.ask("a")
        result = apps.run(lambda: call.getwait(0))
        answers[0].callback(b"late")
        assert call.getwait() is result
        assert call.status == 1

    def test_time_out_before_the_start(self, world, in_threads):
        """A call that timed out before the reactor came to it is never performed."""
        result = in_threads.start(lambda: world.ask("a").getwait(0)).result(60)
        assert result.status == 1
        world.reactor.turn()
        assert world.asked == []
        assert world.in_flight() == [0, 0, 0, 0]

    def test_failure_is_status_2(self, world, apps):
        """A failure is a result like others, unless the app wants it raised."""
        call = world.ask("a")
        error = OperationError("broken", code=706)
        world.asked[0].deferred.errback(error)
        result = apps.run(call.getwait)
        assert (result.status, result.code, result.msg, result.data) == (2, 706, "broken", b"")
        with pytest.raises(OperationError) as raised:
            apps.run(lambda: call.getwait(reraise=True))
        assert str(raised.value) == str(error)

    def test_reraise_raises_a_time_out(self, world, apps):
        """With reraise, a time-out raises."""
        call = world.ask("a")
        with pytest.raises(OperationTimeout):
            apps.run(lambda: call.getwait(0, reraise=True))

    @pytest.mark.parametrize(
        ("timeout", "error"),
        [("2", TypeError), ([], TypeError), (float("nan"), ValueError)],
    )
    def test_what_is_no_time_out(self, world, apps, timeout, error):
        """A senseless time-out is refused by name, in every wait, and the call goes on."""
        call, group = world.ask("a"), world.ask.map("@c")
        for wait in (call.getwait, call.getswait, call.wait, group.getswait, group.wait):
            with pytest.raises(error, match="timeout must be a number of seconds, not"):
                apps.run(lambda wait=wait: wait(timeout))
        for deferred in (call.deferred, group.deferred):
            with pytest.raises(error, match="timeout must be a number"):
                deferred(timeout)
        assert call.status == 0

    def test_errors_name_what_was_asked(self, world, apps):
        """What a time-out and a failure raise says which request it was."""
        late, failed = world.ask("late"), world.ask("failed")
        world.asked[1].deferred.callback(Result(status=2, code=550))
        for call, target in ((late, "late"), (failed, "failed")):
            with pytest.raises(OperationError) as raised:
                apps.run(lambda call=call: call.getwait(0, reraise=True))
            assert (raised.value.url, raised.value.node.label) == (target, f"{target}:80")

    def test_in_the_reactor_is_misuse(self, world):
        """Waiting in the reactor raises at once; the call goes on."""
        call = world.ask("a")
        with pytest.raises(MisuseError):
            call.getwait()
        assert call.status == 0
        assert world.asked[0].cancelled == 0

    def test_results_of_a_services_own_class(self, apps, world):
        """Answers, failures and time-outs of a service are all of its class, with all attributes."""
        rows = World(world.reactor, RowsService())
        calls = [rows.ask("a") for _ in range(4)]
        rows.asked[0].deferred.callback([(1,)])
        rows.asked[1].deferred.errback(OperationError("down"))
        calls[2].cancel()
        results = [apps.run(lambda call=call: call.getwait(0)) for call in calls]
        assert [type(result) for result in results] == [Rows] * 4
        assert [result.status for result in results] == [3, 2, 2, 1]
        assert [result.data for result in results] == [[(1,)], (), (), ()]
        assert [result.description for result in results] == [None] * 4


class TestOtherWays:
    def test_status_and_code_are_0_before(self, world):
        """While there is no result, status and code are 0, and looking does not wait."""
        call = world.ask("a")
        assert (call.status, call.code) == (0, 0)
        assert repr(call) == "<Call 'a' under way>"
        world.asked[0].deferred.callback(Result(b"", code=404, msg="Not Found"))
        assert (call.status, call.code) == (3, 404)
        assert repr(call) == "<Call 'a' <Result 3 404 'Not Found' from a:80>>"

    def test_getswait_is_a_sequence_of_one(self, world, apps):
        """Code for several results works with one."""
        call = world.ask("a")
        world.asked[0].deferred.callback(b"data")
        results = apps.run(call.getswait)
        assert results.data == [b"data"]

    def test_wait_returns_nothing_for_success(self, world, apps):
        """Waiting without interest in the result returns None."""
        call = world.ask("a")
        world.asked[0].deferred.callback(b"data")
        assert apps.run(call.wait) is None

    def test_wait_raises_unless_normal(self, world, apps):
        """Waiting without looking must not hide a failure, unless asked to."""
        failed, late = world.ask("a"), world.ask("a")
        world.asked[0].deferred.errback(ValueError("odd"))
        with pytest.raises(OperationError, match="ValueError: odd"):
            apps.run(failed.wait)
        with pytest.raises(OperationTimeout):
            apps.run(lambda: late.wait(0))
        assert apps.run(lambda: late.wait(0, reraise=False)) is None

    def test_cancel(self, world, apps):
        """A cancelled call has a result at once, wakes who waits and frees what it holds, once."""
        call = world.ask("a")
        future = apps.start(lambda: call.getwait(60))
        apps.run(call.cancel)
        result = apps.finish(future)
        assert (result.status, result.code, result.msg) == (2, 705, "cancelled")
        call.cancel()
        assert world.asked[0].cancelled == 1
        assert world.in_flight() == [0, 0, 0, 0]

    def test_cancel_after_the_answer_does_nothing(self, world):
        """An answer that is there stays."""
        call = world.ask("a")
        world.asked[0].deferred.callback(b"data")
        call.cancel()
        assert call.status == 3
        assert world.asked[0].cancelled == 0

    def test_a_call_may_be_settled_before_it_starts(self, world, apps):
        """An answer that is at hand, as from a cache, needs no reactor."""
        call = Call(world.bridge, world.service.operation("a"))
        assert call.settle(Result(b"cached")) is True
        assert call.settle(Result(b"late")) is False
        assert apps.run(call.getwait).data == b"cached"

    def test_several_results_are_the_same_each_time(self, world):
        """Asked again for a sequence, a call gives the one that it gave."""
        call = world.ask("a")
        world.asked[0].deferred.callback(b"data")
        assert call.getswait() is call.getswait()

    def test_awaited_elsewhere(self, world, in_threads):
        """In a coroutine of neither asyncio nor Skitai it says where calls can be awaited."""
        call = world.ask("a")

        async def view():
            await call

        with pytest.raises(MisuseError, match="coroutines of asyncio and of Skitai"):
            in_threads.run(lambda: view().send(None))


class TestSeveralWaiters:
    def test_all_get_the_same_result(self, world, in_threads, in_greenlets):
        """Threads and greenlets may wait for one call; all get its one result."""
        call = world.ask("a")
        futures = [kind.start(lambda: call.getwait(60)) for kind in (in_threads, in_greenlets) * 4]
        world.asked[0].deferred.callback(b"data")
        assert len({id(in_threads.finish(future)) for future in futures}) == 1

    def test_the_shortest_patience_ends_the_call_for_all(self, world, in_threads, in_greenlets):
        """A thread whose time is up ends the call; a greenlet that waits longer is woken by the reactor."""
        call = world.ask("a")
        patient = in_greenlets.start(lambda: call.getwait(60))
        late = in_threads.run(lambda: call.getwait(0.01))
        assert late.status == 1
        assert in_greenlets.finish(patient) is late
        assert world.asked[0].cancelled == 1


class TestAwait(SynchronousTestCase):
    """Coroutines on the reactor thread."""

    def setUp(self):
        self.world = World()

    async def _await(self, call):
        return await call

    def test_gives_the_result(self):
        """Awaiting a call gives its result, before and after the answer, and leaves no timer."""
        call = self.world.ask("a")
        waiting = ensureDeferred(self._await(call))
        self.assertNoResult(waiting)
        self.world.asked[0].deferred.callback(b"data")
        result = self.successResultOf(waiting)
        assert result.data == b"data"
        assert result is self.successResultOf(ensureDeferred(self._await(call)))
        assert self.world.reactor.getDelayedCalls() == []

    def test_fails_as_a_result(self):
        """A failure is awaited as a result of status 2."""
        call = self.world.ask("a")
        waiting = ensureDeferred(self._await(call))
        self.world.asked[0].deferred.errback(OperationError("down"))
        assert self.successResultOf(waiting).status == 2

    def test_has_a_deadline(self):
        """Awaiting lasts as long as getwait would, counted from the creation of the call."""
        call = self.world.ask("a")
        self.world.reactor.advance(3)
        waiting = ensureDeferred(self._await(call))
        self.world.reactor.advance(1.9)
        self.assertNoResult(waiting)
        self.world.reactor.advance(0.1)
        assert (self.successResultOf(waiting).status, call.code) == (1, 702)
        assert self.world.asked[0].cancelled == 1

    def test_deferred_takes_a_time_out(self):
        """A coroutine that is less or more patient says so."""
        call = self.world.ask("a")
        waiting = call.deferred(2)
        self.world.reactor.advance(2)
        assert self.successResultOf(waiting).msg == "no answer within 2 s"

    def test_deferred_has_the_time_out_of_its_call(self):
        """``await call`` waits as long as ``getwait()`` does: as the call's own time-out says."""
        waiting = self.world.ask("a", timeout=1).deferred()
        both = self.world.ask.map("@c", timeout=1).deferred()
        self.world.reactor.advance(1)
        assert self.successResultOf(waiting).msg == "no answer within 1 s"
        assert self.successResultOf(both).status == [1, 1, 1]

    def test_cancelling_stops_the_coroutine_and_the_call(self):
        """A coroutine that is cancelled stops where it waits; the socket is freed, no timer stays."""
        call = self.world.ask("a")
        went_on = []

        async def view():
            await call
            went_on.append(1)

        waiting = ensureDeferred(view())
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        assert went_on == []
        assert (call.status, call.code) == (2, 705)
        assert self.world.asked[0].cancelled == 1
        assert self.world.reactor.getDelayedCalls() == []

    def test_a_thread_that_gives_up_wakes_the_coroutine_in_the_reactor(self):
        """A coroutine goes on in the reactor thread, even if a thread ended the call."""
        call = self.world.ask("a")
        waiting = ensureDeferred(self._await(call))
        Apps(self.world.reactor, "thread").start(lambda: call.getwait(0)).result(60)
        self.assertNoResult(waiting)
        self.world.reactor.turn()
        assert self.successResultOf(waiting).status == 1

    def test_group(self):
        """Awaiting a map gives the results in member order, whatever order they came in."""
        group = self.world.ask.map("@c")
        waiting = ensureDeferred(self._await(group))
        for asked in reversed(self.world.asked):
            asked.deferred.callback(asked.label)
        assert self.successResultOf(waiting).data == ["a:80", "b:80", "c:80"]

    def test_group_has_one_deadline(self):
        """The members of a map time out together."""
        waiting = ensureDeferred(self._await(self.world.ask.map("@c")))
        self.world.reactor.advance(5)
        self.world.reactor.advance(0)
        assert self.successResultOf(waiting).status == [1, 1, 1]

    def test_cancelling_a_group_cancels_all(self):
        """A coroutine that is cancelled while it waits for a map frees all sockets."""
        waiting = ensureDeferred(self._await(self.world.ask.map("@c")))
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        assert [asked.cancelled for asked in self.world.asked] == [1, 1, 1]


class TestCallGroup:
    def test_results_come_in_member_order(self, world, apps):
        """A map gives one result for each member, in the order of the config."""
        group = world.ask.map("@c/path")
        for asked in reversed(world.asked):
            asked.deferred.callback(asked.label)
        results = apps.run(group.getswait)
        assert results.data == ["a:80", "b:80", "c:80"]
        assert [result.node.label for result in results] == ["a:80", "b:80", "c:80"]

    def test_a_member_that_fails_or_stalls_does_not_spoil_the_others(self, world, apps):
        """Dead and late members are results of status 2 and 1 among the others."""
        group = world.ask.map("@c")
        world.asked[0].deferred.errback(OperationError("dead"))
        world.asked[1].deferred.callback(b"well")
        results = apps.run(lambda: group.getswait(0))
        assert results.status == group.status == [2, 3, 1]
        assert results.code == group.code == [701, 200, 702]
        assert world.in_flight() == [0, 0, 0, 0]

    def test_getwait_for_several_is_an_error(self, world, apps):
        """Asking several for one result is a mistake that is named."""
        with pytest.raises(ValueError, match="3 results: use getswait"):
            apps.run(world.ask.map("@c").getwait)

    def test_getwait_for_a_cluster_of_one(self, world, apps):
        """A cluster that has one member gives its result."""
        one = World(world.reactor, members=["a"])
        group = one.ask.map("@c")
        one.asked[0].deferred.callback(b"data")
        assert apps.run(group.getwait).data == b"data"

    def test_wait_and_reraise_raise_the_first_failure(self, world, apps):
        """The first failure in member order is raised."""
        group = world.ask.map("@c")
        first, second = OperationError("first"), OperationError("second")
        world.asked[2].deferred.errback(second)
        world.asked[1].deferred.errback(first)
        world.asked[0].deferred.callback(b"well")
        for ask in (group.wait, lambda: group.getswait(reraise=True)):
            with pytest.raises(OperationError) as raised:
                apps.run(ask)
            assert str(raised.value) == str(first)
        assert apps.run(lambda: group.wait(reraise=False)) is None

    def test_cancel(self, world, apps):
        """Cancelling a map ends what is still under way."""
        group = world.ask.map("@c")
        world.asked[1].deferred.callback(b"well")
        apps.run(group.cancel)
        assert group.code == [705, 200, 705]
        assert [asked.cancelled for asked in world.asked] == [1, 0, 1]
