"""was.ws.connect: a websocket for a block, in threads, greenlets and coroutines, over a fake dial."""

import pytest
from twisted.internet.defer import Deferred
from ws_fakes import URL, Client

from skitai.calls.uncollected import OpenCalls
from skitai.context import Caller
from skitai.errors import MisuseError, OperationError, OperationTimeout, UnsentError
from skitai.services.websocket.opening import RefusedError
from skitai.websocket.closing import WebSocketClosed


class Opening(Client):
    """A client whose dial does at once what ``then(dialed)`` says."""

    def __init__(self, then=lambda dialed: dialed.open(), **limits):
        super().__init__(**limits)
        self.wires = []
        self.then = then

    def _dial(self, *args):
        fired = super()._dial(*args)
        wire = self.then(self.dialed[-1])
        if wire is not None:
            self.wires.append(wire)
        return fired


def test_a_block():
    """The block gets a websocket, and its end closes it; its place is free when it has ended."""
    client = Opening(connections=1)
    with client.ws.connect(URL, subprotocols=["chat"], headers={"X-A": "b"}) as ws:
        (wire,) = client.wires
        ws.send("hello")
        ws.send(b"\x00")
        wire.come("a")
        wire.come(b"b")
        assert [ws.getwait(), ws.getwait()] == ["a", b"b"]
        assert client.counts() == {"open": 1, "idle": 0, "in_use": 1, "waiting": 0}
        waiting = client.ws(URL, "c")
    assert (wire.sent, wire.closed) == (["hello", b"\x00"], 1000)
    assert client.dialed[0].opening.subprotocols == ("chat",)
    assert "X-A: b\r\n" in client.dialed[0].opening.request.fields
    assert client.counts()["waiting"] == 1
    wire.end(1000)
    client.wires[1].come("C")
    assert waiting.getwait().data == "C"


def test_a_block_that_fails():
    """The peer learns that the end was not the planned one."""
    client = Opening()
    with pytest.raises(ZeroDivisionError), client.ws.connect(URL):
        1 / 0  # noqa: B018
    assert client.wires[0].closed == 1001


def test_never_over_a_used_websocket():
    """A conversation begins with a new websocket, and leaves none for messages."""
    client = Opening()
    client.ws(URL, "a")
    client.wires[0].come("A")
    with client.ws.connect(URL):
        assert len(client.wires) == 2
    client.ws(URL, "b")
    assert client.wires[0].sent == ["a", "b"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UnsentError("cannot connect", code=701), "[701] cannot connect (status: 2)"),
        (RefusedError("no websocket: 403", code=403), "[403] no websocket: 403 (status: 2)"),
    ],
)
def test_no_websocket(error, words):
    """The with statement raises what prevented it."""
    client = Opening(lambda dialed: dialed.fail(error))
    with pytest.raises(OperationError) as caught, client.ws.connect(URL):
        pytest.fail("the block is not run")
    assert str(caught.value) == words
    assert (caught.value.url, caught.value.node.label) == (URL, "search.test:80")
    assert client.pool.open == 0


def test_a_time_out():
    """An attempt that takes too long is given up, and nothing of it stays."""
    client = Opening(lambda dialed: None)
    with pytest.raises(OperationTimeout), client.ws.connect(URL, timeout=2):
        pytest.fail("the block is not run")
    assert client.reactor.seconds() == 2
    assert client.dialed[0].cancelled
    assert client.pool.open == 0


def test_one_block():
    """A second block needs a second websocket."""
    client = Opening()
    connecting = client.ws.connect(URL)
    with connecting:
        pass
    with pytest.raises(MisuseError, match=r"call was.ws.connect\(\) again"), connecting:
        pass
    assert len(client.wires) == 1


def test_no_block():
    """Whoever forgets the block is told of it."""
    with pytest.raises(AttributeError, match=r"write `with was\.ws\.connect"):
        Opening().ws.connect(URL).send("hello")


def test_nothing_before_the_block():
    """A websocket that no block takes is not opened: nobody would close it."""
    client = Opening()
    client.ws.connect(URL)
    assert client.dialed == []


@pytest.mark.parametrize(
    ("args", "options", "words"),
    [
        ((), {}, "was.ws.connect() missing 1 required positional argument: 'uri'"),
        (("ftp://a",), {}, "'ftp' is not supported"),
        ((URL,), {"timeout": "5"}, "timeout must be a number of seconds"),
        ((URL,), {"subprotocols": "chat"}, "subprotocols must be a list of names"),
    ],
)
def test_wrong_arguments(args, options, words):
    """The app is told where it calls, not at the block."""
    with pytest.raises((TypeError, ValueError)) as caught:
        Opening().ws.connect(*args, **options)
    assert words in str(caught.value)


def test_clusters():
    """One member is asked, and another if it cannot be reached; all at once is refused."""
    client = Client({"talk": ["a.test", "b.test"]})
    opened = Deferred.fromCoroutine(entered(client.ws.connect("@talk/room")))
    client.dialed[0].fail(UnsentError("refused"))
    client.dialed[1].open()
    assert opened.result.closed is False
    assert {dialed.node.host for dialed in client.dialed} == {"a.test", "b.test"}
    with pytest.raises(MisuseError, match="would open several websockets"), client.ws.map.connect("@talk/"):
        pass


async def entered(connecting):
    return await connecting.__aenter__()


async def talk(client, url):
    async with client.ws.connect(url) as ws:
        ws.send("hello")  # in a real reactor this may be awaited
        return [message async for message in ws]


def test_coroutines():
    """``async with`` and ``async for`` do the same in the reactor."""
    client = Client()
    done = Deferred.fromCoroutine(talk(client, URL))
    wire = client.dialed[0].open()
    wire.come("a")
    wire.come("b")
    wire.end(1000)
    client.reactor.advance(0)
    assert (done.result, wire.sent) == (["a", "b"], ["hello"])


def test_a_cancelled_coroutine():
    """It gives the attempt up."""
    client = Client()
    done = Deferred.fromCoroutine(talk(client, URL))
    done.addErrback(lambda _: None)
    done.cancel()
    assert client.dialed[0].cancelled
    assert client.pool.open == 0


def test_the_end_of_the_request():
    """What is still open then is closed."""
    client = Opening()
    calls = OpenCalls()
    caller = Caller(client.harness._dispatcher, client.service, name="ws", open_calls=calls)
    ws = caller.connect(URL).__enter__()
    calls.end()
    assert client.wires[0].closed == 1001
    with pytest.raises(WebSocketClosed):
        ws.send("late")


def test_the_stop():
    """It ends conversations, and waits until their sockets are closed."""
    client = Opening()
    with client.ws.connect(URL) as ws:
        done = client.pool.close()
        assert client.wires[0].closed == 1001
        assert not done.called
        client.wires[0].end(1001)
        assert done.called
        assert ws.getwait() is None
