import pytest

from skitai.calls.uncollected import LONGEST_LIFE, OpenCalls
from skitai.context import ServiceTable, Was


@pytest.fixture
def open_calls():
    return OpenCalls()


@pytest.fixture
def was(world, open_calls):
    """The ``was`` of a request."""
    return Was(ServiceTable(world.dispatcher, {"ask": world.service}, {}), {}, open_calls)


def cancelled(world):
    return [asked.cancelled for asked in world.asked]


class TestEndOfTheRequest:
    def test_what_nobody_waited_for_is_cancelled(self, world, was, open_calls):
        """Calls that the app forgot end with its request, their sockets freed; also those of a map."""
        calls = [was.ask("a"), was.ask.lb("@c"), *was.ask.map("@c").calls]
        open_calls.end()
        assert cancelled(world) == [1] * 5
        assert {(call.status, call.code) for call in calls} == {(2, 705)}
        assert calls[0].getwait().msg == "the request ended and nobody waited"

    def test_what_somebody_waits_for_goes_on(self, world, was, open_calls, in_greenlets):
        """A thread, greenlet or coroutine of the app's own may still wait for its calls."""
        calls = [was.ask("a") for _ in range(4)]
        group = was.ask.map("@c")
        in_greenlets.start(lambda: calls[0].getwait(5))
        calls[1].deferred(5)
        in_greenlets.start(lambda: was.gather(calls[2], timeout=5))
        in_greenlets.start(lambda: group.getswait(5))
        open_calls.end()
        assert cancelled(world) == [0, 0, 0, 1, 0, 0, 0]

    def test_what_is_over_stays_as_it_is(self, world, was, open_calls):
        """An answer that came is not touched."""
        call = was.ask("a")
        world.asked[0].deferred.callback(b"data")
        open_calls.end()
        assert call.getwait().data == b"data"

    def test_the_rest_of_as_completed(self, world, was, open_calls, in_greenlets):
        """Who leaves the loop at the first answer has the others cancelled at the end."""
        calls = [was.ask("a"), was.ask("a")]
        in_greenlets.start(lambda: next(iter(was.as_completed(calls))))
        world.asked[1].deferred.callback(b"first")
        open_calls.end()
        assert cancelled(world) == [1, 0]

    def test_outside_a_request_nothing_is_noted(self, world):
        """Calls of the instance's own ``was`` belong to no request."""
        call = Was(ServiceTable(world.dispatcher, {"ask": world.service}, {})).ask("a")
        assert call.status == 0

    def test_a_response_without_an_end(self, world, was, open_calls):
        """A request that makes calls for ever does not keep those that are over."""
        for _ in range(1000):
            was.ask("a")
            world.asked.pop().deferred.callback(b"data")
        assert len(open_calls._calls) < 100
        kept = [was.ask("a") for _ in range(100)]
        open_calls.end()
        assert {call.code for call in kept} == {705}


class TestAtEnd:
    """What a service has called when the request of its ``Caller`` ends."""

    def test_once_at_the_end(self, was, open_calls):
        """A function is called once, when the request ends, or at once if it has."""
        called = []
        was.ask.at_end(lambda: called.append("then"))
        assert called == []
        open_calls.end()
        open_calls.end()
        assert called == ["then"]
        was.ask.at_end(lambda: called.append("now"))
        assert called == ["then", "now"]

    def test_undone(self, was, open_calls):
        """What is no longer needed is forgotten, however often that is said."""
        forget = was.ask.at_end(lambda: 1 / 0)
        forget()
        forget()
        open_calls.end()

    def test_one_that_fails(self, world, was, open_calls):
        """A function that raises is logged; the others are called, and the calls end."""
        called = []
        was.ask.at_end(lambda: 1 / 0)
        was.ask.at_end(lambda: called.append(True))
        was.ask("a")
        open_calls.end()
        assert called == [True]
        assert cancelled(world) == [1]

    def test_outside_a_request(self, world):
        """Outside a request nothing is called, and there is nothing to undo."""
        Was(ServiceTable(world.dispatcher, {"ask": world.service}, {})).ask.at_end(lambda: 1 / 0)()


class TestOutsideRequests:
    def test_ends_by_itself(self, world):
        """A call of a thread of the app's own belongs to no request; nobody else would ever end it."""
        call = world.ask("a")
        world.reactor.advance(LONGEST_LIFE)
        assert (call.status, cancelled(world)) == (1, [1])


class TestDetach:
    def test_outlives_the_request(self, world, was, open_calls):
        """A detached call goes on."""
        call, group = was.ask("a", detach=True), was.ask.map("@c", detach=True)
        open_calls.end()
        world.asked[0].deferred.callback(b"data")
        assert (call.status, group.status) == (3, [0, 0, 0])
        assert world.asked[0].operation.request is None

    def test_has_a_longest_life(self, world, was):
        """What is detached and not answered ends by itself, and leaves nothing."""
        call = was.ask("a", detach=True)
        world.reactor.advance(LONGEST_LIFE - 1)
        assert call.status == 0
        world.reactor.advance(1)
        assert (call.status, call.code, cancelled(world)) == (1, 702, [1])
        assert world.reactor.getDelayedCalls() == []

    def test_detached_with_a_time_out_of_its_own(self, world, was):
        """A detached call that was given a time-out has that, and not the usual one."""
        call = was.ask("a", detach=True, timeout=2)
        world.reactor.advance(2)
        assert (call.status, call.getwait().msg) == (1, "detached, and no answer within 2 s")

    def test_who_waits_decides_how_long(self, world, was, in_greenlets):
        """A detached call that somebody waits for has that deadline."""
        call = was.ask("a", detach=True)
        future = in_greenlets.start(lambda: call.getwait(2 * LONGEST_LIFE))
        world.reactor.advance(LONGEST_LIFE)
        world.asked[0].deferred.callback(b"data")
        assert in_greenlets.finish(future).data == b"data"

    def test_leaves_no_timer(self, world, was):
        """The end of a detached call ends its timer."""
        was.ask("a", detach=True)
        world.asked[0].deferred.callback(b"data")
        assert world.reactor.getDelayedCalls() == []

    def test_from_threads(self, in_threads, world, was):
        """It works wherever the app runs."""
        call = in_threads.run(lambda: was.ask("a", detach=True))
        world.reactor.turn()
        world.reactor.advance(LONGEST_LIFE)
        assert call.status == 1

    def test_an_answer_at_once(self, was, world):
        """A call that is over when it is detached needs no timer."""
        world.service.reaction = lambda asked: b"data"
        assert was.ask("a", detach=True).status == 3
        assert world.reactor.getDelayedCalls() == []
