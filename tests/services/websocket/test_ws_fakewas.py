"""was.ws in the tests of apps: a FakeWas answers messages and conversations."""

import asyncio

import pytest

from skitai import was
from skitai.errors import OperationError
from skitai.services.websocket.result import WebSocketResult
from skitai.testing import FakeWas

URL = "ws://talk.test/room"


@pytest.fixture
def fake():
    with FakeWas(clusters={"talk": 2}) as fake:
        yield fake


def test_messages(fake):
    """The script answers them, and shows what the app sent."""
    fake.reply("ws", URL, "hello")
    fake.reply("ws", "@talk/room", b"all", times=2)
    result = was.ws(URL, "hi").getwait()
    assert isinstance(result, WebSocketResult)
    assert (result.status, result.code, result.data) == (3, 200, "hello")
    assert was.ws.map("@talk/room", b"\x00").getswait().data == [b"all", b"all"]
    first, second = fake.requests
    assert (first.service, first.args, first.request.message) == ("ws", (URL, "hi"), "hi")
    assert (second.mode, second.cluster) == ("map", "talk")


def test_wrong_arguments(fake):
    """They are refused as on a server."""
    with pytest.raises(ValueError, match="'ftp' is not supported"):
        was.ws("ftp://talk.test/", "hi")


def talk():
    with was.ws.connect(URL) as ws:
        ws.send("a")
        ws.send("b")
        return [ws.getwait(), ws.getwait()]


def test_conversations(fake):
    """Each message gets the next answer; the request shows all that was sent."""
    fake.reply("ws", URL, "A", delay=2)
    fake.reply("ws", URL, b"B", delay=3)
    assert talk() == ["A", b"B"]
    assert fake.clock.seconds() == 3
    (request,) = fake.requests
    assert (request.target, request.request.sent) == (URL, ["a", "b"])


def test_a_conversation_that_breaks_off(fake):
    """A failure in the script is the loss of the connection."""
    fake.reply("ws", URL, "A")
    fake.fail("ws", URL, OperationError("lost", code=700))
    with was.ws.connect(URL) as ws:
        ws.send("a")
        ws.send("b")
        assert (list(ws), ws.code) == (["A"], 1006)


def test_a_conversation_in_asyncio(fake):
    """A coroutine has it the same way."""
    fake.reply("ws", URL, "A")

    async def one():
        async with was.ws.connect(URL) as ws:
            await ws.send("a")
            return await ws.receive(5)

    assert asyncio.run(one()) == "A"


def test_a_message_without_an_answer():
    """It is a surprise, where it is sent."""
    fake = FakeWas()
    with pytest.raises(AssertionError, match="the script has no answer"), fake, was.ws.connect(URL) as ws:
        ws.send("a")
