"""Servers behind proxies, on real sockets."""

import ssl

import pytest

from certificates import Identity
from serving import eventually
from wire import Client

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    names = ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_PORT", "wsgi.url_scheme", "HTTP_HOST")
    return [" ".join(environ[name] for name in names).encode()]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("proxied")
    (folder / "shown.py").write_text(APP)
    return folder


def config(folder, *keys):
    lines = "\n".join(keys)
    return f"[server]\nip = 127.0.0.1\nport = 0\n{lines}\n[routes:line]\n/ = {folder}/shown:app\n"


@pytest.fixture(scope="module")
def server(running_server, folder):
    """A server whose clients begin with a PROXY header."""
    return running_server(
        config(folder, "trusted_proxies = 127.0.0.1", "proxy_protocol = yes", "header_timeout = 1")
    )


class TestForwarded:
    def test_environ_and_log(self, running_server, folder):
        """Environ and access log show the client, for a trusted proxy only."""
        server = running_server(config(folder, "trusted_proxies = 127.0.0.1"))
        fields = [
            ("X-Forwarded-For", "1.2.3.4"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "shop.example"),
        ]
        shown = server.ask("/", fields=fields).body.split()
        assert (shown[0], shown[3], shown[4]) == (b"1.2.3.4", b"https", b"shop.example")
        eventually(lambda: "1.2.3.4:0 GET /" in server.log_text(), "the line")
        other = running_server(config(folder))
        assert other.ask("/", fields=fields).body.split()[0] == b"127.0.0.1"


class TestProxyProtocol:
    def test_the_client_of_the_header(self, server):
        """The first bytes of the connection name the client, also where the request comes with them."""
        with Client(server.port) as client:
            client.send(b"PROXY TCP4 1.2.3.4 5.6.7.8 5000 443\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.response().body == b"1.2.3.4 5000 443 http a"
            assert client.ask("/").body.split()[0] == b"1.2.3.4"

    def test_the_proxy_itself(self, server):
        """Its own checks of health have its own address."""
        with Client(server.port) as client:
            client.send(b"PROXY UNKNOWN\r\n")
            assert client.ask("/").body.split()[0] == b"127.0.0.1"

    def test_no_header(self, server):
        """Anything else is cut off, and the log says why."""
        with Client(server.port) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.at_end()
        eventually(
            lambda: "127.0.0.1: the connection does not begin with a PROXY" in server.log_text(), "the line"
        )

    def test_silence(self, server):
        """A header that does not come in time ends the connection."""
        with Client(server.port) as client:
            client.send(b"PROXY TCP4")
            assert client.at_end()

    def test_a_stranger(self, running_server, folder):
        """A peer that is no proxy of ours is not answered."""
        server = running_server(config(folder, "trusted_proxies = 192.0.2.1", "proxy_protocol = yes"))
        with Client(server.port) as client:
            assert client.at_end()
        eventually(lambda: "127.0.0.1 is not in trusted_proxies" in server.log_text(), "the line")

    def test_tls(self, running_server, folder):
        """The header comes before the handshake."""
        authority = Identity(authority=True)
        identity = Identity("localhost", issuer=authority)
        (folder / "tls.pem").write_bytes(identity.pem + identity.key_pem())
        (folder / "ca.pem").write_bytes(authority.pem)
        server = running_server(
            config(
                folder, "trusted_proxies = 127.0.0.1", "proxy_protocol = yes", "ssl = yes",
                f"certfile = {folder}/tls.pem",
            )
        )  # fmt: skip
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        with Client(server.port) as client:
            client.send(b"PROXY TCP4 1.2.3.4 5.6.7.8 5000 443\r\n")
            with context.wrap_socket(client.socket, server_hostname="localhost") as secure:
                secure.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                answer = b"".join(iter(lambda: secure.recv(4096), b""))
        assert answer.endswith(b"1.2.3.4 5000 443 https a")
