"""The object that was.rpc and was.jsonrpc return."""

import copy
from xmlrpc.client import Fault

import pytest
from twisted.internet.defer import succeed

from skitai.calls.operation import Operation
from skitai.calls.service import Service
from skitai.errors import MisuseError, OperationError
from skitai.services.rpc import JSONRPCError, RPCProxy, RPCResult, RPCService
from skitai.services.rpc.xmlrpc import XMLRPC
from skitai.testing import FakeWas, ServiceHarness, verify_service

URL = "http://host/RPC2"


class EchoService(Service):
    """``call(target)`` gives a proxy; the result is what was called."""

    cluster_types = frozenset({"echo"})
    default_port = 1

    def begin(self, submit, *args, **kwargs):
        return RPCProxy(lambda *called: submit(Operation(*args, request=called)))

    def perform(self, node, operation):
        return succeed(operation.request)


@pytest.fixture
def harness():
    return ServiceHarness(EchoService(), clusters={"two": ["a", "b"]})


def test_interface():
    """Both services are such as a server takes."""
    verify_service(RPCService(XMLRPC(), None))


def test_one_call(harness):
    """Calling a method starts the request; proxy and returned call give the same result."""
    proxy = harness.call("host")
    assert (proxy.status, proxy.code) == (0, 0)
    call = proxy.a.b.c(1, x=2)
    assert proxy.getwait(1) is call.getwait(1)
    assert proxy.getwait(1).data == ("a.b.c", (1,), {"x": 2})
    assert (proxy.status, proxy.code) == (3, 200)
    assert proxy.getswait(1).data == [("a.b.c", (1,), {"x": 2})]
    assert proxy.wait(1) is None
    assert harness.reactor.seconds() == 0


def test_map(harness):
    """A proxy over several members answers for all of them."""
    proxy = harness.call.map("@two/path")
    proxy.a()
    assert proxy.getswait(1).status == proxy.status == [3, 3]
    with pytest.raises(ValueError, match="getswait"):
        proxy.getwait(1)


def test_second_call(harness):
    """Each request takes a proxy of its own: a second method call is refused, the first stays."""
    proxy = harness.call("host")
    proxy.first()
    with pytest.raises(MisuseError, match=r"second\(\) is the second method called on one proxy"):
        proxy.second()
    assert proxy.getwait(1).data[0] == "first"


@pytest.mark.parametrize("name", ["getwait", "getswait", "wait", "cache", "cancel", "deferred"])
def test_nothing_to_wait_for(harness, name):
    """Before a method was called there is nothing to ask about, which is said at once."""
    with pytest.raises(MisuseError, match=f"{name}: no method was called yet"):
        getattr(harness.call("host"), name)(1)


def test_nothing_to_await(harness):
    """A proxy without a method call cannot be awaited either."""
    with pytest.raises(MisuseError, match="await: no method was called yet"):
        harness.call("host").__await__()


def test_reserved_names(harness):
    """A remote method with the name of one of the proxy's own is called by that name as a string."""
    proxy = harness.call("host")
    proxy("getwait", 1)
    assert proxy.getwait(1).data == ("getwait", (1,), {})
    other = harness.call("host")
    other.queue.wait()
    assert other.getwait(1).data[0] == "queue.wait"


@pytest.mark.parametrize("method", ["", None, 3])
def test_no_method(harness, method):
    """What is no name is refused, and the proxy is still of use."""
    proxy = harness.call("host")
    with pytest.raises(ValueError, match="method"):
        proxy(method)
    proxy.a()
    assert proxy.getwait(1).status == 3


def test_await(harness):
    """A proxy is awaited like the call."""

    async def ask():
        proxy = harness.call("host")
        proxy.a()
        return (await proxy).data

    with pytest.raises(StopIteration) as returned:
        ask().send(None)
    assert returned.value.value == ("a", (), {})


def test_looked_at(harness):
    """What tools look up on any object is no remote method."""
    proxy = harness.call("host")
    assert not hasattr(proxy, "_repr_html_")
    assert not hasattr(proxy.a, "__wrapped__")
    assert repr(proxy) == "<RPCProxy not begun yet>"
    assert repr(proxy.a.b) == "<RPCMethod a.b>"
    proxy.a()
    assert "host" in repr(proxy)


class TestArguments:
    """What was.rpc itself takes."""

    @pytest.mark.parametrize(
        ("args", "kwargs", "words"),
        [
            (("host/RPC2",), {}, "no scheme"),
            ((URL, {"a": 1}), {}, "data makes no sense"),
            ((URL,), {"headers": {"a b": "c"}}, "headers"),
            ((URL,), {"auth": 3}, "auth"),
            ((URL,), {"timeout": "3"}, "timeout"),
            ((URL,), {"json": {}}, "json makes no sense"),
            ((URL,), {"bogus": 3}, "bogus"),
        ],
    )
    def test_refused(self, args, kwargs, words):
        """Senseless arguments are refused where they are given, not where the method is called."""
        with FakeWas() as fake, pytest.raises((TypeError, ValueError), match=words):
            fake.was.rpc(*args, **kwargs)

    def test_named_arguments(self):
        """XML-RPC has no named arguments; the proxy may be used again."""
        with FakeWas() as fake:
            fake.reply("rpc", URL, 5)
            proxy = fake.was.rpc(URL)
            with pytest.raises(TypeError, match=r"add\(\) has named arguments \(b\)"):
                proxy.add(2, b=3)
            proxy.add(2, 3)
            assert proxy.getwait().data == 5

    def test_operation(self):
        """The request is a POST of the document; equal calls have equal cache keys, others not."""
        service = RPCService(XMLRPC(), None)
        prepare = service.endpoint("@c/rpc2", None, None, [("X-A", "b")], False)
        operation = prepare("a<.b", (1,), {})
        sent = operation.request.encode("host")
        assert sent.startswith(b"POST /rpc2 HTTP/1.1\r\nHost: host\r\nX-A: b\r\nContent-Type: text/xml\r\n")
        assert b"<methodName>a&lt;.b</methodName>\n<params>\n<param>\n<value><int>1</int>" in sent
        assert (operation.use_cache, operation.idempotent) == (False, False)
        assert operation.cache_key == prepare("a<.b", (1,), {}).cache_key
        assert operation.cache_key != prepare("a<.b", (2,), {}).cache_key
        assert service.endpoint("@c", idempotent=True)("a", (), {}).idempotent


class TestInAppTests:
    """What an app's own tests can script."""

    @pytest.mark.parametrize(
        ("service", "fault"),
        [("rpc", Fault(7, "no")), ("jsonrpc", JSONRPCError(7, "no", [1]))],
    )
    def test_fault(self, service, fault):
        """A fault is a failed result that carries and raises it."""
        with FakeWas() as fake:
            fake.reply(service, URL, RPCResult.failed(fault))
            proxy = getattr(fake.was, service)(URL)
            proxy.a()
            result = proxy.getwait()
        assert (result.status, result.code, result.msg, result.data) == (2, 701, "no", b"")
        assert result.fault_code == 7
        with pytest.raises(type(fault)) as caught:
            result.reraise()
        assert caught.value is not fault
        assert str(caught.value) == str(fault)

    def test_stall(self):
        """A call that is not answered times out; that is no fault."""
        with FakeWas() as fake:
            fake.stall("rpc", URL)
            proxy = fake.was.rpc(URL)
            proxy.a()
            result = proxy.getwait(2)
            assert (result.status, result.code, result.data, result.fault_code) == (1, 702, b"", None)
            with pytest.raises(OperationError):
                result.reraise()


def test_result_of_other_failures():
    """A failure that is no fault is an OperationError, as with any service."""
    result = RPCResult.failed(KeyError("x"))
    assert (result.status, result.code, result.fault_code) == (2, 701, None)
    with pytest.raises(OperationError):
        result.reraise()


def test_errors_are_copied():
    """A JSONRPCError survives a copy and says all it knows."""
    error = JSONRPCError(-32601, "no such method", {"a": 1})
    twin = copy.copy(error)
    assert vars(twin) == vars(error) == {"code": -32601, "message": "no such method", "data": {"a": 1}}
    assert str(twin) == "no such method (code: -32601)"
