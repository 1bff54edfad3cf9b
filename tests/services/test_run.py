"""``was.run``: functions that block, in a pool of real threads, as calls."""

import threading
import traceback
from contextvars import ContextVar
from functools import partial

import pytest
from greenlet import GreenletExit
from twisted.internet.defer import Deferred, succeed
from twisted.logger import capturedLogs, formatEvent

from instances import Hooks, RunningInstance, make_instance
from serving import eventually
from skitai import was
from skitai.calls.operation import Operation
from skitai.calls.service import Service
from skitai.context import run_coroutine
from skitai.errors import ConfigError, MisuseError, OperationError, OperationTimeout
from skitai.services.run import plugin
from wire import PATIENCE

number = ContextVar("number", default=0)


RAISED = [
    ValueError("no"),
    UnicodeDecodeError("ascii", b"b", 0, 1, "no"),
    SystemExit(3),
    KeyboardInterrupt(),
    GreenletExit(),
]


class Stuck:
    """A function that blocks its thread until the test says so."""

    def __init__(self):
        self.begun = threading.Event()
        self.released = threading.Event()
        self.ended = threading.Event()

    def __call__(self, value=None):
        self.begun.set()
        assert self.released.wait(PATIENCE)
        self.ended.set()
        return value

    def wait_for_begin(self):
        assert self.begun.wait(PATIENCE)


class Door(Service):
    """``was.door("open")`` is answered, ``was.door("shut")`` never."""

    def operation(self, target):
        return Operation(target)

    def node(self, target):
        return None

    def perform(self, node, operation):
        return succeed("come in") if operation.target == "open" else Deferred()


class Site:
    """Instances with ``was.run`` and ``was.door``."""

    def __init__(self, loop, folder, threads):
        self.loop = loop
        self.folder = folder
        self.threads = threads
        self.running = []

    def start(self, section="", **server):
        """Start an instance with the lines of ``section`` in [run], and keys of [server]."""
        keys = {"ip": "127.0.0.1", "port": 0, "access_log": "off", "threads": self.threads, **server}
        lines = ["[server]", *(f"{key} = {value}" for key, value in keys.items()), "[run]", section]
        (self.folder / "site.conf").write_text("\n".join(lines) + "\n")
        door = Hooks(skitai_services=lambda instance: {"door": Door()})
        instance = make_instance(self.loop.reactor, self.folder / "site.conf", run=plugin, door=door)
        self.running.append(RunningInstance(self.loop, instance))
        return self

    def work(self, function):
        """Return what ``function(was)`` returns where apps run, in a request of its own."""
        return self.loop.call(self.running[-1].instance.run, function)

    def statistics(self):
        return self.running[-1].instance.status()["was.run"]

    def stop(self):
        self.running.pop().stop()


@pytest.fixture
def site(reactor_thread, tmp_path, threads):
    site = Site(reactor_thread, tmp_path, threads)
    yield site
    while site.running:
        site.stop()


@pytest.fixture
def stuck():
    stuck = Stuck()
    yield stuck
    stuck.released.set()


class Picky(Exception):
    """An exception that cannot be made from its ``args``."""

    def __init__(self, code, *, why):
        super().__init__(f"{code}: {why}")


class Wordy(Exception):
    """An exception that makes its message from its argument."""

    def __init__(self, code):
        super().__init__(f"code {code}")
        self.code = code


def fail(error):
    raise error


class TestOutcome:
    """What a function returns or raises."""

    def test_any_object(self, site):
        """The result's data is the very object that the function returned."""
        result = site.start().work(lambda was: was.run(dict, a=1).getwait())
        assert (result.status, result.code, result.data) == (3, 200, {"a": 1})
        thing = object()
        assert site.work(lambda was: was.run(lambda: thing).getwait().data) is thing

    def test_at_the_same_time(self, site):
        """Functions begin when they are asked for, in threads that are not those of apps."""
        meeting = threading.Barrier(3, timeout=PATIENCE)

        def view(was):
            def meet():
                meeting.wait()
                return threading.current_thread().name

            return [call.getwait(PATIENCE).data for call in [was.run(meet) for _ in range(3)]]

        names = site.start().work(view)
        assert sorted(names) == ["skitai-run-1", "skitai-run-2", "skitai-run-3"]

    @pytest.mark.parametrize(
        "error",
        [
            ValueError("no"),
            SystemExit(3),
            KeyboardInterrupt(),
            GreenletExit(),
            UnicodeDecodeError("a", b"b", 0, 1, "c"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_what_it_raises(self, site, error):
        """Whatever a function raises is the result's exception, and the thread lives on."""
        site.start("threads = 1")

        def view(was):
            result = was.run(fail, error).getwait()
            with pytest.raises(type(error)) as caught:
                result.reraise()
            return result, caught.value

        result, raised = site.work(view)
        assert (result.status, result.code, result.data) == (2, 701, None)
        assert result.error is error
        assert raised is not error
        assert str(raised) == str(error)
        assert site.work(lambda was: was.run(str, 5).getwait().data) == "5"
        assert site.statistics()["threads"] == 1

    @pytest.mark.parametrize("make", [partial(KeyError, 1), partial(Picky, 1, why="so"), partial(Wordy, 5)])
    def test_raised_anew(self, site, make):
        """Each ``reraise`` shows where the function failed, and nothing of those before it."""
        error = make()
        error.__cause__ = OSError("below")
        site.start()

        def view(was):
            call = was.run(fail, error)
            seen = []
            for wait in (call.wait, partial(call.getwait, reraise=True), call.getwait().reraise):
                with pytest.raises(type(error)) as caught:
                    wait()
                seen.append((traceback.extract_tb(caught.tb), str(caught.value), caught.value.__cause__))
            return seen

        for frames, text, cause in site.work(view):
            assert [frame.name for frame in frames].count("reraise") == 1
            assert frames[-1].name == "fail"
            assert text == str(error)
            assert str(cause) == "below"

    def test_failed_calls_of_the_function(self, site):
        """A failure of a call that the function made has that call's code; the function was not late."""
        failed = site.start().work(lambda was: was.run(fail, OperationTimeout("late")).getwait())
        assert (failed.status, failed.code) == (2, 702)
        with pytest.raises(OperationTimeout, match="late"):
            failed.reraise()

    def test_wrong_arguments_of_the_function(self, site):
        """A function that does not take its arguments has failed."""
        result = site.start().work(lambda was: was.run(len).getwait())
        assert result.status == 2
        assert isinstance(result.error, TypeError)

    def test_wrong_arguments(self, site):
        """What cannot run in a thread is refused where it is asked for."""

        async def coroutine():
            """Do nothing."""

        async def generator():
            yield

        class Asynchronous:
            async def __call__(self):
                """Do nothing."""

        def view(was):
            with pytest.raises(TypeError, match="takes a function and its arguments, not 5"):
                was.run(5)
            for function in (coroutine, generator, partial(coroutine), Asynchronous()):
                with pytest.raises(TypeError, match="is a coroutine function"):
                    was.run(function)
            with pytest.raises(TypeError, match="filter must be callable"):
                was.run(dict, filter="a")
            for mode in (was.run.lb, was.run.map):
                with pytest.raises(MisuseError, match="asks no clusters: it has neither lb nor map"):
                    mode(len)

        site.start().work(view)

    @pytest.mark.parametrize("name", [5, "", None])
    def test_an_object_with_any_name(self, site, name):
        """An object that can be called is run, whatever it answers when it is asked for its name."""

        class Remote:
            def __getattr__(self, _):
                return name

            def __call__(self):
                return "called"

        site.start()
        assert site.work(lambda was: was.run(Remote()).getwait().data) == "called"

    def test_keywords_of_the_function(self, site):
        """All keywords are the function's but ``filter`` and ``detach``, which it gets in a partial."""
        names = ("self", "submit", "function", "timeout", "reraise", "use_cache", "args", "name", "context")
        keywords = dict.fromkeys(names, 1)
        site.start()
        assert site.work(lambda was: was.run(dict, **keywords).getwait().data) == keywords
        both = {"filter": 1, "detach": 2}
        assert site.work(lambda was: was.run(partial(dict, **both)).getwait().data) == both


class TestCalls:
    """It is a call like any other."""

    def test_deadline(self, site, stuck):
        """After a deadline the function goes on; what it returns is dropped."""

        def view(was):
            call = was.run(stuck, "late")
            stuck.wait_for_begin()
            return call, call.getwait(0.01)

        call, result = site.start().work(view)
        assert (result.status, result.code, result.data) == (1, 702, None)
        assert site.statistics()["given_up"] == 1
        stuck.released.set()
        assert stuck.ended.wait(PATIENCE)
        eventually(lambda: site.statistics()["running"] == 0)
        assert call.getwait() is result

    @pytest.mark.parametrize(
        "end", [lambda call: call.getwait(0), lambda call: call.cancel()], ids=["late", "cancelled"]
    )
    def test_given_up_before_it_begins(self, site, stuck, end):
        """A function whose call is over before a thread is free never begins."""
        site.start("threads = 1")
        begun = []

        def view(was):
            first = was.run(stuck)
            stuck.wait_for_begin()
            second, third = was.run(begun.append, 2), was.run(begun.append, 3)
            end(second)
            stuck.released.set()
            return first.getwait().status, third.getwait().status

        assert site.work(view) == (3, 3)
        assert begun == [3]

    def test_together(self, site):
        """``gather``, ``as_completed`` and filters take it, beside calls of other services."""
        site.start()

        def double(result):
            result.data *= 2
            return result

        def view(was):
            calls = [was.run(int, "4", filter=double), was.run(int, "5")]
            results = was.gather(*calls)
            return results.data, sorted(result.data for result in was.as_completed(calls))

        assert site.work(view) == ([8, 5], [5, 8])

    def test_awaited(self, site):
        """A coroutine in the reactor awaits it."""

        async def coroutine(was):
            first = await was.run(int, "4")
            return first.data + (await was.gather(was.run(int, "5")))[0].data

        assert site.start().work(lambda was: run_coroutine(was, coroutine(was))) == 9

    def test_not_kept(self, site):
        """What a function returns is not kept: ``cache()`` only waits for it."""
        site.start()
        runs = []
        for _ in range(2):
            assert site.work(lambda was: was.run(runs.append, 1).cache(60).is_cached) is False
        assert runs == [1, 1]

    def test_context(self, site):
        """A function sees the context variables of the code that asked for it, and changes its own only."""

        def view(was):
            def function():
                seen = number.get()
                number.set(2)
                return seen

            number.set(1)
            call = was.run(function)
            number.set(3)
            return call.getwait().data, number.get()

        assert site.start().work(view) == (1, 3)

    def test_was_within_it(self, site):
        """``was`` in the function is that of the request, and may wait; ``calls_max`` does not count it."""
        site.start(calls_max=1)

        def view(was_of_view):
            def function():
                assert was.env is was_of_view.env
                return was.door("open").getwait(PATIENCE).data

            return was_of_view.run(function).getwait(PATIENCE).data

        assert site.work(view) == "come in"

    def test_calls_within_it_end_with_the_request(self, site):
        """A call that the function made belongs to the request, and ends with it if nobody waits."""
        site.start()
        call = site.work(lambda view_was: view_was.run(lambda: was.door("shut")).getwait().data)
        assert (call.status, call.code) == (2, 705)

    @pytest.mark.parametrize("detach", [True, False])
    def test_outliving_the_request(self, site, stuck, detach):
        """A function that goes on after its request may make calls and wait for them."""
        calls = []

        def function():
            calls.append(was.door("shut"))
            stuck()
            calls.append(was.door("open"))
            calls[-1].wait()

        def view(was):
            was.run(function, detach=detach)
            stuck.wait_for_begin()

        site.start().work(view)
        assert calls[0].status == (0 if detach else 2)  # a detached one does not belong to the request
        stuck.released.set()
        eventually(lambda: calls[1:] and calls[1].status == 3)


class TestLimits:
    """How many may run and wait."""

    def test_full(self, site, stuck):
        """Beyond the limits a call fails at once, and says which keys of the config set them."""
        site.start("threads = 1\nqueue = 1")

        def view(was):
            calls = [was.run(stuck) for _ in range(2)]
            result = was.run(int).getwait()
            stuck.released.set()
            return result, [call.getwait().status for call in calls]

        result, others = site.work(view)
        assert (result.status, result.code) == (2, 707)
        assert result.msg == (
            "too many functions: 1 run and 1 wait (threads and queue in the section [run] of the config)"
        )
        assert others == [3, 3]

    def test_threads_are_made_when_needed(self, site):
        """One thread does what comes one after the other, and stays; the status page tells."""
        site.start("threads = 5")
        assert site.statistics() == {"running": 0, "given_up": 0, "queued": 0, "threads": 0}
        for _ in range(3):
            site.work(lambda was: was.run(int).getwait())
        assert site.statistics() == {"running": 0, "given_up": 0, "queued": 0, "threads": 1}

    @pytest.mark.parametrize("line", ["threads = 0", "queue = -1"])
    def test_wrong_limits(self, site, line):
        """A pool without threads is a mistake in the config."""
        with pytest.raises(ConfigError, match="must be a whole number of at least"):
            site.start(line)


class TestStop:
    """What the server's stop does to functions."""

    def test_in_the_queue(self, site, stuck):
        """Functions that have not begun are dropped; those that run for somebody may end."""
        site.start("threads = 1")
        calls = []

        def view(was):
            calls.extend(was.run(stuck, detach=True) for _ in range(2))
            stuck.wait_for_begin()

        site.work(view)
        stopped = threading.Thread(target=site.stop)
        stopped.start()
        eventually(lambda: calls[1].status, "the end of the second")
        assert (calls[1].status, calls[1].code) == (2, 705)
        assert stopped.is_alive()
        stuck.released.set()
        stopped.join(PATIENCE)
        assert calls[0].status == 3
        eventually(lambda: not [each for each in threading.enumerate() if each.name.startswith("skitai-run")])

    def test_one_that_hangs(self, site, stuck):
        """A function that does not end is waited for as long as requests are, and named in the log."""
        site.start(response_timeout="0.1 s")

        def view(was):
            call = was.run(stuck, detach=True)
            stuck.wait_for_begin()
            return call

        call = site.work(view)
        with capturedLogs() as logged:
            site.stop()
        assert "was.run: the server stops, and these functions still run: Stuck" in map(formatEvent, logged)
        assert (call.status, call.code) == (2, 705)
        with pytest.raises(OperationError, match="the server is stopping"):
            call.wait()

    def test_one_that_nobody_wants(self, site, stuck):
        """A function whose call is over does not hold up the stop."""
        site.start(response_timeout=3600)

        def view(was):
            was.run(stuck)
            stuck.wait_for_begin()

        site.work(view)
        site.stop()
        assert not stuck.ended.is_set()
