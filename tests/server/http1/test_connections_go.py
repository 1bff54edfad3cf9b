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
