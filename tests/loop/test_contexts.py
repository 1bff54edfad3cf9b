"""One context for all parts of a request, wherever they run and whatever else is in it."""

import gc
from contextvars import Context, ContextVar, copy_context

import greenlet
import pytest
from twisted.internet.defer import CancelledError, Deferred

from skitai.calls.gather import as_completed, gather
from skitai.loop.contexts import current_context, run_in, start_in
from skitai.loop.coroutines import run_coroutine

NUMBER = ContextVar("number")


def number():
    """Return what the current context has."""
    return NUMBER.get(None)


def test_the_current_context_is_the_object_itself():
    """What is set here is set in the context that ``current_context`` returned."""

    def use():
        context = current_context()
        NUMBER.set(1)
        assert (context[NUMBER], current_context() is context) == (1, True)

    greenlet.greenlet(use).switch()  # one without a context so far
    Context().run(use)


def test_run_in_gives_back_the_former_context():
    """The function's changes stay in its context, whether it returns or raises."""
    here = current_context()
    other = Context()
    token = run_in(other, NUMBER.set, 1)
    assert (number(), current_context() is here, run_in(other, number)) == (None, True, 1)
    with pytest.raises(ZeroDivisionError):
        run_in(other, lambda: 1 / 0)
    assert current_context() is here
    run_in(other, NUMBER.reset, token)
    assert run_in(other, number) is None


def test_two_may_be_in_one_context():
    """Unlike ``Context.run``, ``run_in`` lets somebody in where somebody is."""
    context, main = Context(), greenlet.getcurrent()

    def inside():
        NUMBER.set(1)
        main.switch()
        return number()

    waiting = greenlet.greenlet(lambda: run_in(context, inside))
    waiting.switch()
    run_in(context, lambda: run_in(context, NUMBER.set, 2))
    assert waiting.switch() == 2


def test_run_in_within_context_run():
    """``Context.run`` finds its own context again at its end."""
    outer = copy_context()
    outer.run(run_in, Context(), NUMBER.set, 1)
    assert outer.run(number) is None


class TestCoroutines:
    """``start_in`` does what ``Deferred.fromCoroutine`` does."""

    def test_each_step_is_in_the_context(self):
        """Before and after each wait the coroutine is in the context, and nobody else."""
        context, awaited, seen = Context(), Deferred(), []

        async def coroutine():
            token = NUMBER.set(1)
            seen.append(await awaited)
            seen.append(number())
            NUMBER.reset(token)
            return number()

        finished = start_in(context, coroutine())
        assert (number(), context[NUMBER]) == (None, 1)
        context.run(NUMBER.set, 2)
        awaited.callback("fired")
        finished.addCallback(seen.append)
        assert (seen, number()) == (["fired", 2, None], None)

    def test_deferreds_that_have_fired_and_failures(self):
        """A Deferred that has fired goes on at once; one that failed raises where it is awaited."""

        async def coroutine():
            failed = Deferred()
            failed.errback(KeyError("k"))
            try:
                await failed
            except KeyError as error:
                done = Deferred()
                done.callback(error.args)
                return await done

        outcome = []
        start_in(Context(), coroutine()).addCallback(outcome.append)
        assert outcome == [("k",)]

    def test_a_failure_has_the_traceback(self):
        """The frames of the coroutine are in it, and the cause is as the coroutine gave it."""
        awaited, failures = Deferred(), []

        async def inner():
            await awaited

        async def coroutine():
            try:
                await inner()
            except ZeroDivisionError as error:
                raise KeyError("k") from error

        start_in(Context(), coroutine()).addErrback(failures.append)
        try:
            1 / 0  # noqa: B018 - it is to fail
        except ZeroDivisionError:
            awaited.errback()
        assert isinstance(failures[0].value.__cause__, ZeroDivisionError)
        assert "in coroutine\n" in failures[0].getTraceback()

    def test_cancelling(self):
        """Cancelling cancels what the coroutine waits for, and that is raised in its context."""
        context, seen, cancelled = Context(), [], []
        awaited = Deferred(cancelled.append)

        async def coroutine():
            NUMBER.set(1)
            try:
                await awaited
            except CancelledError:
                seen.append(number())
                raise

        finished = start_in(context, coroutine())
        finished.cancel()
        finished.addErrback(lambda failure: seen.append(failure.type))
        assert (cancelled, seen) == ([awaited], [1, CancelledError])

    def test_a_coroutine_that_is_given_up(self):
        """One that nobody can resume any more is closed, and nothing is complained about."""
        closed = []

        async def coroutine():
            try:
                await Deferred()
            finally:
                closed.append(True)

        start_in(Context(), coroutine())
        gc.collect()
        assert closed == [True]


class TestAppsThatWait:
    """An app and a coroutine that it waits for share one context, in both executors."""

    def test_tokens_and_values_go_both_ways(self, world, apps):
        """What either sets is seen by the other, and a token of one is good for the other."""

        async def body(token):
            assert number() == 1
            NUMBER.reset(token)
            result = await world.ask("a")
            return NUMBER.set(2), result.data

        def app():
            token, data = run_coroutine(world.bridge, body(NUMBER.set(1)))
            assert (number(), data) == (2, b"data")
            NUMBER.reset(token)
            return number()

        future = apps.start(app)
        while not world.asked:
            world.reactor.turn()
        assert number() is None
        world.asked[0].deferred.callback(b"data")
        assert apps.finish(future) is None
        assert number() is None

    @pytest.mark.parametrize("kind", ["call", "group", "gather", "as_completed"])
    def test_a_filter_is_a_part_of_the_request(self, world, apps, kind):
        """Where a coroutine awaits a call, its filter runs in the context of the coroutine."""
        seen = []

        def see(result):
            seen.append(number())
            NUMBER.set(2)
            return result

        async def body():
            call = world.ask.map("@c", filter=see) if kind == "group" else world.ask("a", filter=see)
            if kind == "gather":
                await gather(world.bridge, [call], 5)
            elif kind == "as_completed":
                assert [result.data async for result in as_completed(world.bridge, [call], 5)] == [b"data"]
            else:
                await call

        def app():
            NUMBER.set(1)
            run_coroutine(world.bridge, body())
            return number()

        future = apps.start(app)
        while not world.asked:
            world.reactor.turn()
        for asked in world.asked:
            asked.deferred.callback(b"data")
        assert (apps.finish(future), seen[0], number()) == (2, 1, None)

    def test_the_reactor_is_in_no_request(self, world, apps):
        """What an app has the reactor do runs in the reactor's context, at once or later."""
        seen = []

        def app():
            NUMBER.set(1)
            world.bridge.submit(lambda: seen.append(number()))
            world.bridge.ask(lambda: seen.append(number()), 60)
            world.bridge.submit(lambda: NUMBER.set(2))
            return number()

        future = apps.start(app)
        assert apps.finish(future) == 1
        assert seen == [None, None]
        assert NUMBER.get() == 2  # this is the reactor
        NUMBER.set(None)
