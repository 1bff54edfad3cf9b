"""Websockets over HTTP/2 (RFC 8441): all designs, beside other requests of the same connection."""

import threading

import pytest
from http2_websockets import Connection
from websocket_server import shared

from certificates import Identity
from serving import eventually

APP = """
import skitai
from flask import Flask, request
from flask_sock import Sock
from skitai.saddle import Saddle
from websocket_server import shared

app = Saddle(__name__)
socks = Flask(__name__)
sock = Sock(socks)

def takes(was, design, name=None, **options):
    if "websocket_init" not in was.env:
        return False
    from skitai.websocket.init import WebSocketInit
    was.env["websocket_init"] = WebSocketInit(design, 60, name, **options)
    return True

@app.route("/echo")
def echo(was, message="", b=""):
    if takes(was, skitai.WEBSOCKET_REQDATA, "message", subprotocols=("talk",)):
        shared.environ = dict(was.env)
        was.response.set_header("X-Mine", "yes")
        return ""
    return "ECHO:" + message

@app.route("/talk")
def talk(was):
    if takes(was, skitai.WEBSOCKET_DEDICATE):
        return ""
    ws = was.env["websocket"]
    for message in ws:
        ws.send(message)
    shared.gates.add((ws.code, ws.reason))

@app.route("/flood")
def flood(was):
    if takes(was, skitai.WEBSOCKET_DEDICATE):
        return ""
    ws = was.env["websocket"]
    for number in range(400):
        ws.send(b"%d " % number * 2000)
        shared.gates.add(number)

@app.route("/deaf")
def deaf(was):
    if takes(was, skitai.WEBSOCKET_DEDICATE):
        return ""
    ws = was.env["websocket"]
    ws.getwait()
    while "open" not in shared.gates:
        was.sleep(0.01)
    ws.send(str(sum(len(message) for message in iter(lambda: ws.getwait(5), "end"))))

@app.route("/room")
def room(was, roomid=""):
    if takes(was, skitai.WEBSOCKET_MULTICAST, "roomid"):
        return ""
    ws = was.env["websocket"]
    for client_id, message in ws:
        ws.sendall(f"{roomid} {message}")

@app.route("/coroutine")
async def coroutine(was):
    if takes(was, skitai.WEBSOCKET_DEDICATE):
        return ""
    ws = was.env["websocket"]
    async for message in ws:
        await ws.send(message + "!")

@app.route("/no")
def no(was):
    return "nothing here"

@app.route("/forbidden")
def forbidden(was):
    return was.response("403 Forbidden", "go away")

@sock.route("/echo")
def sock_echo(ws):
    while True:
        ws.send(ws.receive())

@sock.route("/bye")
def sock_bye(ws):
    ws.send("x" * 300_000)
    ws.close(4001, "enough")
"""
ROUTES = "/ = ./tested:app\n/sock = ./tested:socks\n/files = files"


@pytest.fixture
def serve(serve_app, tmp_path):
    """Return ``serve(**keys)``: a server of ``APP`` with HTTP/2 where there is no TLS."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "file.txt").write_text("a file")

    def start(server="h2c = yes", **keys):
        log = f"access_log = {tmp_path / 'access.log'}"
        return serve_app(APP, ROUTES, f"{server}\n{log}", **keys)

    return start


@pytest.fixture
def connect(opened):
    """Return ``connect(server)``: a connection that is closed at the end."""
    return lambda server, **options: opened.enter_context(Connection(server.port, **options))


def test_all_designs_on_one_connection(serve, connect, tmp_path):
    """Three designs, a coroutine and plain requests share a connection; the log has one line for each."""
    server = serve()
    connection = connect(server)
    echo = connection.connect(
        "/echo?b=c", headers=[("sec-websocket-protocol", "other, talk"), ("sec-websocket-key", "mine")]
    )
    assert (echo.fields["sec-websocket-protocol"], echo.fields["x-mine"]) == ("talk", "yes")
    environ = shared.environ
    assert (environ["REQUEST_METHOD"], environ["SERVER_PROTOCOL"]) == ("GET", "HTTP/2")
    assert environ["QUERY_STRING"] == "b=c"
    talk, loud = connection.connect("/talk"), connection.connect("/coroutine")
    first, second = connection.connect("/room?roomid=1"), connection.connect("/room?roomid=1")
    assert server.statistics["open"] == 5
    assert server.loop.call(server.instance._connections)["busy"] == 0
    echo.send("hello")
    loud.send("hello")
    talk.send(b"\0" * 70_000)
    second.send("to all")
    assert echo.receive() == "ECHO:hello"
    assert loud.receive() == "hello!"
    assert talk.receive() == b"\0" * 70_000
    assert (first.receive(), second.receive()) == ("1 to all", "1 to all")
    assert connection.get("/no").body == b"nothing here"
    assert [each.close() for each in (echo, talk, loud, first, second)] == [1000] * 5
    assert connection.get("/files/file.txt").body == b"a file"
    server.idle()
    assert shared.gates == {(1000, "")}
    connection.socket.close()
    server.stop()
    log = (tmp_path / "access.log").read_text()
    assert [log.count(f"GET {path} HTTP/2 200 ") for path in ("/echo?b=c", "/talk", "/no")] == [1, 1, 1]
    assert server.failures == []


def test_flask_sock_over_http2(serve, connect):
    """A library that speaks the protocol itself sends a 101, which becomes the head of the stream."""
    server = serve()
    connection = connect(server)
    for _ in range(2):
        echo = connection.connect("/sock/echo")
        echo.send("a" * 100_000)
        assert echo.receive() == "a" * 100_000
        assert echo.close() == 1000
    bye = connection.connect("/sock/bye")
    assert bye.receive() == "x" * 300_000
    assert bye.closed() == 4001
    left = connection.connect("/sock/echo")
    left.cut()
    server.idle()
    assert connection.get("/no").body == b"nothing here"


def test_over_tls_with_compression(serve, connect, tmp_path):
    identity = Identity("localhost")
    (tmp_path / "main.pem").write_bytes(identity.pem + identity.key_pem())
    server = serve("ssl = yes\ncertfile = main.pem", deflate="yes")
    connection = connect(server, tls=True)
    talk = connection.connect("/talk", deflate=True)
    for message in ("short", "long " * 50_000, b"\1" * 300_000):
        talk.send(message)
        assert talk.receive() == message
    assert talk.close() == 1000


@pytest.mark.parametrize(
    ("path", "options", "code"),
    [
        ("/no", {}, 400),
        ("/ping", {}, 400),
        ("/files/file.txt", {}, 400),
        ("/forbidden", {}, 403),
        ("/files/none", {}, 404),
        ("/sock/none", {}, 404),
        ("/talk", {"protocol": "connect-udp"}, 501),
        ("/talk", {"ends": True}, 400),
        ("/talk", {"headers": [("content-length", "5")]}, 400),
        ("/talk", {"headers": [("origin", "http://evil.example")]}, 403),
        ("/talk", {"headers": [("sec-websocket-version", "8")]}, 426),
    ],
)
def test_declined_over_http2(serve, connect, path, options, code):
    """What declines is never a 2xx, which would accept; the connection goes on."""
    server = serve()
    connection = connect(server)
    stream = connection.begin(path, **options)
    connection.until(lambda: stream.over)
    assert stream.fields[":status"] == str(code)
    assert stream.reset in (None, 0)
    assert connection.get("/no").body == b"nothing here"
    assert server.failures == []


def test_a_client_that_resets_or_ends_its_half(serve, connect):
    """Both are the loss of the connection, 1006, and concern no other websocket."""
    server = serve()
    connection = connect(server)
    other = connection.connect("/talk")
    for leave in (lambda stream: stream.cut(), lambda stream: stream.raw(b"", ends=True)):
        talk = connection.connect("/talk")
        talk.send("once")
        assert talk.receive() == "once"
        leave(talk)
        eventually(lambda: [code for code, _ in shared.gates] == [1006], "the end")
        shared.gates.clear()
    other.send("still here")
    assert other.receive() == "still here"
    assert server.statistics["open"] == 1


def test_the_loss_of_the_connection_ends_all(serve, connect):
    server = serve()
    connection = connect(server)
    for _ in range(3):
        connection.connect("/talk")
    connection.socket.close()
    server.idle()
    assert {code for code, _ in shared.gates} == {1006}


def test_a_client_that_reads_slowly_holds_nobody(serve, connect):
    """A stream whose window is closed makes its sender wait; its neighbours go on, and nothing is lost."""
    server = serve(outbox_max=100_000)
    connection = connect(server)
    flood = connection.begin("/flood")
    flood.taking = False
    connection.until(lambda: flood.untaken >= 65_535)
    other = connection.connect("/talk")
    for _ in range(20):
        other.send("a" * 5000)
        assert other.receive() == "a" * 5000
    sent = max(shared.gates)
    assert sent < 100
    flood.open()
    flood.taking = True
    connection.h2.acknowledge_received_data(flood.untaken, flood.id)
    connection.flush()
    for number in range(400):
        assert flood.receive() == b"%d " % number * 2000
    assert flood.closed() == 1000


def test_an_app_that_does_not_read_makes_its_client_wait(serve, connect):
    """The client may send as much as fits into inbox and window, and all of it arrives."""
    server = serve(inbox_max=50_000)
    connection = connect(server)
    deaf, other = connection.connect("/deaf"), connection.connect("/talk")
    deaf.send("begin")
    sent = 0
    while connection.h2.local_flow_control_window(deaf.id) > 20_000:
        deaf.send("x" * 10_000)
        sent += 10_000
        other.send("between")
        assert other.receive() == "between"
    assert 100_000 < sent < 1_000_000
    shared.gates.add("open")
    for _ in range(30):
        deaf.send("x" * 10_000)
    deaf.send("end")
    assert deaf.receive() == str(sent + 300_000)
    assert deaf.closed() == 1000


def test_a_stop_closes_with_1001(serve, connect):
    server = serve()
    connection = connect(server)
    streams = [connection.connect("/talk"), connection.connect("/room?roomid=1")]
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    assert [stream.receive() for stream in streams] == [None, None]
    assert [stream.closed() for stream in streams] == [1001, 1001]
    connection.ended()
    stopping.join(20)
    assert not stopping.is_alive()


def test_a_stop_ends_a_library_that_speaks_itself(serve, connect):
    server = serve()
    connection = connect(server)
    echo = connection.connect("/sock/echo")
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    assert echo.receive() is None
    echo.closed()
    connection.ended()
    stopping.join(20)
    assert not stopping.is_alive()


def test_a_client_that_answers_no_ping(serve, connect):
    """Its websocket ends, as in HTTP/1.1; the connection goes on."""
    server = serve(ping_interval="0.3", ping_timeout="0.3")
    connection = connect(server)
    talk = connection.begin("/talk")
    connection.until(lambda: talk.over)
    assert talk.reset == 8
    assert connection.get("/no").body == b"nothing here"
    server.idle()
