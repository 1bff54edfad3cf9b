"""WEBSOCKET_DEDICATE: a view for each websocket, in a thread of its own, a greenlet or a coroutine."""

import threading
import time

import pytest
from websocket_server import frame, shared
from websockets.exceptions import ConnectionClosed

from serving import eventually
from skitai.loop import native
from wire import PATIENCE

APP = """
import threading
import skitai
from flask import Flask, request
from skitai.saddle import Saddle
from websocket_server import shared

app = Saddle(__name__)
flask_app = Flask(__name__)

def view(path):
    def decorate(function):
        @app.route(path)
        def answer(was):
            if "websocket_init" in was.env:
                was.env["websocket_init"] = (skitai.WEBSOCKET_DEDICATE, 60, None)
                return ""
            return function(was, was.env["websocket"])
        return function
    return decorate

@view("/echo")
def echo(was, ws):
    for message in ws:
        ws.send(message)

@view("/thread")
def thread(was, ws):
    ws.send(threading.current_thread().name)
    ws.getwait()

@view("/once")
def once(was, ws):
    ws.send("one")
    ws.send(b"two")
    return "this goes nowhere"

@view("/stream")
def stream(was, ws):
    for message in ws:
        ws.send(message)
        yield "this goes nowhere"

@view("/raise")
def raises(was, ws):
    raise RuntimeError("in the view")

@view("/close")
def close(was, ws):
    ws.close(4001, "enough")
    shared.runs.append(ws.getswait(5))

@view("/polls")
def polls(was, ws):
    ws.send("ready")
    while (messages := ws.getswait(0.01)) is not None:
        shared.runs.append(messages)

@view("/late")
def late(was, ws):
    while "late" in shared.gates:
        was.sleep(0.005)
    for message in ws:
        ws.send(message)

@view("/talks")
def talks(was, ws):
    try:
        while True:
            ws.send("x" * 1000)
            was.sleep(0.001)
    finally:
        shared.runs.append("ended")

@view("/stays")
def stays(was, ws):
    ws.getwait()
    while "stays" in shared.gates:
        was.sleep(0.005)

@app.websocket("/coroutine")
async def coroutine(was, ws):
    shared.runs.append(threading.current_thread().name)
    async for message in ws:
        if message == "raise":
            raise RuntimeError("in the coroutine")
        if message == "sleep":
            await was.sleep(100)
        await ws.send(message)
    shared.runs.append("ended")

@app.websocket("/sleepy")
async def sleepy(was, ws):
    await was.sleep(0)
    await ws.send("awake")

@app.websocket("/function")
def function(was, ws):
    for message in ws:
        if message == "raise":
            raise RuntimeError("in the function")
        ws.send(message)

@flask_app.route("/talk")
def flask_talk():
    if "websocket_init" in request.environ:
        request.environ["websocket_init"] = (skitai.WEBSOCKET_DEDICATE, 60, None)
        return ""
    ws = request.environ["websocket"]
    for message in ws:
        if message == "raise":
            raise RuntimeError("in Flask")
        ws.send(message)
    return ""
"""


@pytest.fixture
def server(serve_app):
    return serve_app(APP, "/ = ./tested:app\n/flask = ./tested:flask_app")


def end_of(client):
    """Return the messages that still come, and the close code."""
    received = []
    try:
        while True:
            received.append(client.recv(PATIENCE))
    except ConnectionClosed:
        return received, client.close_code


@pytest.mark.parametrize("path", ["/echo", "/stream", "/coroutine", "/function", "/flask/talk"])
def test_a_conversation(server, path):
    """Messages in both directions, text and binary, until the client leaves."""
    client = server.connect(path)
    for message in ("a", b"\x00b", "ü" * 70_000, ""):
        client.send(message)
        assert client.recv(PATIENCE) == message
    client.close()
    assert client.close_code == 1000
    server.idle()
    assert server.failures == []


def test_where_views_run(serve_app, threads):
    """Each has a thread of its own where the app has threads, and none of the app's."""
    server = serve_app(APP)
    names = {server.connect("/thread").recv(PATIENCE) for _ in range(6)}
    if threads:
        assert len(names) == 6
        assert all(name.startswith("skitai-websocket-") for name in names)
        assert server.ask("/nowhere").code == 404  # the four threads of the app are free
    else:
        assert names == {"reactor"}


def test_the_view_ends(server):
    """The websocket is closed after what it has sent."""
    assert end_of(server.connect("/once")) == (["one", b"two"], 1000)
    server.idle()
    assert server.failures == []


def test_the_view_raises(server):
    """The client is told 1011; the log has the traceback."""
    assert end_of(server.connect("/raise"))[1] == 1011
    client = server.connect("/flask/talk")
    client.send("raise")
    assert end_of(client)[1] == 1011


def test_a_coroutine_that_waits_at_once(server):
    """It never runs in the greenlet that has answered its handshake, where waiting is no awaiting."""
    assert server.connect("/sleepy").recv(PATIENCE) == "awake"


@pytest.mark.parametrize("path", ["/coroutine", "/function"])
def test_what_was_given_raises(server, path):
    """What runs in the place of the app is code of the app: its failure is the app's."""
    client = server.connect(path)
    client.send("raise")
    assert end_of(client)[1] == 1011
    assert "RuntimeError: in the " in server.failures[0]
    assert any(message.startswith(f"GET {path} (websocket) failed (request ") for message in server.messages)


def test_a_coroutine_that_cannot_begin(serve_app):
    """It is code of the app that fails: the websocket is closed."""
    server = serve_app(
        """
from skitai.server.websocket.init import WebSocketInit
async def serve():
    pass
def app(environ, start_response):
    environ["websocket_init"] = WebSocketInit(2, serve=serve)
    start_response("200 OK", [])
    return []
"""
    )
    assert end_of(server.connect("/"))[1] == 1011
    assert "TypeError: serve() takes 0 positional arguments" in server.failures[0]


def test_the_view_closes(server):
    """With a code and a reason of its own; then there is nothing more to receive."""
    client = server.connect("/close")
    assert end_of(client) == ([], 4001)
    assert client.close_reason == "enough"
    server.idle()
    assert shared.runs == [None]


def test_silence(server):
    """A wait that nothing comes in gives an empty list; None is the end alone."""
    client = server.connect("/polls")
    assert client.recv(PATIENCE) == "ready"
    eventually(lambda: len(shared.runs) > 3)
    client.send("m")
    client.close()
    server.idle()
    assert [messages for messages in shared.runs if messages] == [["m"]]


def test_a_view_that_begins_late(server):
    """What has come until then is there, in order."""
    shared.gates.add("late")
    client = server.connect("/late")
    for number in range(100):
        client.send(str(number))
    shared.gates.clear()
    assert [client.recv(PATIENCE) for _ in range(100)] == [str(number) for number in range(100)]


@pytest.mark.parametrize("politely", [True, False])
def test_the_client_leaves(server, politely, caplog):
    """A view that sends is told, ends, and is no failure, for Saddle either."""
    client, _ = server.handshake("/talks")
    assert client.read(4) == b"\x81\x7e\x03\xe8"
    if politely:
        client.send(frame(b"\x03\xe8", first=0x88))
    client.close()
    server.idle()
    assert shared.runs == ["ended"]
    assert server.failures == []
    assert not [line for line in server.messages if "failed" in line]
    assert caplog.records == []


@pytest.mark.parametrize("threads", [4], indirect=False)
def test_too_many_threads(serve_app, threads):
    """Beyond ``threads_max`` a handshake is refused, until another view has ended."""
    server = serve_app(APP, threads=threads, threads_max=2)
    clients = [server.connect("/echo") for _ in range(2)]
    eventually(lambda: server.statistics["threads"] == 2)
    response = server.handshake("/echo")[1]
    assert (response.code, response["Retry-After"]) == (503, "1")
    assert b"threads_max" in response.body
    assert server.handshake("/coroutine")[1].code == 101  # it needs no thread
    clients[0].close()
    eventually(lambda: server.statistics["threads"] == 1)
    assert server.handshake("/echo")[1].code == 101


@pytest.mark.parametrize("design", ["DEDICATE", "MULTICAST"])
def test_the_system_has_no_threads(serve_app, monkeypatch, design):
    """The client, which has its 101 already, is told to try again later."""
    server = serve_app(APP.replace("DEDICATE", design), threads=4)

    def start(function, name):
        if name.startswith("skitai-websocket"):
            raise RuntimeError("can't start new thread")
        started(function, name)

    started = native.start_thread
    monkeypatch.setattr(native, "start_thread", start)
    assert end_of(server.connect("/echo")) == ([], 1013)
    monkeypatch.undo()
    server.idle()
    assert server.failures == []


def websocket_threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("skitai-websocket")]


def test_the_server_stops(server):
    """Clients are told 1001, views get None, and nothing is left."""
    clients = [server.connect(path) for path in ("/echo", "/coroutine", "/function", "/flask/talk", "/polls")]
    began = time.monotonic()
    server.stop()
    assert [end_of(client)[1] for client in clients] == [1001] * 5
    assert time.monotonic() - began < 5
    assert "ended" in shared.runs
    eventually(lambda: not websocket_threads(), "the end of threads")
    assert server.failures == []


@pytest.mark.parametrize("what", ["a view", "a coroutine"])
def test_the_server_stops_and_a_view_does_not(serve_app, what):
    """It waits for the view as long as for a request, and goes on with the stop."""
    server = serve_app(APP, server="response_timeout = 1")
    shared.gates.add("stays")
    client = server.connect("/stays" if what == "a view" else "/coroutine")
    client.send("sleep")
    began = time.monotonic()
    server.stop()
    assert 0.9 < time.monotonic() - began < 10
    assert end_of(client)[1] == 1001


def test_an_app_that_is_loaded_again(serve_app, tmp_path):
    """Open websockets go on with the app that took them; new ones get the new app."""
    server = serve_app(APP, server="reloader = yes")
    old = server.connect("/echo")
    code = APP.replace("ws.send(message)", 'ws.send("new " + message)')
    (tmp_path / "tested.py").write_text(code, encoding="utf-8")

    def is_new():
        client = server.connect("/echo")
        client.send("m")
        return client.recv(PATIENCE) == "new m"

    eventually(is_new)
    old.send("m")
    assert old.recv(PATIENCE) == "m"


def test_idle(serve_app):
    """A websocket without messages for the keep-alive of the app is closed; one with messages is not."""
    server = serve_app(APP.replace("DEDICATE, 60", "DEDICATE, 0.5"))
    client = server.connect("/echo")
    for _ in range(6):
        client.send("m")
        assert client.recv(PATIENCE) == "m"
        time.sleep(0.15)
    assert end_of(client) == ([], 1000)
