"""The handshake: what the app says to it, and what no app is asked about."""

import base64
import ssl

import pytest
from websocket_server import HANDSHAKE, KEY, frame, handshake_head, read_text, shared

from certificates import Identity
from serving import eventually
from wire import PATIENCE, Client

APP = """
import skitai
from skitai.saddle import Saddle
from skitai.websocket.init import WebSocketInit

app = Saddle(__name__)
app.securekey = "a key of the tests"

def accept(was):
    was.env["websocket_init"] = WebSocketInit(
        skitai.WEBSOCKET_DEDICATE, 60, subprotocols=("v2.chat", "chat")
    )
    return ""

@app.route("/page")
def page(was):
    return "a page"

@app.route("/moved")
def moved(was):
    return was.redirect("/page")

@app.route("/forbidden")
def forbidden(was):
    accept(was)
    return was.response("403 Forbidden", "not you")

@app.route("/broken")
def broken(was):
    accept(was)
    raise RuntimeError("before the end")

@app.route("/wrong")
def wrong(was):
    was.env["websocket_init"] = ("DEDICATE", 60, None)
    return ""

@app.route("/pieces")
def pieces(was):
    if "websocket_init" not in was.env:
        return talk(was)
    def body():
        accept(was)
        yield "one "
        raise AssertionError("nobody wants the rest")
    return body()

@app.route("/file")
def file(was):
    return open(__file__, "rb")

@app.route("/talk")
def talk(was):
    if "websocket_init" in was.env:
        was.session["visits"] = was.session.get("visits", 0) + 1
        was.response["X-Note"] = "kept"
        was.response["Sec-WebSocket-Protocol"] = "of the app"
        was.response["Connection"] = "close"
        return accept(was)
    ws = was.env["websocket"]
    ws.send(f"{ws.subprotocol} {was.env['SCRIPT_NAME']}{was.env['PATH_INFO']} {was.env['wsgi.url_scheme']}"
            f" {'websocket_init' in was.env} {was.session.get('visits')} {was.env['wsgi.input'].read()}")
    for message in ws:
        ws.send(message)
"""


@pytest.fixture
def server(serve_app):
    return serve_app(APP)


def refused(server, path="/talk", method="GET", **fields):
    """Return the response to a handshake that is refused; the connection serves the next request."""
    client, response = server.handshake(path, method, **fields)
    if response["Connection"] is None:
        assert client.ask("/page").body == b"a page"
    return response


def test_accepted(server):
    """The response of the app gives its fields, except for those that are not its business."""
    client, response = server.handshake("/talk", Sec_WebSocket_Protocol="chat, v2.chat")
    assert response.status == "101 Switching Protocols"
    assert response["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert response["Upgrade"] == "websocket"
    assert response["Connection"] == "upgrade"
    assert response["Sec-WebSocket-Protocol"] == "v2.chat"
    assert response["X-Note"] == "kept"
    assert response["Set-Cookie"].startswith("SESSION=")
    assert not {name.lower() for name, _ in response.fields} & {"content-length", "content-type"}
    assert response["Sec-WebSocket-Extensions"] is None
    assert read_text(client) == "v2.chat /talk http False None b''"


def test_no_subprotocol_in_common(server):
    """None is named, and the client decides whether it goes on (RFC 6455, section 4.2.2)."""
    _, response = server.handshake("/talk", Sec_WebSocket_Protocol="other")
    assert response.code == 101
    assert response["Sec-WebSocket-Protocol"] is None


def test_session(server):
    """The cookies of a handshake are those of a request, in both directions."""
    _, response = server.handshake("/talk")
    cookie = response["Set-Cookie"].partition(";")[0]
    client = server.connect("/talk", additional_headers={"Cookie": cookie})
    assert client.recv(PATIENCE).split()[4] == "1"


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/page", "400 Bad Request", b"This address takes no websockets.\n"),
        ("/file", "400 Bad Request", b"This address takes no websockets.\n"),
        ("/forbidden", "403 Forbidden", b"not you"),
    ],
)
def test_refused_by_the_app(server, path, status, text):
    """Never with 2xx; a refusal of the app's own goes to the client as it is."""
    response = refused(server, path)
    assert response.status == status
    assert response.body == text
    assert server.failures == []


def test_the_app_answers_in_its_own_way(server):
    """Redirects and error pages are for clients of websockets, too."""
    assert refused(server, "/moved")["Location"] == "/page"
    assert refused(server, "/nowhere").code == 404
    assert refused(server, "/broken").code == 500


def test_wrong_init(server):
    """A mistake of the app is its failure: the log names it, and the client gets a 500."""
    assert refused(server, "/wrong").code == 500
    assert "'DEDICATE' is not a design; there are skitai.WEBSOCKET_REQDATA" in server.failures[0]
    assert any(message.startswith("GET /wrong failed (request ") for message in server.messages)


def test_a_body_in_pieces(server):
    """An app whose first piece comes late is asked until then, and no further."""
    client = server.connect("/pieces")
    assert client.recv(PATIENCE).startswith("None /pieces")
    assert server.failures == []


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"Sec_WebSocket_Key": None}, 400),
        ({"Sec_WebSocket_Key": "short"}, 400),
        ({"Sec_WebSocket_Key": base64.b64encode(b"15 bytes of key").decode()}, 400),
        ({"Sec_WebSocket_Version": None}, 400),
        ({"Sec_WebSocket_Version": "8"}, 426),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_refused_before_the_app(server, fields, code):
    """What breaks RFC 6455, section 4.2.1, or comes from another page; the text says what."""
    response = refused(server, "/broken", **fields)
    assert response.code == code
    assert response["Content-Type"].startswith("text/plain")
    assert len(response.body) > 20
    if code == 426:
        assert response["Sec-WebSocket-Version"] == "13"
        assert response["Upgrade"] == "websocket"
        assert response["Connection"].lower() == "upgrade"
    assert server.failures == []


def test_other_methods(server):
    """A websocket is opened by GET alone."""
    response = refused(server, method="POST")
    assert (response.code, response["Allow"]) == (405, "GET")
    with Client(server.port) as client:
        fields = [("Upgrade", "websocket"), ("Connection", "Upgrade")]
        assert client.ask("/page", "POST", fields, b"a body").code == 405


def test_http_1_0(server, log_text):
    """A proxy that speaks HTTP/1.0 is told so; the log has it for who runs that proxy."""
    with Client(server.port) as client:
        client.send(
            b"GET /talk HTTP/1.0\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n" % KEY.encode()
        )
        response = client.response()
    assert response.code == 400
    assert b"HTTP/1.1" in response.body
    assert "127.0.0.1 GET /talk was refused with 400: A websocket needs HTTP/1.1 or HTTP/2" in log_text()


def test_a_body(server):
    """It could not be told from frames."""
    with Client(server.port) as client:
        response = client.ask("/talk", fields=list(HANDSHAKE.items()), body=b"a body")
    assert response.code == 400
    assert b"without a body" in response.body


@pytest.mark.parametrize("fields", [{"Connection": None}, {"Connection": "keep-alive"}, {"Upgrade": "h2c"}])
def test_plain_requests(server, fields):
    """Without the wish for a websocket on this connection, it is a request as any (RFC 9110, 7.8)."""
    assert refused(server, "/page", **fields).body == b"a page"


@pytest.mark.parametrize(
    "fields", [{"Upgrade": "WebSocket"}, {"Upgrade": "h2c, websocket"}, {"Connection": "keep-alive, UPGRADE"}]
)
def test_spellings(server, fields):
    """Names of protocols and options know no case, and come in lists, as Firefox sends them."""
    assert server.handshake("/talk", **fields)[1].code == 101


def test_own_pages(server):
    """A page of the server may open a websocket, and so may a program on this machine."""
    for origin in (f"http://localhost:{server.port}", "http://127.0.0.1:3000"):
        assert server.handshake("/talk", Origin=origin)[1].code == 101


def test_other_pages(serve_app):
    """The config names the origins of others."""
    server = serve_app(APP, origins="https://www.example.com, *.example.net")
    assert server.handshake("/talk", Origin="https://www.example.com")[1].code == 101
    assert server.handshake("/talk", Origin="http://a.example.net:8080")[1].code == 101
    assert server.handshake("/talk", Origin="https://evil.example")[1].code == 403


def test_a_frame_with_the_handshake(server):
    """Frames in the packet of the handshake are not lost; the view gets them first."""
    with Client(server.port) as client:
        client.send(handshake_head("/talk").encode() + frame("early") + frame("bird"))
        assert client.read_head().code == 101
        assert read_text(client).startswith("None /talk")
        assert [read_text(client), read_text(client)] == ["early", "bird"]


def test_access_log(serve_app, tmp_path):
    """A handshake is one line, whether it is accepted or not."""
    log = tmp_path / "access.log"
    server = serve_app(APP, server=f"access_log = {log}")
    server.connect("/talk").recv(PATIENCE)
    refused(server, "/page")
    server.stop()
    lines = log.read_text().splitlines()
    assert [line.split(" GET ")[1].split()[:3] for line in lines] == [
        ["/talk", "HTTP/1.1", "101"], ["/page", "HTTP/1.1", "400"], ["/page", "HTTP/1.1", "200"]
    ]  # fmt: skip


def test_authentication(serve_app):
    """The app's own authentication comes first."""
    server = serve_app(
        APP + '\napp.authorization = "basic"\napp.realm = "r"\napp.user, app.password = "u", "p"\n'
    )
    response = server.handshake("/talk")[1]
    assert response.code == 401
    assert response["WWW-Authenticate"].startswith("Basic")
    word = "Basic " + base64.b64encode(b"u:p").decode()
    assert server.handshake("/talk", Authorization=word)[1].code == 101


def test_mounts_and_hosts(serve_app, tmp_path):
    """Websockets go to the app of their virtual host and path, as requests do."""
    routes = "/deep/down = ./tested:app\n: other.example\n/ = ./other:app"
    (tmp_path / "other.py").write_text(APP.replace('ws.send(f"', 'ws.send(f"other '), encoding="utf-8")
    server = serve_app(APP, routes)
    assert server.connect("/deep/down/talk").recv(PATIENCE).startswith("None /deep/down/talk")
    client, response = server.handshake("/talk", host="other.example")
    assert response.code == 101
    assert read_text(client).startswith("other None /talk")
    assert server.handshake("/talk")[1].code == 404


def test_tls(serve_app, tmp_path):
    """A server with TLS serves wss; the view sees the scheme of pages."""
    identity = Identity("localhost")
    pem = tmp_path / "server.pem"
    pem.write_bytes(identity.key_pem() + identity.pem)
    server = serve_app(APP, server=f"certfile = {pem}\nssl = yes")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = server.connect("/talk", ssl=context)
    assert client.recv(PATIENCE).split()[2] == "https"
    client.send("x" * 70_000)
    assert client.recv(PATIENCE) == "x" * 70_000


def test_an_app_that_cannot_be_loaded(serve_app):
    """It is answered as a request is."""
    server = serve_app("raise RuntimeError('not today')")
    assert server.handshake("/talk")[1].code == 503


def test_the_server_stops_meanwhile(serve_app):
    """A handshake under way is answered, and the websocket closed at once."""
    server = serve_app(
        """
import skitai
from websocket_server import shared
def app(environ, start_response):
    if "websocket_init" in environ:
        shared.runs.append("asked")
        while "slow" in shared.gates:
            skitai.was.sleep(0.005)
        environ["websocket_init"] = (skitai.WEBSOCKET_DEDICATE, 60, None)
    else:
        shared.runs.append(environ["websocket"].getwait())
    start_response("200 OK", [])
    return []
"""
    )
    shared.gates.add("slow")
    with Client(server.port) as client:
        client.send(handshake_head("/").encode())
        eventually(lambda: shared.runs)
        stopped = server.loop.call(lambda: [server.instance.stopService()])
        shared.gates.clear()
        assert client.read_head().code == 101
        assert client.read(4) == b"\x88\x02\x03\xe9"
    server.loop.call(lambda: stopped[0])
    assert shared.runs == ["asked", None]


def test_status(server):
    """The status page has the numbers."""
    clients = [server.connect("/talk") for _ in range(2)]
    assert clients[1].recv(PATIENCE)
    table = server.instance.status()["Websockets"]
    assert (table["open"], table["dedicate"], table["reqdata"], table["multicast"]) == (2, 2, 0, 0)
    assert table["views"] == 2


def test_without_the_plugin(serve):
    """Where nobody takes websockets, the request for one is a request as any (RFC 9110, section 7.8)."""

    def app(environ, start_response):
        start_response("200 OK", [])
        return [repr("websocket_init" in environ).encode()]

    assert serve(app).ask("/", fields=list(HANDSHAKE.items())).body == b"False"
