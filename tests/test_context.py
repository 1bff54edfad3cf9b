import copy
import doctest
import inspect
import pickle
import sys
import threading
import types
from contextlib import contextmanager
from contextvars import Context

import greenlet
import pytest
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock

import skitai
from skitai.calls.call import Call
from skitai.calls.cluster import Cluster, Member
from skitai.calls.dispatch import Dispatcher
from skitai.calls.group import CallGroup
from skitai.calls.operation import Operation
from skitai.calls.service import Service
from skitai.context import (
    OWN_NAMES,
    ServiceTable,
    Was,
    add_default,
    call_with_was,
    current_was,
    get_current,
    registered,
    remove_default,
    run_in_executor,
)
from skitai.errors import MisuseError, NoServerError
from skitai.loop.bridge import Bridge
from skitai.loop.executors import GreenletExecutor
from skitai.net.addresses import HostNode
from skitai.testing.clockbridge import ClockBridge


class Echo(Service):
    """Answers with what it was asked."""

    cluster_types = frozenset({"echo"})
    default_port = 7

    def operation(self, target, message="", *, shout=False):
        return Operation(target, message.upper() if shout else message)

    def perform(self, node, operation):
        return f"{node.host}: {operation.request}"


class Slow(Echo):
    """Answers after as many seconds as it was asked to take."""

    def __init__(self, reactor):
        self.reactor = reactor

    def operation(self, target, seconds):
        return Operation(target, seconds)

    def perform(self, node, operation):
        deferred = Deferred()
        self.reactor.callLater(operation.request, deferred.callback, operation.request)
        return deferred


class Never(Echo):
    """Does not answer."""

    def perform(self, node, operation):
        return Deferred()


@pytest.fixture
def table(reactor):
    bridge = ClockBridge(reactor)
    bridge.start()
    members = [Member(HostNode(name, 7)) for name in "ab"]
    dispatcher = Dispatcher(bridge, {"c": Cluster("c", "echo", members, reactor.seconds)})
    return ServiceTable(
        dispatcher,
        {"echo": Echo()},
        {"path": lambda was: was.env.get("PATH_INFO"), "made": lambda was: []},
        explain={"mail": "was.mail is not available: plugin mail failed: no module"}.get,
    )


@pytest.fixture
def reactor():
    return Clock()


@pytest.fixture
def was(table):
    return Was(table, {"PATH_INFO": "/here"})


@contextmanager
def serving(was):
    """What the server does around a request."""
    token = current_was.set(was)
    try:
        yield
    finally:
        current_was.reset(token)


@pytest.fixture
def default():
    """Add what serves code outside requests; at the end it is taken away."""
    added = []

    def add(was):
        added.append(was)
        add_default(was)

    yield add
    for was in added:
        remove_default(was)


class TestWas:
    def test_a_service_is_called_by_its_name(self, was):
        """``was.NAME(...)`` takes the service's arguments and gives a call."""
        call = was.echo("host", "hello", shout=True)
        assert isinstance(call, Call)
        assert call.getwait().data == "host: HELLO"

    def test_lb_asks_one_member(self, was):
        """``was.NAME.lb`` asks the members in turn."""
        assert [was.echo.lb("@c", "x").getwait().data for _ in range(3)] == ["a: x", "b: x", "a: x"]

    def test_map_asks_all_members(self, was):
        """``was.NAME.map`` asks all members."""
        group = was.echo.map("@c", "x")
        assert isinstance(group, CallGroup)
        assert group.getswait().data == ["a: x", "b: x"]

    def test_arguments_that_make_no_sense(self, was):
        """A service's complaint about its arguments reaches the app."""
        with pytest.raises(TypeError):
            was.echo()
        with pytest.raises(TypeError):
            was.echo("host", loud=True)

    def test_a_service_may_submit_later(self, table):
        """A service like XML-RPC gives an object of its own, which starts the call."""

        class Remote(Echo):
            def begin(self, submit, *args, **kwargs):
                return types.SimpleNamespace(hello=lambda: submit(self.operation(*args, "hello", **kwargs)))

        table.services["remote"] = Remote()
        was = Was(table)
        assert was.remote("host").hello().getwait().data == "host: hello"
        assert was.remote.map("@c").hello().getswait().data == ["a: hello", "b: hello"]

    def test_an_attribute_is_made_for_each_request(self, table, was):
        """Other names are made once for each request, which they may look at."""
        assert was.path == "/here"
        assert was.made is was.made
        assert Was(table).made is not was.made

    def test_env(self, table):
        """``was.env`` is the request's environ, and empty outside a request."""
        environ = {"PATH_INFO": "/"}
        assert Was(table, environ).env is environ
        assert Was(table).env == {}

    def test_gather_and_as_completed(self, was):
        """Several calls are waited for together."""
        assert was.gather(was.echo("x"), was.echo.map("@c")).data == ["x: ", "a: ", "b: "]
        assert [result.data for result in was.as_completed([was.echo("x")])] == ["x: "]
        with pytest.raises(TypeError, match="calls must be a list"):
            was.as_completed(was.echo("x"))
        with pytest.raises(TypeError, match="is no call"):
            was.gather("http://x")

    def test_cluster(self, was):
        """``was.cluster`` shows the members of a cluster that the config has."""
        assert [member.label for member in was.cluster("@c").members] == ["a:7", "b:7"]
        with pytest.raises(MisuseError, match="no cluster @d"):
            was.cluster("@d")

    def test_own_names(self):
        """What every ``was`` has is listed, so that no plugin takes such a name."""
        assert {"env", "gather", "as_completed", "cluster", "request_id", "sleep"} == OWN_NAMES

    def test_unknown_name(self, was):
        """A name that nothing gives raises AttributeError with those that there are."""
        with pytest.raises(AttributeError, match=r"was\.ecko does not exist; there are: as_completed, clus"):
            was.ecko  # noqa: B018
        assert not hasattr(was, "ecko")

    def test_name_of_a_plugin_that_failed(self, was):
        """A name that is missing because a plugin failed says so."""
        with pytest.raises(AttributeError, match=r"was\.mail is not available: plugin mail failed"):
            was.mail  # noqa: B018

    def test_dir_lists_the_names(self, was):
        """An interactive user sees what there is."""
        assert {"echo", "path", "made", "env"} <= set(dir(was))

    def test_copies(self, was):
        """A copy works like the original; nothing recurses for ever."""
        assert copy.copy(was).echo("host", "x").getwait().data == "host: x"
        with pytest.raises(AttributeError):
            Was.__new__(Was).anything  # noqa: B018


class TestCurrentWas:
    def test_is_the_requests(self, was):
        """Within a request, ``from skitai import was`` is that request's."""
        with serving(was):
            assert get_current() is was
            assert skitai.was.env is was.env
            assert skitai.was.echo("host", "x").getwait().data == "host: x"

    def test_outside_a_server(self):
        """Where no server runs, using it says so; asking whether it has something is no error."""
        with pytest.raises(NoServerError, match="no Skitai server runs in this process"):
            skitai.was.echo("host")
        with pytest.raises(MisuseError):
            get_current()
        assert not hasattr(skitai.was, "echo")
        assert getattr(skitai.was, "echo", None) is None

    def test_explains_missing_names(self, was):
        """The explanation of a missing name gets through."""
        with serving(was), pytest.raises(AttributeError, match="plugin mail failed"):
            skitai.was.mail  # noqa: B018

    def test_threads_of_an_apps_own(self, table, was, default):
        """A thread that an app started belongs to no request, and still has the services."""
        default(Was(table))
        seen = []

        def work():
            seen.append((skitai.was.env, skitai.was.echo))

        with serving(was):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        [(env, echo)] = seen
        assert env == {}
        assert callable(echo)

    def test_request_comes_before_the_default(self, table, was, default):
        """The default serves only code outside requests."""
        default(Was(table))
        with serving(was):
            assert get_current() is was
        assert get_current() is not was

    def test_after_the_server_stopped(self, table, default):
        """When the instance is gone, so is its ``was``."""
        mine = Was(table)
        default(mine)
        remove_default(mine)
        with pytest.raises(NoServerError):
            get_current()

    @pytest.mark.parametrize("latest_stops_first", [False, True])
    def test_several_instances(self, table, default, latest_stops_first):
        """The instance that started last serves code outside requests; its end leaves the others theirs."""
        first, second = Was(table), Was(table)
        default(first)
        default(second)
        assert get_current() is second
        stopped, other = (second, first) if latest_stops_first else (first, second)
        remove_default(stopped)
        assert get_current() is other

    def test_cannot_be_set(self, was):
        """An app cannot put anything on the object that all requests share."""
        with serving(was), pytest.raises(AttributeError):
            skitai.was.echo = None


class TestNeverMixed:
    """Every request sees its own, however they interleave."""

    @staticmethod
    def requests(table, count):
        return [Was(table, {"PATH_INFO": f"/{number}"}) for number in range(count)]

    def test_threads(self, table):
        """Threads that serve many requests each see the right one every time."""
        wrong, start = [], threading.Barrier(8)

        def serve(mine):
            start.wait()
            for was in mine * 50:
                with serving(was):
                    if skitai.was.env is not was.env or skitai.was.path != was.env["PATH_INFO"]:
                        wrong.append(was)

        threads = [threading.Thread(target=serve, args=(self.requests(table, 3),)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []

    def test_greenlets(self, table):
        """Greenlets that take turns within their requests each keep their own."""
        hub, seen = greenlet.getcurrent(), []

        def serve(was):
            with serving(was):
                for _ in range(3):
                    seen.append(skitai.was.path == was.env["PATH_INFO"])
                    hub.switch()

        workers = [greenlet.greenlet(serve) for _ in range(5)]
        for worker, was in zip(workers, self.requests(table, 5), strict=True):
            worker.switch(was)
        for _ in range(3):
            for worker in workers:
                worker.switch()
        assert seen == [True] * 15
        assert current_was.get(None) is None

    def test_coroutines(self, table):
        """Coroutines on the reactor thread keep the request that started them."""
        seen, doors = [], []

        async def serve():
            mine = skitai.was.path
            for _ in range(3):
                doors.append(Deferred())
                await doors[-1]
                seen.append(skitai.was.path == mine)

        for was in self.requests(table, 4):
            with serving(was):
                ensureDeferred(serve())
        while doors:
            doors.pop(0).callback(None)
        assert seen == [True] * 12

    def test_calls_in_greenlets(self, table, reactor):
        """Requests that wait for one another's time get their own answers."""

        bridge = Bridge(reactor)
        bridge.start()
        slow = ServiceTable(Dispatcher(bridge, {}), {"slow": Slow(reactor)}, {})
        answers = []

        def view(seconds):
            with serving(Was(slow, {"seconds": seconds})):
                result = skitai.was.slow("host", seconds).getwait(5)
                answers.append((skitai.was.env["seconds"], result.data))

        for seconds in (3, 1, 2):
            greenlet.greenlet(view).switch(seconds)
        reactor.pump([1, 1, 1])
        assert answers == [(1, 1), (2, 2), (3, 3)]


@pytest.fixture(params=["outside", "inside"])
def anywhere(request, table):
    """Both where no server runs and within a request."""
    if request.param == "inside":
        with serving(Was(table)):
            yield
    else:
        yield


@pytest.mark.usefixtures("anywhere")
class TestIntrospection:
    """Tools that look at objects do not stumble over ``skitai.was``."""

    def test_copy_and_pickle(self):
        """Copies of it are as good as it."""
        for twin in (
            copy.copy(skitai.was),
            copy.deepcopy(skitai.was),
            pickle.loads(pickle.dumps(skitai.was)),
        ):
            assert type(twin) is type(skitai.was)

    def test_inspect(self):
        """The functions of inspect answer."""
        assert inspect.unwrap(skitai.was) is skitai.was
        assert inspect.getdoc(skitai.was)
        assert not inspect.isfunction(skitai.was)
        assert not callable(skitai.was)
        assert not inspect.isawaitable(skitai.was)
        assert dict(inspect.getmembers(skitai.was))["__class__"] is type(skitai.was)

    def test_doctest(self):
        """An app's module that imports it can hold doctests."""
        module = types.ModuleType("app", "A module.\n\n>>> 1 + 1\n2\n")
        module.was = skitai.was
        sys.modules["app"] = module
        try:
            assert doctest.testmod(module) == (0, 1)
        finally:
            del sys.modules["app"]

    def test_repr_bool_and_private_names(self):
        """It prints, it is true, and what begins with an underscore it does not have."""
        assert repr(skitai.was) == "<skitai.was>"
        assert skitai.was
        assert not hasattr(skitai.was, "_repr_html_")
        assert not hasattr(skitai.was, "__wrapped__")
        assert "__class__" in dir(skitai.was)

    def test_mock(self, monkeypatch):
        """A module that imported it can have it replaced."""
        monkeypatch.setattr(skitai, "was", types.SimpleNamespace(get=1))
        assert skitai.was.get == 1


def test_dir_within_a_request(was):
    """An interactive user within a request sees the services."""
    with serving(was):
        assert "echo" in dir(skitai.was)


class TestRegistered:
    """What apps register for each other."""

    def test_by_instance(self, table, was):
        """The apps of one instance find it on ``was``, those of another do not."""
        other = Was(ServiceTable(table.dispatcher, {}, {}))
        with serving(was):
            registered()["tea"] = "green"
        assert was.tea == "green"
        assert not hasattr(other, "tea")
        assert "tea" not in registered()

    def test_without_a_server(self, monkeypatch):
        """Where no server runs, the apps of the process share it."""
        monkeypatch.setitem(registered(), "tea", "green")
        assert registered()["tea"] == "green"


class TestRunning:
    """Code that runs as a request does, with a ``was`` of its own."""

    def test_call_with_was(self, table):
        """The function gets the current ``was`` of its context; what it raises gets out."""

        def use():
            assert call_with_was(table, lambda was: get_current() is was)
            assert call_with_was(table, lambda was: was.path, {"PATH_INFO": "/given"}) == "/given"
            with pytest.raises(ZeroDivisionError):
                call_with_was(table, lambda was: 1 / 0)

        Context().run(use)

    def test_calls_that_nobody_waits_for(self, table):
        """A call that the function leaves behind is cancelled at its end."""
        table.services["never"] = Never()
        call = Context().run(call_with_was, table, lambda was: was.never("host"))
        assert (call.status, call.code) == (2, 705)

    def test_run_in_executor(self, reactor):
        """What the function gives, or raises, fires the Deferred in the reactor itself, outside greenlets."""
        bridge = Bridge(reactor)
        bridge.start()
        slow = ServiceTable(Dispatcher(bridge, {}), {"slow": Slow(reactor)}, {})
        executor = GreenletExecutor(lambda task: reactor.callLater(0, task))
        executor.start()
        outcomes = []

        def view(was):
            return was.slow("host", 3).getwait(5).data, get_current() is was

        for function in (view, lambda was: 1 / 0):
            finished = run_in_executor(executor, slow, function)
            finished.addBoth(lambda outcome: outcomes.append((outcome, bridge.may_wait())))
        reactor.pump([0, 0, 3, 0])
        (failure, may_wait), (value, may_wait_too) = outcomes
        assert failure.check(ZeroDivisionError)
        assert value == (3, True)
        assert not may_wait
        assert not may_wait_too
