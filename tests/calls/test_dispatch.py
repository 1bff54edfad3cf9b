import gc
import random
import threading
import time

import pytest
from call_fakes import FakeReactor, ManualService, World
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import globalLogPublisher

from skitai.calls.call import Call
from skitai.calls.group import CallGroup
from skitai.calls.observers import CallObservers
from skitai.calls.operation import Operation
from skitai.calls.result import Result
from skitai.calls.service import Service
from skitai.errors import CODE_BUSY, MisuseError, OperationError, UnsentError

IDLE = [0, 0, 0, 0]


class TestOneNode:
    def test_starts_at_once(self, world):
        """The operation is performed when the app asks, not when it waits."""
        call = world.ask("a:99", "request")
        assert [(asked.label, asked.operation.request) for asked in world.asked] == [("a:99", "request")]
        assert isinstance(call, Call)
        assert world.dispatcher.in_flight == 1
        world.asked[0].deferred.callback(b"data")
        assert world.dispatcher.in_flight == 0

    def test_has_no_second_chance(self, world):
        """An address that fails is not asked again, however harmless that were."""
        call = world.ask("a")
        world.asked[0].deferred.errback(UnsentError("refused"))
        assert (call.status, len(world.asked)) == (2, 1)

    @pytest.mark.parametrize("mode", ["lb", "map"])
    def test_lb_and_map_of_an_address_are_the_plain_call(self, world, mode):
        """Where there is no cluster, there is nothing to balance."""
        call = getattr(world.ask, mode)("a")
        assert isinstance(call, Call)
        assert len(world.asked) == 1

    def test_a_target_that_is_no_address(self, world):
        """What names no node raises in the app, and nothing starts."""
        with pytest.raises(ValueError, match="is not host"):
            world.ask("http://a/")
        assert world.in_flight() == IDLE

    def test_result_names_the_node_unless_the_service_did(self, world):
        """A service need not name the node that it was given, but may."""
        plain, whole, named = (world.ask("a") for _ in range(3))
        other = world.service.node("other:1")
        world.asked[0].deferred.callback(b"")
        world.asked[1].deferred.callback(Result())
        world.asked[2].deferred.callback(Result(node=other))
        nodes = [call.getwait().node.label for call in (plain, whole, named)]
        assert nodes == ["a:80", "a:80", "other:1"]


class TestHere:
    """What a thread of an app can do itself, such as writing a file."""

    def test_in_a_thread(self, world, in_threads):
        """The thread does it, and nobody else is asked or waited for."""
        idents = []

        def work():
            idents.append(threading.get_ident())
            return Result(b"done")

        def app():
            call = world.ask("a", here=work)
            return call.over, call.getwait(0).data, call.node.label, threading.get_ident()

        over, data, label, ident = in_threads.run(app)
        assert (over, data, label, idents) == (True, b"done", "a:80", [ident])
        assert (world.asked, world.in_flight()) == ([], IDLE)
        assert world.reactor.wakeups == 0

    def test_in_a_greenlet(self, world, in_greenlets):
        """In the thread of the reactor, the service performs it as usual."""
        waiting = in_greenlets.start(lambda: world.ask("a", here=pytest.fail).getwait().data)
        world.asked[0].deferred.callback(b"done")
        assert in_greenlets.finish(waiting) == b"done"

    def test_a_signal(self, in_threads):
        """What a signal raises meanwhile gets out, and observers see the end of the call."""
        ended = []
        observers = CallObservers(finished=[lambda call, result: ended.append(result.msg)])
        world = World(observers=observers)

        def work():
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            in_threads.run(lambda: world.ask("a", here=work))
        assert ended == ["KeyboardInterrupt: "]


@pytest.fixture
def failures():
    """The types of the exceptions that are logged."""
    types = []

    def observe(event):
        types.extend([event["log_failure"].type] if "log_failure" in event else [])

    globalLogPublisher.addObserver(observe)
    yield types
    globalLogPublisher.removeObserver(observe)


class TestOddServices:
    """Whatever a service does, the call gets a result and nothing stays counted."""

    @pytest.mark.parametrize("target", ["a", "@c"])
    @pytest.mark.parametrize(
        ("reaction", "expected"),
        [
            (lambda asked: 1 / 0, (2, 701, "ZeroDivisionError: division by zero")),
            (lambda asked: fail(KeyError("x")), (2, 701, "KeyError: 'x'")),
            (lambda asked: b"plain", (3, 200, "OK")),
            (lambda asked: None, (3, 200, "OK")),
            (lambda asked: succeed(Result(code=404, msg="no")), (3, 404, "no")),
        ],
    )
    def test_answers_at_once(self, target, reaction, expected):
        """A service that raises, answers without a Deferred, or answers at once is served like others."""
        world = World(service=ManualService(reaction))
        call = world.ask(target, idempotent=False)
        result = call.getwait()
        assert (result.status, result.code, result.msg) == expected
        assert world.in_flight() == IDLE

    def test_perform_may_be_a_coroutine(self):
        """A service may be written with async and await; a time-out cancels what it awaits."""

        class AsyncService(ManualService):
            async def perform(self, node, operation):
                return b"<" + await super().perform(node, operation) + b">"

        world = World(service=AsyncService())
        answered, cancelled = world.ask("a"), world.ask("@c")
        world.asked[0].deferred.callback(b"data")
        cancelled.cancel()
        assert answered.getwait().data == b"<data>"
        assert world.asked[1].cancelled == 1
        assert world.in_flight() == IDLE

    def test_a_chain_of_deferreds_is_cancelled_where_it_waits(self):
        """What a service waits for in a second step is cancelled, too."""
        inner = []
        world = World(
            service=ManualService(lambda _: succeed(1).addCallback(lambda _: Deferred(inner.append)))
        )
        world.ask("@c").cancel()
        assert len(inner) == 1
        assert world.in_flight() == IDLE

    def test_a_service_that_fails_to_cancel(self, failures):
        """A service whose cancelling raises is logged, and keeps neither a member busy nor others alive."""
        bad = World(service=ManualService(lambda asked: Deferred(lambda _: 1 / 0)))
        calls = [bad.ask("@c") for _ in range(3)]
        bad.dispatcher.stop()
        assert [call.code for call in calls] == [705] * 3
        assert failures == [ZeroDivisionError] * 3
        assert bad.in_flight() == IDLE

    def test_a_result_that_cannot_be_made(self, failures):
        """Where the service's result raises when it is made, the call has failed: nobody is left waiting."""

        class Broken(Result):
            def __init__(self, *args, **kwargs):
                raise ZeroDivisionError("no result")

        service = ManualService(lambda asked: b"data")
        service.result_type = Broken
        world = World(service=service)
        result = world.ask("a").getwait()
        assert (result.status, result.msg) == (2, "ZeroDivisionError: no result")
        assert failures == [ZeroDivisionError]
        assert world.in_flight() == IDLE

    def test_a_cluster_that_fails(self, world, failures, monkeypatch):
        """Whatever raises while a member is chosen, the call has failed, and the next one is served."""
        with monkeypatch.context() as broken:
            broken.setattr(world.cluster, "pick", lambda tried: 1 / 0)
            assert world.ask.lb("@c").status == 2
        assert failures == [ZeroDivisionError]
        assert world.in_flight() == IDLE
        call = world.ask.lb("@c")
        monkeypatch.setattr(world.cluster, "pick", lambda tried: 1 / 0)
        world.asked[0].deferred.errback(OperationError("broken"))
        assert call.status == 2
        assert world.in_flight() == IDLE


class TestClusters:
    @pytest.mark.parametrize("mode", ["plain", "lb"])
    def test_one_member_is_asked(self, world, mode):
        """A cluster's target asks the least busy member, whether or not lb is said."""
        ask = world.ask if mode == "plain" else world.ask.lb
        for _ in range(4):
            ask("@c/path")
        assert [asked.label for asked in world.asked] == ["a:80", "b:80", "c:80", "a:80"]
        assert world.in_flight() == [4, 2, 1, 1]
        for asked in world.asked:
            asked.deferred.callback(b"")
        assert world.in_flight() == IDLE

    def test_fails_over_at_the_moment_of_the_failure(self, world):
        """The next member is asked when one fails, before anybody waits."""
        call = world.ask.lb("@c")
        world.asked[0].deferred.errback(OperationError("broken"))
        assert [asked.label for asked in world.asked] == ["a:80", "b:80"]
        assert world.in_flight() == [1, 0, 1, 0]
        world.asked[1].deferred.callback(b"data")
        assert call.getwait().data == b"data"
        assert call.getwait().node.label == "b:80"

    def test_each_member_is_asked_once(self, world):
        """When all have failed, the last failure is the result."""
        call = world.ask.lb("@c")
        for number in range(3):
            assert call.status == 0
            world.asked[number].deferred.errback(OperationError(f"failure {number}"))
        assert len(world.asked) == 3
        assert call.getwait().msg == "failure 2"
        assert call.getwait().node.label == "c:80"
        assert world.in_flight() == IDLE

    def test_a_member_that_hangs_is_left_alone(self, world, in_greenlets):
        """A machine that takes requests and never answers costs a few deadlines, not every third request."""
        statuses = []
        for _ in range(20):
            future = in_greenlets.start(lambda: world.ask.lb("@c").getwait(0.2).status)
            for asked in world.asked:
                if asked.label != "a:80" and not asked.deferred.called:
                    asked.deferred.callback(b"data")
            world.reactor.advance(0.2)
            statuses.append(in_greenlets.finish(future))
        assert statuses.count(1) in (3, 4)  # a probe, too, may have had its time
        assert world.cluster.members[0].failures > 0

    def test_what_must_not_be_done_twice_does_not_fail_over(self, world):
        """An operation that is not idempotent fails with the first member that may have begun it."""
        call = world.ask.lb("@c", idempotent=False)
        world.asked[0].deferred.errback(OperationError("broken"))
        assert (call.status, len(world.asked)) == (2, 1)

    def test_what_did_not_leave_fails_over(self, world):
        """Any operation goes to the next member when none of its bytes left."""
        call = world.ask.lb("@c", idempotent=False)
        world.asked[0].deferred.errback(UnsentError("refused"))
        assert call.status == 0
        world.asked[1].deferred.errback(OperationError("broken"))
        assert (call.status, len(world.asked)) == (2, 2)

    def test_service_that_raises_at_once_fails_over(self):
        """Members that fail synchronously are tried one after the other, in the app's own turn."""
        world = World(service=ManualService(lambda asked: 1 / 0 if asked.label != "c:80" else b"data"))
        assert world.ask.lb("@c").getwait().data == b"data"
        assert len(world.asked) == 3
        assert world.in_flight() == IDLE

    def test_a_refusal_is_no_failure(self, world):
        """A result of status 2 says that the node is well: no other is asked, it does not rest."""
        call = world.ask.lb("@c")
        world.asked[0].deferred.callback(Result(b"", status=2, code=550, msg="no such table"))
        assert (call.status, len(world.asked)) == (2, 1)
        assert world.cluster.members[0].failures == 0

    def test_a_dead_member_rests_and_comes_back(self, world):
        """After a failure the others are asked, until the pause ends; an answer makes it as good as new."""
        world.ask.lb("@c")
        world.asked[0].deferred.errback(OperationError("broken"))
        for _ in range(3):
            world.ask.lb("@c")
        assert "a:80" not in [asked.label for asked in world.asked[1:]]
        world.reactor.advance(1)
        world.ask.lb("@c")
        assert world.asked[-1].label == "a:80"
        world.asked[-1].deferred.callback(b"")
        assert world.cluster.members[0].failures == 0

    def test_giving_up_says_nothing_about_the_member(self, world, apps):
        """A call that the app ends neither rests the member nor goes to another."""
        call = world.ask.lb("@c")
        assert apps.run(lambda: call.getwait(0)).status == 1
        assert len(world.asked) == 1
        assert world.cluster.members[0].failures == 0
        assert world.in_flight() == IDLE

    def test_a_thread_that_gives_up_in_the_middle_of_the_start(self, world, in_threads):
        """What begins while its thread gives it up is cancelled as soon as it has begun."""
        begun, given_up = threading.Event(), threading.Event()

        def perform(asked):
            begun.set()
            assert given_up.wait(60)
            return asked.deferred

        def app():
            call = world.ask("@c")
            begun.wait(60)
            call.getwait(0)
            given_up.set()

        world.service.reaction = perform
        in_threads.run(app)
        assert [asked.cancelled for asked in world.asked] == [1]
        assert world.in_flight() == IDLE

    def test_giving_up_after_a_fail_over_cancels_the_member_that_is_asked_now(self, world):
        """Only the attempt that is under way is cancelled."""
        call = world.ask.lb("@c")
        world.asked[0].deferred.errback(OperationError("broken"))
        call.cancel()
        assert [asked.cancelled for asked in world.asked] == [0, 1]
        assert world.in_flight() == IDLE

    def test_map_asks_all_in_member_order(self, world):
        """A map asks every member, dead ones too, and none for another."""
        world.cluster.failed(world.cluster.members[1])
        group = world.ask.map("@c/path")
        assert isinstance(group, CallGroup)
        assert [asked.label for asked in world.asked] == ["a:80", "b:80", "c:80"]
        world.asked[1].deferred.errback(UnsentError("refused"))
        assert len(world.asked) == 3
        assert group.status == [0, 2, 0]

    def test_map_keeps_the_members_health(self, world):
        """What a map learns about members, lb knows."""
        world.ask.map("@c")
        world.asked[0].deferred.errback(OperationError("broken"))
        world.asked[1].deferred.callback(b"")
        world.asked[2].deferred.callback(b"")
        assert [member.failures for member in world.cluster.members] == [1, 0, 0]
        world.ask.lb("@c")
        assert world.asked[-1].label == "b:80"

    def test_what_only_this_side_lacks(self, world):
        """A full queue or no descriptor says nothing about a member: it rests not, but others are asked."""
        call = world.ask.lb("@c")
        world.asked[0].deferred.errback(UnsentError("a full queue", code=CODE_BUSY))
        world.asked[1].deferred.callback(b"data")
        assert call.status == 3
        assert [member.failures for member in world.cluster.members] == [0, 0, 0]

    def test_a_thousand_members_that_fail_at_once(self):
        """A large cluster of which every member refuses at once takes no stack, and asks each once."""
        world = World(
            service=ManualService(lambda asked: 1 / 0), members=[f"m{number}" for number in range(1000)]
        )
        assert world.ask.lb("@c").getwait().code == 701
        assert len({asked.label for asked in world.asked}) == 1000
        assert set(world.in_flight()) == {0}

    def test_one_request_tries_a_member_that_failed(self, world):
        """After its pause a member gets one request until that is answered; the others go elsewhere."""
        world.ask.lb("@c")
        world.asked[0].deferred.errback(OperationError("broken"))
        world.reactor.advance(1)
        for _ in range(4):
            world.ask.lb("@c")
        assert [asked.label for asked in world.asked[2:]].count("a:80") == 1

    def test_a_probe_that_times_out_starts_a_new_pause(self, world, in_greenlets):
        """A member that takes the connection and stays silent is not back."""
        world.ask.lb("@c")
        world.asked[0].deferred.errback(OperationError("broken"))
        world.reactor.advance(1)
        world.ask.lb("@c")
        future = in_greenlets.start(lambda: world.ask.lb("@c").getwait(2))
        world.reactor.advance(2)
        assert in_greenlets.finish(future).node.label == "a:80"
        assert [member.state for member in world.dispatcher.cluster("@c").members] == ["resting", "up", "up"]

    def test_a_member_that_times_out_in_a_map(self, world, in_greenlets):
        """One member that stays silent costs its own result only, and nothing stays counted."""
        group = world.ask.map("@c")
        world.asked[0].deferred.callback(b"a")
        world.asked[2].deferred.callback(b"c")
        future = in_greenlets.start(lambda: group.getswait(2))
        assert (group.status, group.code) == ([3, 0, 3], [200, 0, 200])
        world.reactor.advance(2)
        assert in_greenlets.finish(future).status == [3, 1, 3]
        assert world.in_flight() == IDLE
        assert in_greenlets.finish(future)[1].error.url == "@c"

    def test_views(self, world):
        """What a cluster's members do is there for apps and for the status page."""
        world.ask("@c")
        assert [member.in_flight for member in world.dispatcher.cluster("@c").members] == [1, 0, 0]
        assert world.dispatcher.clusters() == [world.dispatcher.cluster("c")]
        with pytest.raises(MisuseError, match=r"there is no cluster @d in the config \(it has @c\)"):
            world.dispatcher.cluster("@d")

    def test_latency(self, world):
        """The time that a member takes for its answers is measured."""
        world.ask("@c")
        world.reactor.advance(0.5)
        world.asked[0].deferred.callback(b"")
        assert world.dispatcher.cluster("@c").members[0].latency == 0.5

    def test_unknown_cluster(self, world):
        """A cluster that the config lacks is named, with those that it has."""
        with pytest.raises(MisuseError, match=r"there is no cluster @d in the config \(it has @c\)"):
            world.ask("@d/path")
        with pytest.raises(MisuseError, match="no cluster @ in"):
            world.ask("@")

    @pytest.mark.parametrize(
        ("kinds", "asks"),
        [(["other"], "asks other clusters"), (["b", "a"], "asks a or b clusters"), ([], "asks no clusters")],
    )
    def test_cluster_of_another_type(self, world, kinds, asks):
        """A service cannot ask a cluster of databases for pages."""
        world.service.cluster_types = frozenset(kinds)
        with pytest.raises(MisuseError, match=f"cluster @c has type manual; this service {asks}"):
            world.ask("@c")
        assert world.in_flight() == IDLE


class TestStop:
    def test_fails_what_is_under_way_and_releases_waiters(self, world, apps):
        """When the server stops, nobody waits any longer, and every socket is freed."""
        calls = [world.ask("a"), world.ask.lb("@c"), *world.ask.map("@c").calls]
        futures = [apps.start(lambda call=call: call.getwait(60)) for call in calls]
        world.dispatcher.stop()
        results = [apps.finish(future) for future in futures]
        outcomes = {(result.status, result.code, result.msg) for result in results}
        assert outcomes == {(2, 705, "the server is stopping")}
        assert [asked.cancelled for asked in world.asked] == [1] * 5
        assert world.in_flight() == IDLE

    def test_fails_what_comes_later(self, world, apps):
        """A call that starts after the stop fails at once and is not performed."""
        world.dispatcher.stop()
        result = apps.run(lambda: world.ask("@c").getwait(60))
        assert (result.status, result.code) == (2, 705)
        assert world.asked == []

    def test_an_app_that_asks_again_while_it_is_released(self, world, in_greenlets):
        """An app that is woken by the stop and asks once more gets the same answer."""
        call = world.ask("a")
        future = in_greenlets.start(lambda: [call.getwait().code, world.ask("a").getwait().code])
        world.dispatcher.stop()
        assert in_greenlets.finish(future) == [705, 705]

    def test_no_fail_over_while_stopping(self, world):
        """What fails because the server stops is not tried elsewhere."""
        world.ask.lb("@c")
        world.dispatcher.stop()
        assert len(world.asked) == 1


class TestLeaks:
    def test_a_finished_call_leaves_no_cycle(self, world):
        """Calls are freed when the app drops them, without the garbage collector."""

        def finished():
            gc.collect()
            gc.disable()
            try:
                for target in ("a", "@c") * 50:
                    call = world.ask(target)
                    world.asked.pop().deferred.callback(b"data")
                    call.getwait()
                    del call
                return gc.collect()
            finally:
                gc.enable()

        finished()
        assert finished() < 20


class RandomService(Service):
    """Answers each operation with its request, at random moments; counts every end."""

    default_port = 80

    def __init__(self):
        self.waiting = []
        self.cancelled = set()
        self.answered = set()
        self.performed = set()

    def operation(self, request):
        return Operation("a", request)

    def perform(self, node, operation):
        request = operation.request
        assert request not in self.performed
        self.performed.add(request)
        deferred = Deferred(lambda _: self._cancelled(request))
        self.waiting.append((request, deferred))
        return deferred

    def _cancelled(self, request):
        assert request not in self.cancelled
        self.cancelled.add(request)

    def answer_one(self):
        if self.waiting:
            request, deferred = self.waiting.pop(random.randrange(len(self.waiting)))
            if not deferred.called:
                self.answered.add(request)
                deferred.callback(request)


class TestStress:
    def test_deadlines_of_many_threads_race_with_answers(self):
        """Whoever wins, each call has one result that fits what happened, and nothing is left."""
        reactor = FakeReactor()
        reactor.seconds = time.monotonic
        service = RandomService()
        world = World(reactor)
        outcomes = {}

        def app(name):
            for number in range(60):
                request = (name, number)
                call = world.dispatcher.submit(service, service.operation(request))
                result = call.getwait(random.choice([0, 0.0005, 0.002, 60]))
                assert call.getwait() is result
                outcomes[request] = result

        threads = [threading.Thread(target=app, args=(name,), daemon=True) for name in range(12)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            reactor.turn()
            service.answer_one()
            time.sleep(0)
        reactor.turn()
        assert len(outcomes) == 12 * 60
        late = {request for request, result in outcomes.items() if result.status == 1}
        normal = {request for request, result in outcomes.items() if result.status == 3}
        assert late | normal == set(outcomes)
        assert all(outcomes[request].data == request for request in normal)
        # Each operation that began was answered or cancelled; an answer may have come a moment too late.
        assert service.performed == service.cancelled | service.answered
        assert not service.cancelled & service.answered
        assert service.cancelled <= late
        assert normal <= service.answered
        assert world.dispatcher.in_flight == 0

    def test_many_threads_wait_for_one_call(self):
        """Threads of different patience all get one result, and the call is cancelled at most once."""
        for answer in (False, True):
            world = World()
            call = world.ask("a")
            results, start = [], threading.Barrier(17)

            def wait(timeout, call=call, results=results, start=start):
                start.wait()
                results.append(call.getwait(timeout))

            threads = [threading.Thread(target=wait, args=(n % 4 / 1000,), daemon=True) for n in range(16)]
            for thread in threads:
                thread.start()
            start.wait()
            if answer:
                world.asked[0].deferred.callback(b"data")
            for thread in threads:
                thread.join(60)
            world.reactor.turn()
            assert len(results) == 16
            assert len({id(result) for result in results}) == 1
            assert world.asked[0].cancelled == (results[0].status == 1)
            assert world.in_flight() == IDLE
