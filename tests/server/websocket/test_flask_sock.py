"""Apps of flask-sock as they are: their library speaks the protocol, over a socket that the server pumps."""

import ssl
import threading

import pytest
from websocket_server import shared
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus

from certificates import Identity
from wire import PATIENCE

APP = """
from threading import Event, current_thread

from flask import Flask, abort, request
from flask_sock import Sock
from websocket_server import shared

app = Flask(__name__)
app.config["SOCK_SERVER_OPTIONS"] = {"subprotocols": ["talk"], "ping_interval": 25}
sock = Sock(app)

@app.before_request
def note():
    shared.runs.append(request.path)
    if "refused" in request.args:
        abort(403)

@sock.route("/echo")
def echo(ws):
    while True:
        ws.send(ws.receive())

@sock.route("/say/<int:count>")
def say(ws, count):
    for number in range(count):
        ws.send(f"{number}" * 1000)

@sock.route("/about")
def about(ws):
    environ = request.environ
    ws.send(f"{environ['wsgi.multithread']} {environ['wsgi.url_scheme']} {ws.subprotocol}")
    ws.send(current_thread().name)
    environ["skitai.was"].sleep(0.01)
    ws.close(4001, "enough")

@sock.route("/fail")
def fail(ws):
    raise RuntimeError("failed on purpose")

@sock.route("/wait")
def wait(ws):
    shared.gate.wait(60)
    ws.send("waited")

@app.route("/hello")
def hello():
    assert "gunicorn.socket" not in request.environ
    return "hello"
"""


@pytest.fixture
def server(serve_app):
    shared.gate = threading.Event()
    yield serve_app(APP)
    shared.gate.set()


def test_echo(server):
    """Text and binary, short and long; plain routes of the same app are there beside it."""
    client = server.connect("/echo", max_size=None)
    for message in ("hi", b"\0\1", "é" * 100_000, b"x" * 3_000_000, ""):
        client.send(message)
        assert client.recv(PATIENCE) == message
    assert server.ask("/hello").body == b"hello"
    assert server.statistics["socket"] == 1
    client.close()
    assert client.close_code == 1000
    server.idle()
    assert server.failures == []


def test_the_view_runs_in_a_thread(server, threads):
    """It has a real thread of its own, whichever the executor; ``was`` is there."""
    client = server.connect("/about", subprotocols=["other", "talk"])
    assert client.recv(PATIENCE) == "True http talk"
    assert client.recv(PATIENCE).startswith("skitai-app-" if threads else "skitai-websocket-")
    with pytest.raises(ConnectionClosedError) as caught:
        client.recv(PATIENCE)
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "enough")
    server.idle()
    assert server.failures == []


def test_what_runs_twice(server, threads):
    """In greenlets, what an app does before it uses the socket is done again, once for each address."""
    for _ in range(3):
        server.connect("/echo").close()
    assert shared.runs == ["/echo"] * (3 if threads else 4)


def test_the_end_of_the_view(server):
    """When it returns, the client gets all that it has sent, and an orderly close."""
    client = server.connect("/say/300")
    assert [client.recv(PATIENCE) for _ in range(300)] == [f"{number}" * 1000 for number in range(300)]
    with pytest.raises(ConnectionClosedOK):
        client.recv(PATIENCE)
    server.idle()


def test_a_view_that_fails(server):
    """It is logged by the framework; the connection ends without a close, and serves no HTTP again."""
    client = server.connect("/fail")
    with pytest.raises(ConnectionClosedError):
        client.recv(PATIENCE)
    server.idle()
    assert server.ask("/hello").body == b"hello"


def test_more_websockets_than_threads(server):
    """A view that keeps its thread takes none from others: as many as threads_max may."""
    clients = [server.connect("/wait") for _ in range(12)]
    assert server.ask("/hello").body == b"hello"
    assert server.statistics["threads"] == 12
    shared.gate.set()
    assert [client.recv(PATIENCE) for client in clients] == ["waited"] * 12
    server.idle()


def test_too_many_threads(serve_app):
    """Beyond threads_max the handshake is answered with 503, until a view has ended."""
    shared.gate = threading.Event()
    server = serve_app(APP, threads_max=2)
    clients = [server.connect("/wait") for _ in range(2)]
    for _ in range(3):
        with pytest.raises(InvalidStatus) as caught:
            server.connect("/wait")
        assert caught.value.response.status_code == 503
        assert b"threads_max" in caught.value.response.body
    assert server.ask("/hello").body == b"hello"
    shared.gate.set()
    assert [client.recv(PATIENCE) for client in clients] == ["waited"] * 2
    server.idle()
    assert server.connect("/wait").recv(PATIENCE) == "waited"
    assert server.failures == []


@pytest.mark.parametrize(("path", "status"), [("/echo?refused", 403), ("/nowhere", 404), ("/hello", 400)])
def test_refused(server, path, status):
    """An app that refuses before it uses the socket answers as ever; a plain route takes no websockets."""
    with pytest.raises(InvalidStatus) as caught:
        server.connect(path)
    assert caught.value.response.status_code == status
    assert server.statistics["threads"] == 0


def test_server_stop(server):
    """A view that waits for messages ends with the server; its client sees that."""
    client = server.connect("/echo")
    client.send("hi")
    assert client.recv(PATIENCE) == "hi"
    server.stop()
    with pytest.raises(ConnectionClosedError):
        client.recv(PATIENCE)
    assert server.failures == []


def test_tls(serve_app, tmp_path):
    """The library speaks plain bytes, the client TLS."""
    shared.gate = None
    identity = Identity("127.0.0.1")
    pem = tmp_path / "server.pem"
    pem.write_bytes(identity.pem + identity.key_pem())
    server = serve_app(APP, server=f"certfile = {pem}\nssl = yes")
    context = ssl.create_default_context(cadata=identity.pem.decode())
    client = server.connect("/echo", ssl=context, max_size=None)
    for message in ("hi", b"x" * 3_000_000):
        client.send(message)
        assert client.recv(PATIENCE) == message
    client.close()
    assert client.close_code == 1000
    about = server.connect("/about", ssl=context)
    assert about.recv(PATIENCE) == "True https None"
    server.idle()
    assert server.failures == []


def test_the_access_log(serve_app, tmp_path):
    """A websocket has its line, with the status that the library has sent."""
    server = serve_app(APP, server=f"access_log = {tmp_path}/access.log")
    server.connect("/echo").close()
    server.idle()
    server.stop()
    (line,) = (tmp_path / "access.log").read_text().splitlines()
    assert "GET /echo HTTP/1.1 101 0 " in line
