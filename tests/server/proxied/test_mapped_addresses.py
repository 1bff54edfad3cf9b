"""IPv4 clients of a socket that listens on ``::``: they are ``10.0.0.7``, not ``::ffff:10.0.0.7``.

The mapped form is how the system's socket shows them (RFC 4291, section 2.5.5.2), and no address of theirs.
With it, apps' lists of addresses and limits would not match. nginx and Apache show IPv4; gunicorn does not.
"""

import socket

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from serving import RunningServer, eventually
from skitai.http.hosts import peer_name, unmapped
from skitai.server.proxied.forwarding import _address
from skitai.server.request.connection import Connection
from wire import ask

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['REMOTE_ADDR']} {environ['SERVER_NAME']}".encode()]
"""
CONFIG = """
[server]
listen = [::]:{port}
queue_timeout = off
{more}
[routes:line]
/ = ./views:app
"""


class Server(RunningServer):
    def _wait_for_port(self):
        eventually(lambda: "Skitai serves" in self.log_text() or self.process.poll() is not None, "the start")
        return self.given

    def __init__(self, folder, more, threads):
        with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as free:
            self.given = free.getsockname()[1]
        (folder / "views.py").write_text(APP, encoding="utf-8")
        super().__init__(folder, CONFIG.format(port=self.given, more=more), threads)


@pytest.fixture(scope="module", params=[4, 0], ids=["threads", "greenlets"])
def server(request, tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("mapped"), "trusted_proxies = 127.0.0.0/8", request.param)
    yield running
    running.stop()


def test_environ_and_log(server):
    """Both ends of the connection, in the environ and in the access log."""
    assert ask(server.port).body == b"127.0.0.1 127.0.0.1"
    eventually(lambda: " 127.0.0.1:" in server.log_text(), "the line")
    assert "ffff" not in server.log_text()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("X-Forwarded-For", "::ffff:10.0.0.7"),
        ("X-Forwarded-For", "[::ffff:10.0.0.7]:443"),
        ("X-Forwarded-For", "0:0:0:0:0:FFFF:a00:7"),
        ("X-Forwarded-For", "10.0.0.7, ::ffff:127.0.0.2"),
        ("Forwarded", 'for="[::ffff:a00:7]"'),
    ],
)
def test_what_a_proxy_says(server, field, value):
    """A proxy may write the mapped form, too; and the proxy itself is trusted by its IPv4 network."""
    assert ask(server.port, fields=[(field, value)]).body == b"10.0.0.7 127.0.0.1"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("::ffff:a00:7", "10.0.0.7"),
        ("::FFFF:10.0.0.7%eth0", "10.0.0.7"),
        ("::1", "::1"),
        ("::ffff:0:10.0.0.7", "::ffff:0:10.0.0.7"),
        ("::10.0.0.7", "::10.0.0.7"),
        ("2001:db8::ffff:10.0.0.7", "2001:db8::ffff:10.0.0.7"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("10.0.0.7", "10.0.0.7"),
        ("::nonsense", "::nonsense"),
        ("", ""),
    ],
)
def test_only_mapped_addresses(host, expected):
    """Compatible and translated addresses (RFC 4291, 2.5.5.1; RFC 2765) are others."""
    assert unmapped(host) == expected


def test_peers_in_the_log():
    """Also where a connection ends before anything is known of its protocol."""
    assert peer_name(IPv6Address("TCP", "::ffff:10.0.0.7", 1)) == "10.0.0.7"
    assert peer_name(IPv6Address("TCP", "::1", 1)) == "::1"
    assert peer_name(UNIXAddress(None)) == "a Unix socket"


def test_a_relaying_proxy():
    """The addresses of a PROXY header are treated as those of the connection itself."""
    connection = Connection()
    connection.secure = False
    client, server = IPv6Address("TCP", "::ffff:10.0.0.7", 1), IPv6Address("TCP", "::ffff:10.0.0.1", 2)
    connection.set_direct(client, server)
    assert connection.client == connection.peer == IPv4Address("TCP", "10.0.0.7", 1)
    assert connection.addresses == {
        "SERVER_NAME": "10.0.0.1", "SERVER_PORT": "2", "REMOTE_ADDR": "10.0.0.7", "REMOTE_PORT": "1",
        "wsgi.url_scheme": "http",
    }  # fmt: skip
    assert _address("::ffff:10.0.0.7") == "10.0.0.7"
