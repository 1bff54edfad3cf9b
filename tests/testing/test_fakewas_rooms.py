"""Rooms and websockets in the tests of apps."""

import pytest
from flask import Flask, Response

from skitai import was
from skitai.context import run_coroutine
from skitai.errors import OperationError, OperationTimeout
from skitai.saddle import Saddle
from skitai.testing import FakeWas
from skitai.websocket.closing import WebSocketClosed


@pytest.fixture
def fake():
    with FakeWas() as fake:
        yield fake


def test_what_was_sent(fake):
    """A test sees each message, in order, and which room it was for."""
    was.rooms("a").send("one")
    assert was.rooms("b").send(b"two").getwait().data.endswith(":1")
    assert [(asked.service, asked.target, asked.request.message) for asked in fake.requests] == [
        ("rooms", "a", "one"),
        ("rooms", "b", b"two"),
    ]


def test_members(fake):
    """Websockets of the test are in rooms like others, and get what is sent."""
    ann, bob = fake.websocket("later"), fake.websocket("later")
    room = was.rooms("a")
    room.join(ann, "ann").wait()
    position = room.send("hello").getwait().data
    room.join(bob, "bob", last=position).wait()
    room.send("x" * 70_000)
    assert room.presence().getwait().data == ["ann", "bob"]
    assert ann.wire.sent == ["hello", "x" * 70_000]
    assert bob.wire.sent[0] == f'{{"id":"{position}","missed":false}}'
    assert fake.requests[0].request.data == "ann"


def test_a_view_with_a_websocket(fake):
    """The client's messages come while the view waits; then it leaves."""
    ws = fake.websocket("one", b"two")
    got = []
    for message in ws:
        got.append(message)
        ws.send(message)
    assert got == ws.wire.sent == ["one", b"two"]
    assert (ws.code, ws.closed) == (1000, True)
    with pytest.raises(WebSocketClosed):
        ws.send("too late")


def test_a_coroutine_with_a_websocket(fake):
    """A coroutine takes it the same way."""
    ws = fake.websocket("one", "two")

    async def view():
        room = was.rooms("a")
        await room.join(ws)
        async for message in ws:
            await room.send(message)

    run_coroutine(fake.was, view())
    assert ws.wire.sent == ["one", "two"]


def test_the_view_ends_it(fake):
    """A close by the app is answered, and nothing more comes."""
    ws = fake.websocket("one", "two")
    assert ws.getwait() == "one"
    ws.close(4000, "enough")
    assert ws.getwait() is None
    assert (ws.code, ws.reason) == (4000, "enough")
    was.sleep(1)


def test_waiting_for_the_client(fake):
    """Time-outs take no time."""
    ws = fake.websocket()
    assert ws.getswait(0.0001) == []
    with pytest.raises(OperationTimeout):
        ws.getwait(0.0001)
    assert ws.getwait() is None


def test_a_bus_that_fails(fake):
    """A script may have the bus fail."""
    fake.fail("rooms", "a", OperationError("the bus is lost"))
    assert was.rooms("a").send("hello").getwait().msg == "the bus is lost"
    assert was.rooms("a").send("hello").getwait().status == 3


def test_events_in_a_test_client(fake):
    """A client of a framework reads the events as they come."""
    app = Flask(__name__)
    app.route("/")(lambda: Response(was.rooms("a").events(retry=3), mimetype="text/event-stream"))
    response = app.test_client().get("/", buffered=False)
    pieces = response.iter_encoded()
    assert next(pieces) == b"retry: 3000\n\n"
    assert next(pieces).startswith(b"id: ")
    position = was.rooms("a").send("two\nlines").getwait().data
    assert next(pieces) == f"id: {position}\ndata: two\ndata: lines\n\n".encode()
    assert next(pieces) == b":\n\n"
    assert fake.clock.seconds() == 15
    response.close()


def test_a_view_of_saddle(fake):
    """The test's client of a Saddle app has the services of the block, in functions and coroutines."""
    app = Saddle(__name__)

    @app.route("/send", methods=["POST"])
    def send(was, text):
        return was.rooms("a").send(text).getwait().data

    @app.route("/who")
    async def who(was):
        return {"members": (await was.rooms("a").presence()).data}

    client = app.test_client()
    assert client.post("/send", data={"text": "hello"}).text.endswith(":1")
    assert client.get("/who").json == {"members": []}
    assert [asked.request.message for asked in fake.requests[:1]] == ["hello"]
