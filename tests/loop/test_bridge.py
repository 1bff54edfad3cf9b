import threading

import greenlet
import pytest
from call_fakes import FakeReactor
from twisted.logger import globalLogPublisher

from skitai.errors import MisuseError
from skitai.loop.bridge import Bridge, Pending


@pytest.fixture
def logged():
    """The failures that are logged during a test."""
    events = []

    def observe(event):
        if "log_failure" in event:
            events.append(event["log_failure"].value)

    globalLogPublisher.addObserver(observe)
    yield events
    globalLogPublisher.removeObserver(observe)


class TestPending:
    def test_end_calls_each_waker_once(self):
        """Everybody who waits is woken once, in order of arrival, however often it ends."""
        pending, woken = Pending(), []
        pending.on_end(lambda: woken.append(1))
        pending.on_end(lambda: woken.append(2))
        assert not pending.over
        pending.end()
        pending.end()
        assert pending.over
        assert woken == [1, 2]

    def test_a_waker_that_fails(self, logged):
        """A waker that raises is logged, and the others are woken."""
        pending, woken = Pending(), []
        pending.on_end(lambda: 1 / 0)
        pending.on_end(lambda: woken.append(1))
        pending.end()
        assert woken == [1]
        assert isinstance(logged[0], ZeroDivisionError)

    def test_late_waker_is_called_at_once(self):
        """Who comes when it is over is woken at once."""
        pending, woken = Pending(), []
        pending.end()
        pending.on_end(lambda: woken.append(1))
        assert woken == [1]

    def test_no_waker_is_lost_between_threads(self):
        """Wakers that threads add while another thread ends it are all called, each once."""
        for _ in range(50):
            pending, woken = Pending(), []
            start = threading.Barrier(5)

            def add(pending=pending, woken=woken, start=start):
                start.wait()
                for number in range(20):
                    pending.on_end(lambda number=number: woken.append(number))

            threads = [threading.Thread(target=add) for _ in range(4)]
            for thread in threads:
                thread.start()
            start.wait()
            pending.end()
            for thread in threads:
                thread.join()
            assert sorted(woken) == sorted(list(range(20)) * 4)


class TestAsk:
    def test_in_the_reactor_thread(self, world):
        """There the function is called at once."""
        assert world.bridge.ask(lambda: 5, 1) == 5

    def test_in_a_thread(self, world, in_threads):
        """Elsewhere what it returns or raises in the reactor thread is what ``ask`` returns or raises."""
        asked = in_threads.start(lambda: world.bridge.ask(threading.get_ident, 60))
        failed = in_threads.start(lambda: world.bridge.ask(lambda: 1 / 0, 60))
        assert in_threads.finish(asked) == threading.get_ident()
        with pytest.raises(ZeroDivisionError):
            in_threads.finish(failed)

    def test_a_busy_reactor(self, world, in_threads):
        """Where the reactor does not come to it in time, TimeoutError."""
        asked = in_threads.start(lambda: world.bridge.ask(lambda: 5, 0.01))
        with pytest.raises(TimeoutError):
            asked.result(60)


class TestSubmit:
    def test_runs_at_once_in_the_reactor_thread(self, world):
        """In the reactor thread a function runs before submit returns, and its exception gets out."""
        done = []
        world.bridge.submit(lambda: done.append(1))
        assert done == [1]
        with pytest.raises(ZeroDivisionError):
            world.bridge.submit(lambda: 1 / 0)

    def test_coalesces_wakeups(self, world, in_threads):
        """However many functions threads hand over while the reactor is busy, it is woken once."""
        done = []
        future = in_threads.start(
            lambda: [world.bridge.submit(lambda n=n: done.append(n)) for n in range(100)]
        )
        future.result(60)
        assert done == []
        assert world.reactor.wakeups == 1
        world.reactor.turn()
        assert done == list(range(100))

    def test_wakes_again_after_the_inbox_was_emptied(self, world, in_threads):
        """A function that comes later wakes the reactor again."""
        done = []
        in_threads.run(lambda: world.bridge.submit(lambda: done.append(1)))
        in_threads.run(lambda: world.bridge.submit(lambda: done.append(2)))
        assert done == [1, 2]
        assert world.reactor.wakeups == 2

    def test_a_function_that_raises_is_logged_and_loses_no_other(self, world, in_threads, logged):
        """What one thread hands over cannot hurt what others did."""
        done = []

        def hand_over():
            world.bridge.submit(lambda: done.append(1))
            world.bridge.submit(lambda: 1 / 0)
            world.bridge.submit(lambda: done.append(2))

        in_threads.run(hand_over)
        assert done == [1, 2]
        assert [type(error) for error in logged] == [ZeroDivisionError]

    def test_functions_of_many_threads_all_run_in_the_reactor_thread(self, world, in_threads):
        """Nothing that threads hand over at the same time is lost or runs elsewhere."""
        done = []

        def hand_over(name):
            for number in range(200):
                world.bridge.submit(lambda n=number: done.append((name, n, threading.get_ident())))

        for future in [in_threads.start(lambda name=name: hand_over(name)) for name in range(8)]:
            in_threads.finish(future)
        assert {ident for _, _, ident in done} == {threading.get_ident()}
        for name in range(8):
            assert [number for other, number, _ in done if other == name] == list(range(200))

    def test_before_the_start_everything_waits_for_the_reactor(self):
        """Functions that come before the bridge starts run with the reactor's first turn."""
        reactor, done = FakeReactor(), []
        bridge = Bridge(reactor)
        bridge.submit(lambda: done.append(1))
        assert done == []
        reactor.turn()
        assert done == [1]


class TestHub:
    def test_runs_outside_any_greenlet(self, world, apps):
        """What is meant for the reactor itself runs there, and may not wait, wherever it comes from."""
        seen = []
        apps.run(lambda: world.bridge.submit_to_reactor(lambda: seen.append(world.bridge.may_wait())))
        world.reactor.turn()
        assert seen == [False]


class TestWait:
    def test_returns_true_when_it_ends(self, world, apps):
        """Waiting ends with what it waits for."""
        pending = Pending()
        future = apps.start(lambda: world.bridge.wait(pending, 60))
        pending.end()
        assert apps.finish(future) is True

    def test_returns_at_once_when_it_is_over(self, world, apps):
        """Nobody waits for what is over, not even the reactor thread."""
        pending = Pending()
        pending.end()
        assert apps.run(lambda: world.bridge.wait(pending, 0)) is True
        assert world.bridge.wait(pending, 60) is True

    @pytest.mark.parametrize("timeout", [0, -1])
    def test_returns_at_once_without_time(self, world, apps, timeout):
        """Without time left, waiting only looks."""
        assert apps.run(lambda: world.bridge.wait(Pending(), timeout)) is False
        assert world.reactor.getDelayedCalls() == []

    def test_an_answer_that_came_meanwhile_counts(self, world, in_greenlets):
        """A greenlet that computed until its time was over gets what the reactor has yet to read."""
        pending = Pending()
        world.reactor.callLater(0, pending.end)
        assert in_greenlets.run(lambda: world.bridge.wait(pending, -1)) is True

    def test_greenlet_time_out(self, world, in_greenlets):
        """A greenlet waits exactly as long as it said."""
        future = in_greenlets.start(lambda: world.bridge.wait(Pending(), 2))
        world.reactor.advance(1.9)
        assert not future.done()
        world.reactor.advance(0.1)
        assert in_greenlets.finish(future) is False

    def test_thread_time_out(self, world, in_threads):
        """A thread's wait ends when its time is up, whatever the reactor does."""
        assert in_threads.start(lambda: world.bridge.wait(Pending(), 0.01)).result(60) is False

    def test_any_number_is_a_time_out(self, world, apps):
        """A time-out that is longer than the system can count is as good as none."""
        pending = Pending()
        future = apps.start(lambda: world.bridge.wait(pending, float("inf")))
        pending.end()
        assert apps.finish(future) is True

    def test_greenlets_share_one_timer(self, world, in_greenlets):
        """However many wait, each as long as it said, there is one timer; and none when all time is up."""
        waits = {
            seconds: in_greenlets.start(lambda seconds=seconds: world.bridge.wait(Pending(), seconds))
            for seconds in (3, 1, 2, 1, 60)
        }
        for seconds, future in sorted(waits.items()):
            assert len(world.reactor.getDelayedCalls()) == 1
            world.reactor.advance(seconds - 0.5 - world.reactor.seconds())
            assert not future.done()
            world.reactor.advance(0.5)
            assert in_greenlets.finish(future) is False
        assert world.reactor.getDelayedCalls() == []

    def test_an_early_end_leaves_the_others_their_time(self, world, in_greenlets):
        """Waits that end early, however many, are forgotten; the timer outlasts them, and does nothing."""
        patient = in_greenlets.start(lambda: world.bridge.wait(Pending(), 5))
        for _ in range(1000):
            pending = Pending()
            future = in_greenlets.start(lambda pending=pending: world.bridge.wait(pending, 2))
            pending.end()
            assert in_greenlets.finish(future) is True
        assert len(world.bridge._deadlines) < 200
        world.reactor.advance(2)
        assert not patient.done()
        world.reactor.advance(3)
        assert in_greenlets.finish(patient) is False
        assert world.reactor.getDelayedCalls() == []

    def test_reactor_thread_outside_a_greenlet_is_misuse(self, world):
        """Code that would stop the whole server is told so at once, and how to do better."""
        with pytest.raises(MisuseError, match=r"block the reactor thread.*await"):
            world.bridge.wait(Pending(), 60)
        with pytest.raises(MisuseError):
            world.bridge.wait(Pending(), 0)

    def test_wake_from_another_greenlet_goes_through_the_hub(self, world, in_greenlets):
        """An app that ends what another waits for goes on itself first, and neither is left behind."""
        pending, order = Pending(), []

        def waits():
            world.bridge.wait(pending, 60)
            order.append("woken")

        def ends():
            pending.end()
            order.append("ended")

        waiting, ending = in_greenlets.start(waits), in_greenlets.start(ends)
        assert order == ["ended"]
        in_greenlets.finish(waiting)
        assert order == ["ended", "woken"]
        assert ending.done()

    def test_wake_from_another_thread_goes_through_the_reactor(self, world, in_greenlets, in_threads):
        """A thread that ends what a greenlet waits for has the reactor wake it."""
        pending = Pending()
        waiting = in_greenlets.start(lambda: (world.bridge.wait(pending, 60), threading.get_ident()))
        in_threads.start(pending.end).result(60)
        assert not waiting.done()
        world.reactor.turn()
        assert in_greenlets.finish(waiting) == (True, threading.get_ident())

    def test_one_end_wakes_all(self, world, in_greenlets, in_threads):
        """Threads and greenlets may wait for the same thing."""
        pending = Pending()
        futures = [
            kind.start(lambda: world.bridge.wait(pending, 60)) for kind in [in_greenlets, in_threads] * 3
        ]
        pending.end()
        assert [in_threads.finish(future) for future in futures] == [True] * 6

    def test_waits_in_a_greenlet_of_an_apps_own(self, world, in_greenlets):
        """A greenlet that an app starts may wait, too, and returns to the app."""
        pending = Pending()
        future = in_greenlets.start(lambda: greenlet.greenlet(world.bridge.wait).switch(pending, 60))
        pending.end()
        assert in_greenlets.finish(future) is True

    def test_greenlet_that_is_killed_while_it_waits(self, world):
        """A greenlet that is thrown out of its wait is not woken, by its time or by the end."""
        pending = Pending()
        waiting = greenlet.greenlet(lambda: world.bridge.wait(pending, 60))
        waiting.switch()
        waiting.throw()
        assert waiting.dead
        world.reactor.advance(60)
        assert world.reactor.getDelayedCalls() == []
        pending.end()

    def test_end_at_the_very_moment_of_the_time_out(self, world, in_greenlets):
        """A greenlet that both ends and times out in one turn of the reactor is resumed once."""
        pending, resumed = Pending(), []
        world.reactor.callLater(2, pending.end)

        def wait():
            world.bridge.wait(pending, 2)
            resumed.append(1)
            world.bridge.wait(Pending(), 5)
            resumed.append(2)

        in_greenlets.start(wait)
        world.reactor.advance(2)
        assert resumed == [1]
        world.reactor.advance(5)
        assert resumed == [1, 2]


class TestCallLater:
    def test_calls_with_arguments(self, world):
        """The reactor's timers, for code that knows only the bridge."""
        done = []
        world.bridge.call_later(3, done.append, 1)
        world.reactor.advance(3)
        assert done == [1]
        assert world.bridge.seconds() == 3
