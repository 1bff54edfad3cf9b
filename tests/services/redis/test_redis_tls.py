"""Redis through TLS: certificates are verified."""

import pytest
from redis_world import Client, settings_for
from twisted.protocols.portforward import ProxyFactory, ProxyServer
from twisted.protocols.tls import TLSMemoryBIOFactory

from certificates import Identity
from skitai.errors import UnsentError
from skitai.net.addresses import HostNode
from skitai.net.client_tls import TLSProfile


@pytest.fixture(scope="module")
def authority():
    return Identity(authority=True)


@pytest.fixture(scope="module")
def tls_port(reactor_thread, redis_server, authority):
    """The port of what speaks TLS for Redis: not every Redis was built with it."""

    class Forward(ProxyServer):
        reactor = reactor_thread.reactor

    factory = ProxyFactory(redis_server.host, redis_server.port)
    factory.protocol = Forward
    factory.noisy = False
    options = Identity("127.0.0.1", issuer=authority).server()
    # Without its clock it would send what is short with the default reactor, which does not run.
    secured = TLSMemoryBIOFactory(options, False, factory, clock=reactor_thread.reactor)
    listening = reactor_thread.call(reactor_thread.reactor.listenTCP, 0, secured, interface=redis_server.host)
    yield listening.getHost().port
    reactor_thread.call(listening.stopListening)


@pytest.fixture
def client_with(reactor_thread, redis_server, tls_port):
    """Return ``client_with(profile)``: a Client."""
    clients = []

    def make(profile):
        node = HostNode(redis_server.host, tls_port, True, profile)
        clients.append(
            Client(reactor_thread, settings_for(redis_server, node=node, connect_timeout=5.0, timeout=5.0))
        )
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def test_verified(client_with, authority, tmp_path):
    """With an authority that is trusted."""
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    client = client_with(TLSProfile(ca=tmp_path / "ca.pem"))
    assert client.ask("PING") == b"PONG"
    assert client.ask("ECHO", "x" * 100_000) == b"x" * 100_000


def test_not_trusted(client_with):
    """An unknown authority ends the attempt before the password is sent."""
    error = client_with(TLSProfile()).ask("PING")
    assert isinstance(error, UnsentError)
    assert "the certificate of" in error.message


def test_not_verified(client_with):
    """verify = no takes any."""
    assert client_with(TLSProfile(verify=False)).ask("PING") == b"PONG"
