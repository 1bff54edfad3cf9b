"""Methods that llhttp does not know reach apps: a method is any token (RFC 9110, section 9.1).

gunicorn, waitress and Apache take them, too. WebDAV has some (RFC 3253: VERSION-CONTROL), and apps
may have their own. What is refused is logged with what was asked.
"""

import pytest

from serving import RunningServer, config_text, eventually
from wire import Client

APP = """
from flask import Flask, request

app = Flask(__name__)

@app.route("/x", methods=["GET", "POST"])
def known():
    return "known"

def raw(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["REQUEST_METHOD"].encode(), b" ", body]
"""


@pytest.fixture(scope="module", params=[4, 0], ids=["threads", "greenlets"])
def server(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("methods")
    (folder / "views.py").write_text(APP, encoding="utf-8")
    (folder / "files").mkdir()
    (folder / "files" / "a.txt").write_text("a", encoding="utf-8")
    apps = {"/raw": "./views:raw", "/flask": "./views:app", "/files": "./files"}
    running = RunningServer(folder, config_text(apps), request.param)
    yield running
    running.stop()


METHODS = ["VERSION-CONTROL", "BASELINE-CONTROL", "BREW", "get", "X" * 64, "!#$%&'*+.^_`|~09"]


@pytest.mark.parametrize("method", METHODS)
def test_any_token_reaches_an_app(server, method):
    """The app sees the method as it came, with its body; methods are case-sensitive."""
    response = server.ask("/raw/", method, body=b"body")
    assert (response.code, response.body) == (200, f"{method} body".encode())
    assert server.ask("/raw/", method).body == f"{method} ".encode()
    eventually(lambda: f" {method} /raw/ HTTP/1.1 200 " in server.log_text(), "the line")


@pytest.mark.parametrize("size", [1, 3, 8, 20])
def test_in_pieces(server, size):
    """However the bytes are cut, and several times on one connection."""
    head = b"VERSION-CONTROL /raw/ HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
    with Client(server.port) as client:
        for _ in range(3):
            for start in range(0, len(head), size):
                client.send(head[start : start + size])
            assert client.response().body == b"VERSION-CONTROL body"
        assert client.ask("/raw/").body == b"GET "


@pytest.mark.parametrize("method", ["BREW", "DESCRIBE", "SETUP"])
def test_chunked_and_pipelined(server, method):
    """A chunked body, and a request behind it, are framed as those of a POST; also for methods of RTSP."""
    request = (
        f"{method} /raw/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
    ).encode()
    with Client(server.port) as client:
        client.send(request + request + b"GET /raw/ HTTP/1.1\r\nHost: a\r\n\r\n")
        assert [client.response().body for _ in range(3)] == [f"{method} body".encode()] * 2 + [b"GET "]


def test_who_does_not_know_it_says_so(server):
    """A framework and a folder answer with 405 and what they allow (RFC 9110, section 15.5.6)."""
    response = server.ask("/flask/x", "BREW")
    assert (response.code, sorted(response["Allow"].split(", "))) == (405, ["GET", "HEAD", "OPTIONS", "POST"])
    response = server.ask("/files/a.txt", "BREW")
    assert (response.code, response["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert server.ask("/none", "BREW").code == 404


@pytest.mark.parametrize(
    ("sent", "code", "logged"),
    [
        (b"B(REW /raw/ HTTP/1.1\r\nHost: a\r\n\r\n", 501, " B(REW /raw/ HTTP/1.1 501 "),
        (b"\x16\x03\x01\x02\x00 x\r\n\r\n", 501, r" \x16\x03\x01\x02\x00 x HTTP/1.1 501 "),
        (b"X" * 65 + b" /raw/ HTTP/1.1\r\nHost: a\r\n\r\n", 501, " " + "X" * 65 + " /raw/ HTTP/1.1 501 "),
        (b"GET raw HTTP/1.1\r\nHost: a\r\n\r\n", 400, " GET raw HTTP/1.1 400 "),
        (b"BREW raw HTTP/1.1\r\nHost: a\r\n\r\n", 400, " BREW raw HTTP/1.1 400 "),
        (b"BREW /raw/ HTTP/1.1\r\nHost: a b\r\n\r\n", 400, " BREW /raw/ HTTP/1.1 400 "),
        (b"POST /raw/ HTTP/1.1\r\nno colon\r\n\r\n", 400, " POST /raw/ HTTP/1.1 400 "),
        (b"PUT /raw/?" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", 414, " PUT /raw/?xx"),
    ],
)
def test_what_is_refused_is_logged(server, sent, code, logged):
    """The line of the access log has the method and the target, as far as they came."""
    with Client(server.port) as client:
        client.send(sent)
        assert client.response().code == code
    eventually(lambda: logged in server.log_text(), "the line")
