"""Skitai behind nginx, HAProxy and Squid as the samples of etc/ set them up."""

import http.client
import json
import socket

import fronts
import pytest
from websockets.sync.client import connect

from instances import RunningInstance, make_instance
from serving import REPOSITORY, eventually
from skitai.server.websocket import plugin
from wire import PATIENCE

APP = """
import json
from urllib.parse import parse_qs
import skitai

NAMES = ("REMOTE_ADDR", "HTTP_HOST", "wsgi.url_scheme", "HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED")

def app(environ, start_response):
    if "websocket_init" in environ:
        environ["websocket_init"] = (skitai.WEBSOCKET_REQDATA, 60, "message")
    start_response("200 OK", [("Content-Type", "application/json")])
    said = parse_qs(environ["QUERY_STRING"]).get("message", [""])[0]
    shown = {name: str(environ.get(name)) for name in NAMES}
    length = len(environ["wsgi.input"].read())
    return [json.dumps({"site": SITE, "said": said, "length": length, **shown}).encode()]
"""
#: The client has another address than the proxy, which is trusted.
CLIENT = "127.0.0.2"
FORGED = {
    "X-Forwarded-For": "192.0.2.1",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "Forwarded": "for=192.0.2.1;host=evil.example;proto=https",
}


class Site(RunningInstance):
    """A server of Skitai with the keys of etc/behind.conf."""

    def __init__(self, loop, folder, name, keys=""):
        (folder / f"{name}.py").write_text(APP.replace("SITE", repr(name)))
        config = folder / f"{name}.conf"
        config.write_text(
            "[server]\nip = 127.0.0.1\nport = 0\naccess_log = off\ntrusted_proxies = 127.0.0.1\n"
            f"keep_alive = 75\n{keys}\n[routes:line]\n/ = {folder}/{name}:app\n"
        )
        super().__init__(loop, loop.call(make_instance, loop.reactor, config, websocket=plugin))

    @property
    def connections(self):
        """How many connections are open."""
        return self.instance.slot.connections


@pytest.fixture
def site(reactor_thread, tmp_path):
    """Return ``site(name, keys="")``: a server that is stopped at the end."""
    made = []

    def start(*arguments):
        made.append(Site(reactor_thread, tmp_path, *arguments))
        return made[-1]

    yield start
    for each in made:
        each.stop()


@pytest.fixture
def front(tmp_path):
    """Return ``front(start, behind)``: a program in front, see ``fronts``."""
    made = []

    def start(function, **behind):
        made.append(function(tmp_path, {port.strip("p"): server.port for port, server in behind.items()}))
        return made[-1]

    yield start
    for each in made:
        each.stop()


def ask(port, host="www.jeans.com", method="GET", body=None, **fields):
    """Send a request as CLIENT and return what the app has seen."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE, source_address=(CLIENT, 0))
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    connection.request(method, "/", body, {"Host": host, **headers})
    response = connection.getresponse()
    found = response.read()
    connection.close()
    assert response.status == 200, found
    return json.loads(found)


HTTP = pytest.mark.parametrize("program", [fronts.nginx, fronts.haproxy, fronts.squid])


@HTTP
def test_behind(site, front, program):
    """Two sites by name: apps see the client, what it asked for, and nothing that it has made up."""
    jeans, carsales = site("jeans"), site("carsales")
    port = front(program, p5000=jeans, p5001=carsales).ports["80"]
    for name in ("jeans", "carsales"):
        seen = ask(port, f"www.{name}.com", **FORGED)
        assert seen["site"] == name
        assert seen["REMOTE_ADDR"] == seen["HTTP_X_FORWARDED_FOR"] == CLIENT
        assert (seen["HTTP_HOST"], seen["wsgi.url_scheme"]) == (f"www.{name}.com", "http")
        assert seen["HTTP_FORWARDED"] == "None"
    assert ask(port, method="POST", body=bytes(3_000_000))["length"] == 3_000_000


@HTTP
def test_kept(site, front, program):
    """Requests of several clients share the connections to Skitai, which stay open."""
    jeans = site("jeans")
    port = front(program, p5000=jeans).ports["80"]
    for _ in range(5):
        ask(port)
    eventually(lambda: jeans.connections == 1, "one connection")
    ask(port)
    assert jeans.connections == 1


@HTTP
def test_websocket(site, front, program):
    """A websocket leads through."""
    port = front(program, p5000=site("jeans")).ports["80"]
    with (
        socket.create_connection(("127.0.0.1", port), source_address=(CLIENT, 0)) as own,
        connect("ws://www.jeans.com/", sock=own, proxy=None, open_timeout=PATIENCE) as client,
    ):
        for said in ("one", "two"):
            client.send(said)
            seen = json.loads(client.recv(PATIENCE))
            assert (seen["said"], seen["REMOTE_ADDR"]) == (said, CLIENT)


@pytest.mark.parametrize("program", [fronts.nginx_stream, fronts.haproxy])
def test_proxy_protocol(site, front, program):
    """Where connections are passed on, the PROXY protocol says who the client is."""
    relayed = site("relayed", "proxy_protocol = yes")
    port = front(program, p5443=relayed).ports["443"]
    assert ask(port)["REMOTE_ADDR"] == CLIENT


def test_squid_behind_a_balancer(site, front):
    """Squid takes the PROXY protocol of who balances before it, and tells Skitai."""
    port = front(fronts.squid_behind_balancer, p5000=site("jeans")).ports["80"]
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(
            b"PROXY TCP4 192.0.2.7 127.0.0.1 40000 80\r\n"
            b"GET / HTTP/1.1\r\nHost: www.jeans.com\r\nConnection: close\r\n\r\n"
        )
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert json.loads(answer.rpartition(b"\r\n")[2])["REMOTE_ADDR"] == "192.0.2.7"


def test_sample_of_skitai(reactor_thread, tmp_path):
    """The config of the site behind them loads without a warning, and has what the tests above have."""
    text = (REPOSITORY / "etc" / "behind.conf").read_text("utf-8")
    (tmp_path / "behind.conf").write_text(text.replace("sample/", f"{REPOSITORY}/etc/sample/"))
    instance = make_instance(reactor_thread.reactor, tmp_path / "behind.conf")
    assert instance.warnings == ()
    server = instance.config.server
    assert (server.keep_alive, list(map(str, server.trusted_proxies))) == (75, ["127.0.0.1/32"])
