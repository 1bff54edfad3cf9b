"""The fakes for authors of apps and plugins: they do what a server would, and complain as clearly."""

import contextlib
import inspect
import re
import threading
from math import inf
from pathlib import Path

import pytest
from flask import Flask
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

import skitai.testing
from skitai import was
from skitai.calls.operation import Operation
from skitai.calls.result import Result
from skitai.calls.service import Service
from skitai.config import Config
from skitai.errors import DeadlockError, MisuseError, NoServerError, OperationError, UnsentError
from skitai.interfaces import IExecutor, IInstance, IService
from skitai.loop.bridge import Bridge, Pending
from skitai.plugins.manager import create_plugin_manager
from skitai.services.http.result import HTTPResult
from skitai.testing import FakeWas, InlineExecutor, RecordedRequest, ServiceHarness, verify_service
from skitai.testing.clockbridge import ClockBridge
from skitai.worker.instance import Instance

PAGE = Path(__file__).parents[1] / "docs" / "testing.md"


@pytest.fixture
def fake():
    with FakeWas(clusters={"c": 3}) as fake:
        yield fake


class Rows(Result):
    empty = ()

    def __init__(self, data=(), *, description=None, **fields):
        super().__init__(data, **fields)
        self.description = description


class Database(Service):
    """A service whose results have a class of their own, and that starts when a method is called."""

    cluster_types = frozenset({"database"})
    default_port = 5432
    result_type = Rows

    def operation(self, target, sql=""):
        return Operation(target, sql)

    def begin(self, submit, *args, **kwargs):
        class Connection:
            def execute(_, sql):
                return submit(self.operation(*args, sql, **kwargs))

        return Connection()


class TestReply:
    def test_answers(self, fake):
        """The scripted answer is what the call comes to."""
        fake.reply("get", "http://x/y", b"made", code=201, msg="Created")
        result = was.get("http://x/y").getwait()
        assert (result.status, result.code, result.msg, result.data) == (3, 201, "Created", b"made")
        assert result.node.label == "x:80"

    def test_default_is_an_empty_200(self, fake):
        """Where only the fact of an answer counts, nothing needs to be said about it."""
        fake.reply("post", "http://x/y")
        result = was.post("http://x/y", {"a": "b"}).getwait()
        assert (result.status, result.code, result.data) == (3, 200, b"")

    def test_takes_a_whole_result(self, fake):
        """An answer with header fields, or of status 2, is given as a result."""
        whole = HTTPResult(b"", code=302, headers=[("Location", "/z")])
        fake.reply("get", "http://x/y", whole, times=2)
        results = [was.get("http://x/y").getwait() for _ in range(2)]
        assert [result.get_header("location") for result in results] == ["/z", "/z"]
        assert results[0] is not results[1]
        assert whole.node is None

    def test_answers_come_in_order(self, fake):
        """Each request uses up one answer, those for other targets and services untouched."""
        fake.reply("get", "http://x/y", b"1", times=2)
        fake.reply("post", "http://x/y", b"posted")
        fake.reply("get", "http://x/y", b"2")
        answers = [was.get("http://x/y").getwait().data for _ in range(3)]
        assert answers == [b"1", b"1", b"2"]
        assert was.post("http://x/y").getwait().data == b"posted"

    def test_delay(self, fake):
        """Delayed answers come in their order of time, and waiting takes no more than the longest."""
        fake.reply("get", "http://x/1", b"1", delay=3)
        fake.reply("get", "http://x/2", b"2", delay=1)
        first, second = was.get("http://x/1"), was.get("http://x/2")
        assert second.getwait().data == b"2"
        assert fake.clock.seconds() == 1
        assert first.status == 0
        assert first.getwait().data == b"1"
        assert fake.clock.seconds() == 3

    def test_delay_beyond_the_patience_is_a_time_out(self, fake):
        """An answer that comes too late is not seen."""
        fake.reply("get", "http://x/y", delay=3)
        assert was.get("http://x/y").getwait(2).status == 1
        fake.clock.advance(5)

    def test_results_of_the_services_class(self):
        """A service's own result class is used, with its own fields, and checked when scripting."""
        with FakeWas(services={"db": Database()}, clusters={"c": 1}) as fake:
            fake.reply("db", "@c", [(1,)], description="n")
            fake.fail("db", "@c", OperationError("down"))
            result = was.db("@c").execute("select 1").getwait()
            failed = was.db("@c").execute("select 2").getwait()
            with pytest.raises(TypeError, match="colour"):
                fake.reply("db", "@c", colour="red")
        assert (result.data, result.description, result.node.label) == ([(1,)], "n", "c-1")
        assert (type(failed), failed.data) == (Rows, ())

    def test_unknown_service(self, fake):
        """A misspelt service is found when scripting."""
        for script in (fake.reply, fake.stall, lambda *args: fake.fail(*args, OperationError("x"))):
            with pytest.raises(ValueError, match=r"was\.gte is not a service; there are: .*get"):
                script("gte", "http://x/y")

    def test_a_whole_result_with_fields(self, fake):
        """What a result says is said in the result."""
        with pytest.raises(TypeError, match="code"):
            fake.reply("get", "http://x/y", Result(), code=404)


class TestFailAndStall:
    def test_fail(self, fake):
        """The call fails as if the other side had, and names its node."""
        fake.fail("get", "http://x/y", OperationError("broken", code=706))
        result = was.get("http://x/y").getwait()
        assert (result.status, result.code, result.node.label) == (2, 706, "x:80")

    def test_stall(self, fake):
        """A request that is never answered times out on the fake clock, at once."""
        fake.stall("get", "http://x/y")
        result = was.get("http://x/y").getwait(3)
        assert (result.status, result.code, result.data) == (1, 702, b"")
        assert fake.clock.seconds() == 3

    def test_calls_time_out_together(self, fake):
        """Time-outs count from the creation of the calls, as on a server."""
        fake.stall("get", "http://x/y", times=3)
        for call in [was.get("http://x/y") for _ in range(3)]:
            call.getwait(2)
        assert fake.clock.seconds() == 2

    def test_await(self, fake):
        """Coroutines work, too."""
        fake.reply("get", "http://x/y", b"data", delay=1)

        async def view():
            return (await was.get("http://x/y")).data

        seen = []
        Deferred.fromCoroutine(view()).addCallback(seen.append)
        fake.clock.advance(1)
        assert seen == [b"data"]


class TestClusters:
    def test_lb(self, fake):
        """The members of a cluster take turns."""
        fake.reply("get", "@c/y", times=4)
        labels = [was.get.lb("@c/y").getwait().node.label for _ in range(4)]
        assert labels == ["c-1", "c-2", "c-3", "c-1"]

    def test_fail_over(self, fake):
        """A member that fails is followed by the next, in the real order of things."""
        fake.fail("get", "@c/y", UnsentError("refused"))
        fake.reply("get", "@c/y", b"data")
        assert was.get.lb("@c/y").getwait().node.label == "c-2"

    def test_one_error_for_all_members(self, fake):
        """An error that several members give names the right node each time."""
        fake.fail("get", "@c/y", UnsentError("refused"), times=3)
        results = was.get.map("@c/y").getswait()
        assert [result.error.node.label for result in results] == ["c-1", "c-2", "c-3"]

    def test_map(self, fake):
        """Each member of a map takes one answer, in member order."""
        fake.reply("get", "@c/y", b"1")
        fake.stall("get", "@c/y")
        fake.reply("get", "@c/y", b"3", delay=1)
        results = was.get.map("@c/y").getswait(2)
        assert results.data == [b"1", b"", b"3"]
        assert results.status == [3, 1, 3]
        assert len(fake.requests) == 1

    def test_unknown_cluster(self, fake):
        """A cluster that the test did not name is the app's mistake, as on a server."""
        with pytest.raises(MisuseError, match="no cluster @d"):
            was.get("@d/y")


class TestRequests:
    def test_records(self, fake):
        """What was asked can be looked at: service, target, arguments, mode and cluster."""
        fake.reply("get", "http://x/y")
        fake.reply("get", "@c/y")
        fake.reply("post", "@c/z", times=3)
        was.get("http://x/y", headers={"A": "b"})
        was.get.lb(uri="@c/y")
        was.post.map("@c/z", "text")
        assert fake.requests == [
            RecordedRequest("get", "http://x/y", ("http://x/y",), {"headers": {"A": "b"}}),
            RecordedRequest("get", "@c/y", (), {"uri": "@c/y"}, "lb", "c"),
            RecordedRequest("post", "@c/z", ("@c/z", "text"), {}, "map", "c"),
        ]

    def test_cannot_be_changed(self, fake):
        """Records are facts."""
        fake.reply("get", "http://x/y")
        was.get("http://x/y")
        with pytest.raises(AttributeError):
            fake.requests[0].target = "other"


class TestMistakes:
    def test_unscripted_request(self):
        """A request without an answer is named where the app makes it, with what the script has left."""

        def test():
            with FakeWas() as fake:
                fake.reply("get", "http://x/1", times=2)
                was.get("http://x/2")

        with pytest.raises(AssertionError) as raised:
            test()
        assert str(raised.value) == (
            "was.get('http://x/2') was asked, but the script has no answer; it has left:\n"
            "  was.get('http://x/1') 2 times"
        )

    def test_swallowed(self):
        """An app that swallows the complaint hears it again when the block ends, even if not strict."""

        def test():
            with FakeWas(strict=False), contextlib.suppress(AssertionError):
                was.get("http://x/2")

        with pytest.raises(AssertionError, match="has no answer"):
            test()

    def test_fail_over_without_an_answer(self):
        """A member that is asked later, while the app waits, needs an answer, too."""

        def test():
            with FakeWas(clusters={"c": 2}) as fake:
                fake.fail("get", "@c/y", UnsentError("refused"), delay=1)
                assert was.get("@c/y").getwait().status == 2

        with pytest.raises(AssertionError, match="has no answer"):
            test()

    def test_unused_answer(self):
        """An answer that nobody asked for fails the test when the block ends."""

        def test():
            with FakeWas() as fake:
                fake.reply("get", "http://x/1")

        with pytest.raises(AssertionError, match=r"never asked for:\n  was.get\('http://x/1'\)"):
            test()

    def test_an_exception_of_the_test_comes_first(self):
        """Leaving the block because of another failure does not hide that one."""

        def test():
            with FakeWas() as fake:
                fake.reply("get", "http://x/1")
                1 / 0  # noqa: B018

        with pytest.raises(ZeroDivisionError):
            test()

    def test_odd_service(self):
        """A service that a server would not take is refused here, too."""

        class Odd(Database):
            begin = None

        with pytest.raises(AssertionError, match="begin"):
            FakeWas(services={"odd": Odd()})

    def test_not_strict(self):
        """Unless answers may stay unused."""
        with FakeWas(strict=False) as fake:
            fake.reply("get", "http://x/1")
        assert fake.requests == []

    @pytest.mark.parametrize("target", ["x/y", "ftp://x/y", "http://x y/"])
    def test_arguments_are_checked(self, fake, target):
        """Real services read the arguments: what a server would refuse is refused."""
        with pytest.raises(ValueError, match="uri"):
            was.get(target)

    def test_after_the_block(self):
        """Outside the block there is no ``was``."""
        with FakeWas():
            assert callable(was.get)
        with pytest.raises(NoServerError):
            was.get("http://x/y")

    def test_calls_that_nobody_collected(self):
        """What is under way when the block ends, ends."""
        with FakeWas() as fake:
            fake.stall("get", "http://x/y")
            call = was.get("http://x/y")
        assert call.code == 705


class TestFunctions:
    """``was.run`` and ``was.sleep`` without a server."""

    def test_are_run_at_once(self, fake):
        """The function of ``was.run`` runs in the test's thread, and may use ``was``."""
        fake.reply("get", "http://x/y", b"found")

        def work(answer):
            return threading.get_ident(), was.get("http://x/y").getwait().data + answer

        assert was.run(work, b"!").getwait().data == (threading.get_ident(), b"found!")
        assert was.run(work, detach=True).getwait().status == 2  # it lacks an argument
        assert fake.requests[0].target.endswith("work")

    def test_may_be_scripted(self, fake):
        """A reply, failure or stall in the script takes the place of the function."""
        fake.stall("run", "len")
        fake.fail("run", "len", OperationError("too many", code=707))
        fake.reply("run", "len", 5)
        codes = [(result.code, result.data) for result in (was.run(len, "a").getwait() for _ in range(4))]
        assert codes == [(702, None), (707, None), (200, 5), (200, 1)]

    def test_sleep_takes_no_time(self, fake):
        """``was.sleep`` moves the fake clock."""
        was.sleep(3600)
        assert fake.clock.seconds() == 3600


class TestTheRestOfWas:
    def test_has_the_names_that_a_server_gives(self, fake):
        """No name of the installed plugins is missing, services and others."""
        plugins = create_plugin_manager()

        instance = Instance(Config(path=Path("x.conf")), plugins, MemoryReactorClock())
        names = {*plugins.services(instance), *plugins.attributes(instance)}
        assert names
        assert names <= set(dir(was))

    def test_attributes_work(self, capsys):
        """What is not a service is the real thing."""
        with FakeWas():
            was.log("called")
            assert was.fromjson(was.tojson({"a": 1})) == {"a": 1}
        assert "[info] called" in capsys.readouterr().err

    def test_env(self):
        """A view that looks at its environ can be given one."""
        with FakeWas(env={"HTTP_HOST": "x"}):
            assert was.env["HTTP_HOST"] == "x"

    def test_unknown_name(self, fake):
        """A misspelt name is an AttributeError, as on a server."""
        with pytest.raises(AttributeError, match=r"was\.gte does not exist"):
            was.gte  # noqa: B018

    def test_one_within_another(self, fake):
        """The inner script serves the inner block."""
        with FakeWas() as inner:
            inner.reply("get", "http://x/y", b"inner")
            assert was.get("http://x/y").getwait().data == b"inner"
        fake.reply("get", "http://x/y", b"outer")
        assert was.get("http://x/y").getwait().data == b"outer"

    def test_in_a_flask_view(self, fake):
        """A view that a test client calls uses the script."""
        app = Flask("app")
        app.add_url_rule("/", view_func=lambda: was.get("http://x/y").getwait().data)
        fake.reply("get", "http://x/y", b"data")
        assert app.test_client().get("/").data == b"data"


class Later(Service):
    """Answers with its request after a second."""

    cluster_types = frozenset({"later"})
    default_port = 1

    def __init__(self, reactor, delay=1):
        self.reactor = reactor
        self.delay = delay

    def operation(self, target, request):
        return Operation(target, request)

    def perform(self, node, operation):
        deferred = Deferred(lambda _: timer.cancel())
        timer = self.reactor.callLater(self.delay, deferred.callback, operation.request)
        return deferred


class TestServiceHarness:
    def test_waits_on_the_fake_clock(self):
        """Waiting for a call moves the clock of the service's reactor."""
        clock = Clock()
        harness = ServiceHarness(Later(clock), clock)
        call = harness.call("a", "hello")
        assert harness.in_flight == 1
        assert call.getwait().data == "hello"
        assert clock.seconds() == 1
        assert harness.in_flight == 0

    def test_clusters(self):
        """Addresses of members are read by the service, as those of the config are."""
        clock = Clock()
        harness = ServiceHarness(Later(clock), clock, clusters={"c": ["a", "b:2"]})
        results = harness.call.map("@c", "hello").getswait()
        assert [result.node.label for result in results] == ["a:1", "b:2"]
        assert harness.call.lb("@c", "hello").getwait().status == 3
        assert [member.failures for member in harness.clusters["c"].members] == [0, 0]
        with pytest.raises(ValueError, match="not a port"):
            ServiceHarness(Later(clock), clock, clusters={"c": ["a:b"]})

    def test_time_out_and_stop(self):
        """What timed out or was stopped is cancelled, so that the test sees whether all is released."""
        clock = Clock()
        harness = ServiceHarness(Later(clock, 60), clock)
        late, stopped = harness.call("a", 1), harness.call("a", 2)
        assert late.getwait(2).status == 1
        harness.stop()
        assert stopped.code == 705
        assert clock.getDelayedCalls() == []

    def test_brings_a_reactor(self):
        """A service that needs no reactor gets a fake one."""

        class Echo(Later):
            def __init__(self):
                pass

            def perform(self, node, operation):
                return succeed(operation.request)

        harness = ServiceHarness(Echo())
        assert harness.call("a", 1).getwait().data == 1
        assert isinstance(harness.reactor, MemoryReactorClock)

    def test_verifies(self):
        """What is no service is refused at once."""
        with pytest.raises(AssertionError):
            ServiceHarness(object())


class TestRealReactor(TestCase):
    async def test_await(self):
        """On a real reactor the calls are awaited; waiting would block it, and says so."""
        from twisted.internet import reactor

        harness = ServiceHarness(Later(reactor, 0), reactor)
        with pytest.raises(MisuseError):
            harness.call("a", 1).getwait()
        assert (await harness.call("a", 2)).data == 2
        harness.stop()


class TestVerifyService:
    def test_takes_a_service(self):
        """A service that a server would take passes."""
        verify_service(Database())

    def test_class_instead_of_an_object(self):
        """A class that was not made into a service is refused."""
        with pytest.raises(AssertionError, match="Database"):
            verify_service(Database)

    def test_says_what_is_wrong(self):
        """A method with the wrong arguments is named."""

        class Wrong(Database):
            def perform(self, operation):
                return None

        with pytest.raises(AssertionError, match=r"perform\(operation\)' doesn't allow enough arguments"):
            verify_service(Wrong())


class TestFakesStayHonest:
    """A fake that lacks or changes what the real thing has would let wrong tests pass."""

    def test_recording_services(self, fake):
        """Scripted services have the interface, and the results, of those that they stand for."""
        for service in fake.services.services.values():
            assert verifyObject(IService, service)

    def test_executor(self):
        """The inline executor runs tasks at once and lets their exceptions out."""
        executor, done = InlineExecutor(), []
        assert verifyObject(IExecutor, executor)
        executor.start()
        executor.submit(lambda: done.append(1))
        with pytest.raises(ZeroDivisionError):
            executor.submit(lambda: 1 / 0)
        executor.stop()
        assert done == [1]
        assert executor.statistics() == {"running": 0, "queued": 0}

    def test_instance(self, monkeypatch):
        """Plugins that are asked for their services see an instance."""
        seen = []
        plugins = create_plugin_manager()
        monkeypatch.setattr(plugins, "attributes", lambda instance: seen.append(instance) or {})
        monkeypatch.setattr(skitai.testing.fakewas, "_plugins", lambda: plugins)
        FakeWas()
        assert verifyObject(IInstance, seen[0])

    def test_bridge(self):
        """The bridge to a clock has the methods, and their arguments, of the real one."""
        for name, method in vars(ClockBridge).items():
            if inspect.isfunction(method) and name != "__init__":
                assert inspect.signature(method) == inspect.signature(getattr(Bridge, name))

    def test_bridge_waits_no_longer_than_it_must(self):
        """The clock stops where the waiting ends, whatever else is scheduled."""
        clock, pending, late = Clock(), Pending(), []
        bridge = ClockBridge(clock)
        clock.callLater(0.1, lambda: clock.callLater(0.2, pending.end))
        clock.callLater(7, late.append, 1)
        assert bridge.wait(pending, 5) is True
        assert clock.seconds() == pytest.approx(0.3)
        assert bridge.wait(Pending(), 5) is False
        assert clock.seconds() == pytest.approx(5.3)
        assert bridge.wait(Pending(), 0) is False
        assert late == []

    def test_bridge_waits_for_nothing_that_cannot_come(self):
        """A wait without a limit that no timer can end is a mistake of the test."""
        clock, pending = Clock(), Pending()
        bridge = ClockBridge(clock)
        clock.callLater(3, pending.end)
        assert bridge.wait(pending, inf) is True
        with pytest.raises(DeadlockError, match="ends this wait"):
            bridge.wait(Pending(), inf)
        assert clock.seconds() == 3

    def test_page_tells_of_every_name(self):
        """docs/testing.md shows each public name."""
        page = PAGE.read_text()
        assert [name for name in skitai.testing.__all__ if name not in page] == ["RecordedRequest"]


def page_tests():
    """Run the examples of docs/testing.md as one module; return its tests by name."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    module = {"__name__": "testing_page"}
    exec(compile("\n".join(blocks), PAGE.name, "exec"), module)
    return {name: value for name, value in module.items() if name.startswith("test_")}


@pytest.mark.parametrize("name", re.findall(r"^def (test_\w+)", PAGE.read_text(), re.MULTILINE))
def test_examples_of_the_page(name):
    """What docs/testing.md shows works."""
    test = page_tests()[name]
    if "fake" in inspect.signature(test).parameters:
        with FakeWas(clusters={"stock": 2}) as fake:
            test(fake)
    else:
        test()
