"""WEBSOCKET_REQDATA: each message is one run of the app, in order for each websocket."""

import ast

import pytest
from websocket_server import frame, shared

from serving import eventually
from wire import PATIENCE

APP = """
import sys
import skitai
from skitai.saddle import Saddle
from skitai.worker.watch.stacks import stack_of
from websocket_server import shared

app = Saddle(__name__)

def view(path, keep_alive=60):
    def decorate(function):
        @app.route(path)
        def answer(was, **arguments):
            if "websocket_init" in was.env:
                was.env["websocket_init"] = (skitai.WEBSOCKET_REQDATA, keep_alive, "message")
                return ""
            return function(was, **arguments)
        return function
    return decorate

@view("/env")
def env(was, message, **others):
    names = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "HTTP_COOKIE", "wsgi.url_scheme")
    shown = [was.env.get(name) for name in names]
    return repr([*shown, sorted(others.items()), was.env["wsgi.input"].read(), was.env["websocket.message"],
                 "websocket_init" in was.env or "websocket" in was.env, "HTTP_UPGRADE" in was.env])

@view("/stack")
def stack(was, message, a):
    return stack_of(sys._getframe()).task

@view("/binary")
def binary(was, message):
    data = was.env["websocket.message"]
    assert type(data) is bytes, data
    was.response["Content-Type"] = "application/octet-stream"
    return data[::-1]

@view("/picture")
def picture(was, message):
    was.response["Content-Type"] = "image/png"
    return b"\\x89PNG\\xff"

@view("/nothing")
def nothing(was, message):
    return "" if message == "empty" else None if message == "none" else message

@view("/pieces")
def pieces(was, message):
    return (piece for piece in ("a", message, "z"))

@view("/status")
def status(was, message):
    if message == "raise":
        raise RuntimeError("no answer")
    return was.response(message, "the body")

@view("/wait")
def wait(was, message):
    shared.runs.append(message)
    while message in shared.gates:
        was.sleep(0.005)
    return message

@view("/long")
def long(was, message):
    shared.runs.append(message)
    return message * 200_000

@view("/calls")
def calls(was, message):
    was.g.seen = getattr(was.g, "seen", [])
    was.g.seen.append(message)
    return repr(was.g.seen)
"""


@pytest.fixture
def server(serve_app):
    return serve_app(APP)


def test_a_run_is_a_get(server):
    """The app sees the request of the handshake, with the message in the query and as it came."""
    client = server.connect("/env?a=1&b=x%20y", additional_headers={"Cookie": "c=d"})
    client.send("m&n=ü")
    expected = [
        "GET", "", "/env", "a=1&b=x%20y&message=m%26n%3D%C3%BC", "c=d", "http",
        [("a", "1"), ("b", "x y")], b"", "m&n=ü", False, False,
    ]  # fmt: skip
    assert client.recv(PATIENCE) == repr(expected)
    client = server.connect("/env")
    client.send("m")
    assert ast.literal_eval(client.recv(PATIENCE))[3] == "message=m"


def test_the_variable_is_the_message(server):
    """In the handshake's query it counts for nothing, in whatever way it is written there."""
    client = server.connect("/env?message=no&a=1&%6Dessage=no&message&&b=%26")
    client.send("yes")
    shown = ast.literal_eval(client.recv(PATIENCE))
    assert shown[3] == "a=1&b=%26&message=yes"


def test_a_run_has_a_name(server):
    """Who looks at what blocks sees which websocket it is."""
    client = server.connect("/stack?a=1")
    client.send("m")
    assert client.recv(PATIENCE) == "GET /stack?a=1 (websocket)"


def test_binary(server):
    """Bytes are there as they came; octets are sent as a binary message, text is not."""
    client = server.connect("/binary")
    client.send(b"\x00\xff\x01")
    assert client.recv(PATIENCE) == b"\x01\xff\x00"
    client = server.connect("/picture")
    client.send("m")
    assert client.recv(PATIENCE) == b"\x89PNG\xff"


def test_no_answer(server):
    """An empty response sends nothing."""
    client = server.connect("/nothing")
    for message in ("none", "empty", "none", "something"):
        client.send(message)
    assert client.recv(PATIENCE) == "something"


def test_all_pieces_are_one_message(server):
    """A body in pieces is one message."""
    client = server.connect("/pieces")
    client.send("m")
    assert client.recv(PATIENCE) == "amz"


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("raise", "[ERROR] 500 Internal Server Error"),
        ("500 Internal Server Error", "[ERROR] 500 Internal Server Error"),
        ("404 Not Found", "[ERROR] 404 Not Found"),
        ("303 See Other", "[ERROR] 303 See Other"),
        ("201 Created", "the body"),
    ],
)
def test_failures(server, message, answer):
    """What is no success is told in one line, and the websocket lives on."""
    client = server.connect("/status")
    for _ in range(2):
        client.send(message)
        assert client.recv(PATIENCE) == answer


def test_an_app_that_raises(serve_app):
    """What gets out of a plain WSGI app is logged as its failure."""
    server = serve_app(
        """
import skitai
def app(environ, start_response):
    if "websocket_init" in environ:
        environ["websocket_init"] = (skitai.WEBSOCKET_REQDATA, 60, "m")
    elif environ["websocket.message"] == "silent":
        return [b"no start"]
    elif environ["websocket.message"] == "raise":
        raise RuntimeError("out of the app")
    start_response("200 OK", [])
    return [b"fine"]
"""
    )
    client = server.connect("/")
    for message, answer in (("raise", "[ERROR] 500"), ("silent", "[ERROR] 500"), ("other", "fine")):
        client.send(message)
        assert client.recv(PATIENCE).startswith(answer)
    assert "RuntimeError: out of the app" in server.failures[0]
    assert "did not call start_response" in server.failures[1]
    failed = "GET / (websocket) failed (request "
    assert sum(message.startswith(failed) for message in server.messages) == 2


def test_order(server):
    """The next message is run when the one before it was answered; other websockets go on meanwhile."""
    shared.gates.update(("first", "second"))
    one, other = server.connect("/wait"), server.connect("/wait")
    one.send("first")
    one.send("second")
    other.send("third")
    assert other.recv(PATIENCE) == "third"
    assert "second" not in shared.runs
    shared.gates.clear()
    assert [one.recv(PATIENCE), one.recv(PATIENCE)] == ["first", "second"]


def test_a_client_that_sends_too_much(serve_app):
    """What waits for the app is bounded: then the client is not read."""
    server = serve_app(APP, inbox_max="10 KB")
    shared.gates.add("x" * 1000)
    client, _ = server.handshake("/wait")
    client.socket.settimeout(1)
    with pytest.raises(TimeoutError):
        client.send(frame("x" * 1000) * 50_000)
    client.socket.settimeout(PATIENCE)
    assert len(shared.runs) == 1
    shared.gates.clear()
    for _ in range(50):
        head = client.read(4)
        assert client.read(int.from_bytes(head[2:], "big")) == b"x" * 1000


def test_a_client_that_reads_nothing(serve_app):
    """The app is not run for a client that does not take its answers; in the end it is cut off."""
    server = serve_app(APP, outbox_max="100 KB", send_timeout=1)
    client, _ = server.handshake("/long")
    client.send(frame("x") * 100)
    other = server.connect("/nothing")
    other.send("m")
    assert other.recv(PATIENCE) == "m"  # nobody else waits
    eventually(lambda: server.statistics["open"] == 1, "the end of the silent client")
    assert 1 < len(shared.runs) < 50


def test_a_slow_client(serve_app):
    """A client that reads late gets all answers."""
    server = serve_app(APP, outbox_max="100 KB")
    client, _ = server.handshake("/long")
    client.send(frame("x") * 60)
    eventually(lambda: shared.runs)
    for _ in range(60):
        head = client.read(10)
        assert client.read(int.from_bytes(head[2:], "big")) == b"x" * 200_000


def test_a_client_that_leaves(server):
    """What it has sent and nobody has run is forgotten."""
    shared.gates.add("x")
    client, _ = server.handshake("/wait")
    client.send(frame("x") * 3)
    eventually(lambda: shared.runs)
    client.close()
    eventually(lambda: server.statistics["open"] == 0)
    shared.gates.clear()
    server.idle()
    other = server.connect("/wait")
    other.send("y")
    assert other.recv(PATIENCE) == "y"
    assert shared.runs == ["x", "y"]


def test_each_run_is_a_request_of_its_own(server):
    """Nothing of one run is there in the next."""
    client = server.connect("/calls")
    for message in ("a", "b"):
        client.send(message)
        assert client.recv(PATIENCE) == repr([message])
