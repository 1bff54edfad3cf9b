"""What a connection leaves behind when it is over."""

import socket

import pytest

from serving import eventually
from skitai.net.tls_transport import TLSTransport
from skitai.server.http1.channel import HTTPChannel
from wire import PATIENCE


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_connection_goes_at_once(loopback_server, wrap_in_tls, tls_client, how_many, tls):
    """Cycles would keep it, and the 50 KB of its TLS, until there is a garbage collection."""
    kinds = HTTPChannel, TLSTransport
    before = how_many(*kinds)
    server = loopback_server(
        lambda request: request.respond("204 No Content", [], b""),
        wrap=wrap_in_tls if tls else lambda factory: factory,
    )
    for _ in range(3):
        with (
            tls_client(server)
            if tls
            else socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client
        ):
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 204 ")
    server.wait_until_idle()
    eventually(lambda: how_many(*kinds) <= before, "the end of the objects")


@pytest.mark.parametrize("answered", [False, True])
def test_a_connection_whose_tls_fails_goes_at_once(
    loopback_server, wrap_in_tls, tls_client, how_many, answered
):
    """So does one with a scanner, or of a client that does not know the certificate."""
    kinds = HTTPChannel, TLSTransport
    before = how_many(*kinds)
    server = loopback_server(lambda request: request.respond("204 No Content", [], b""), wrap=wrap_in_tls)
    for _ in range(3):
        if answered:
            client = tls_client(server)
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 204 ")
            client = socket.socket(fileno=client.detach())
        else:
            client = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        with client:
            client.settimeout(PATIENCE)
            client.sendall(b"\x17\x03\x03\x00\x20" + b"z" * 32)
            while client.recv(1000):
                pass
    server.wait_until_idle()
    eventually(lambda: how_many(*kinds) <= before, "the end of the objects")
