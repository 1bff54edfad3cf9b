"""A Skitai in front of another: what apps behind it see, and websockets of theirs."""

import json
import threading

import pytest
from proxy_h2 import H2C, H2Client
from websockets.sync.client import connect

from instances import RunningInstance, make_instance
from serving import eventually
from skitai.server.websocket import plugin
from wire import PATIENCE

APP = """
import json
from urllib.parse import parse_qs
import skitai

NAMES = (
    "REMOTE_ADDR", "HTTP_HOST", "wsgi.url_scheme", "HTTP_X_REQUEST_ID", "HTTP_X_FORWARDED_PREFIX", "PATH_INFO"
)

def app(environ, start_response):
    if "websocket_init" in environ:
        environ["websocket_init"] = (skitai.WEBSOCKET_REQDATA, 60, "message")
    start_response("200 OK", [("Content-Type", "application/json")])
    said = parse_qs(environ["QUERY_STRING"]).get("message", [""])[0]
    return [json.dumps({"said": said, **{name: environ.get(name) for name in NAMES}}).encode()]
"""


@pytest.fixture
def behind(reactor_thread, tmp_path):
    """A Skitai with an app, which trusts the proxy."""
    (tmp_path / "inner.py").write_text(APP)
    config = tmp_path / "inner.conf"
    config.write_text(
        "[server]\nip = 127.0.0.1\nport = 0\naccess_log = off\ntrusted_proxies = 127.0.0.1\n"
        f"[routes:line]\n/ = {tmp_path}/inner:app\n"
    )
    loop = reactor_thread
    server = RunningInstance(loop, loop.call(make_instance, loop.reactor, config, websocket=plugin))
    yield server
    server.stop()


def test_environ(proxy, behind):
    """The app sees the client as if it had asked itself; both logs have the same id."""
    with proxy(behind, routes="/shop = @up", server=H2C).client() as client:
        response = client.ask("/shop/a", fields=[("X-Request-ID", "one-two")], host="www.example.org")
    assert json.loads(response.body) == {
        "said": "",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "www.example.org",
        "wsgi.url_scheme": "http",
        "HTTP_X_REQUEST_ID": "one-two",
        "HTTP_X_FORWARDED_PREFIX": "/shop",
        "PATH_INFO": "/a",
    }


def test_http2(proxy, behind):
    """HTTP/2 in front, HTTP/1.1 behind."""
    with H2Client(proxy(behind, server=H2C).port) as client:
        assert json.loads(client.reply(client.get("/b")).body)["PATH_INFO"] == "/b"


def test_websocket(proxy, behind):
    """A websocket of an app leads through the proxy, also one whose messages are large."""
    server = proxy(behind, routes="/shop = @up")
    with connect(f"ws://127.0.0.1:{server.port}/shop/talk", open_timeout=PATIENCE, proxy=None) as client:
        for said in ("one", "two" * 20_000):
            client.send(said)
            assert json.loads(client.recv(PATIENCE))["said"] == said
    eventually(lambda: server.counts()["under way"] == 0, "the end of the tunnel")


def test_stop_under_way(proxy, member, reactor_thread):
    """A server that stops cuts the requests whose time is over, and lets go of their members."""
    server = proxy(member, server="access_log = off\nresponse_timeout = 0.3")
    with server.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        connection = member.accept()
        connection.request()
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert client.read() == b""
        stopping.join()
    assert connection.at_end()
