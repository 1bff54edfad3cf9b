"""What a request shows of its client, where proxies stand in between."""

from ipaddress import ip_network

import pytest
from http_channel import MemoryServer
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from skitai.net.trust import TrustedProxies
from skitai.server.proxied.forwarding import Forwarding

PROXY = "10.0.0.1"


@pytest.fixture
def ask():
    """Return ``ask(*fields, peer=..., trusted=...)``: what the request shows: client, secure, authority."""

    def ask(*fields, peer=PROXY, trusted=("10.0.0.0/8",)):
        networks = [each if each == "unix" else ip_network(each) for each in trusted]
        server = MemoryServer()
        server.factory.forwarding = Forwarding(TrustedProxies(networks))
        connection = server.connect()
        address = UNIXAddress(None) if peer is None else IPv4Address("TCP", peer, 1234)
        connection.channel.set_direct(address, connection.channel.server)
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        connection.send(f"GET / HTTP/1.1\r\nHost: shop\r\n{head}\r\n".encode())
        if not server.requests:
            return connection.received.split(b"\r\n")[0]
        connected = server.requests[0].connection
        return (
            getattr(connected.client, "host", None),
            connected.secure,
            server.requests[0].authority,
        )

    return ask


DIRECT = (PROXY, False, b"shop")


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ([], DIRECT),
        ([("X-Forwarded-For", "1.2.3.4")], ("1.2.3.4", False, b"shop")),
        ([("X-Forwarded-For", "9.9.9.9, 1.2.3.4")], ("1.2.3.4", False, b"shop")),
        ([("X-Forwarded-For", "9.9.9.9, 1.2.3.4, 10.0.0.7")], ("1.2.3.4", False, b"shop")),
        ([("X-Forwarded-For", "9.9.9.9"), ("X-Forwarded-For", "1.2.3.4")], ("1.2.3.4", False, b"shop")),
        ([("X-Forwarded-For", "10.0.0.9, 10.0.0.8")], ("10.0.0.9", False, b"shop")),
        ([("X-Forwarded-For", "1.2.3.4:5678")], ("1.2.3.4", False, b"shop")),
        ([("X-Forwarded-For", "2001:db8::1")], ("2001:db8::1", False, b"shop")),
        ([("X-Forwarded-For", "[2001:db8::1]:80")], ("2001:db8::1", False, b"shop")),
        ([("X-Forwarded-For", "unknown")], DIRECT),
        ([("X-Forwarded-For", "1.2.3.4, evil\tname")], DIRECT),
        ([("X-Forwarded-For", 'fe80::1%\tany "text')], ("fe80::1", False, b"shop")),
        ([("X-Forwarded-For", "")], DIRECT),
        ([("X-Forwarded-For", "9.9.9.9," * 300 + "1.2.3.4")], ("1.2.3.4", False, b"shop")),
        ([("X-Forwarded-For", '9.9.9.9, ", 1.2.3.4')], ("1.2.3.4", False, b"shop")),
        ([("X-Forwarded-Host", "evil.example," * 300 + "www.example")], (PROXY, False, b"www.example")),
        ([("Forwarded", "for=9.9.9.9," * 300 + "for=1.2.3.4")], ("1.2.3.4", False, b"shop")),
        ([("Forwarded", 'for=9.9.9.9;x=", for=1.2.3.4')], b"HTTP/1.1 400 Bad Request"),
        ([("Forwarded", 'for=9.9.9.9;x="'), ("Forwarded", "for=1.2.3.4")], b"HTTP/1.1 400 Bad Request"),
        ([("Forwarded", 'for=9.9.9.9;x=", for="[::1]:5"')], b"HTTP/1.1 400 Bad Request"),
        (
            [("Forwarded", 'for="[2001:db8::1]:4711" ;host="www.example"')],
            ("2001:db8::1", False, b"www.example"),
        ),
        ([("X-Forwarded-Proto", "https")], (PROXY, True, b"shop")),
        ([("X-Forwarded-Proto", "http, HTTPS")], (PROXY, True, b"shop")),
        ([("X-Forwarded-Proto", "gopher")], DIRECT),
        ([("X-Forwarded-Host", "evil.example, www.example")], (PROXY, False, b"www.example")),
        ([("X-Forwarded-Host", "a b")], DIRECT),
        ([("X-Forwarded-Host", "a/b@c")], DIRECT),
        ([("Forwarded", "for=1.2.3.4;proto=https;host=www.example")], ("1.2.3.4", True, b"www.example")),
        ([("Forwarded", 'For="[2001:db8::1]:4711"')], ("2001:db8::1", False, b"shop")),
        ([("Forwarded", "for=9.9.9.9, for=1.2.3.4;proto=https")], ("1.2.3.4", True, b"shop")),
        ([("Forwarded", "for=1.2.3.4;proto=https, for=10.0.0.3")], ("1.2.3.4", True, b"shop")),
        ([("Forwarded", "for=_hidden;proto=https")], (PROXY, True, b"shop")),
        ([("Forwarded", "for=1.2.3.4"), ("X-Forwarded-For", "1.2.3.4")], ("1.2.3.4", False, b"shop")),
    ],
)
def test_a_trusted_proxy(ask, fields, shown):
    """The last peer of the chain that is no proxy of ours is the client."""
    assert ask(*fields) == shown


@pytest.mark.parametrize(
    "field",
    [
        ("X-Forwarded-For", "1.2.3.4"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "www.example"),
        ("Forwarded", "for=1.2.3.4;proto=https;host=www.example"),
    ],
)
def test_anybody_else(ask, field):
    """A client cannot make itself another one."""
    assert ask(field, peer="8.8.8.8") == ("8.8.8.8", False, b"shop")
    assert ask(field, trusted=["192.0.2.1"]) == DIRECT


def test_two_fields_that_contradict_each_other(ask):
    """One of them may be the client's: the request is refused."""
    assert ask(("Forwarded", "for=1.2.3.4"), ("X-Forwarded-For", "6.6.6.6")).startswith(b"HTTP/1.1 400")


def test_a_unix_socket(ask):
    """Peers that come through a Unix socket are trusted by a name of their own."""
    field = ("X-Forwarded-For", "1.2.3.4")
    assert ask(field, peer=None, trusted=["unix"])[0] == "1.2.3.4"
    assert ask(field, peer=None)[0] is None


def test_each_request_of_a_connection_has_its_own_client():
    """A proxy sends the requests of many clients over one connection."""
    server = MemoryServer()
    server.factory.forwarding = Forwarding(TrustedProxies([ip_network("10.0.0.0/8")]))
    shown = []
    server._app = lambda request: (
        shown.append((request.connection.client.host, request.connection.secure)),
        request.respond("200 OK", [], b""),
    )
    connection = server.connect()
    connection.channel.set_direct(IPv4Address("TCP", PROXY, 1), connection.channel.server)
    for head in ("X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n", "", "X-Forwarded-For: ::1\r\n"):
        connection.send(f"GET / HTTP/1.1\r\nHost: a\r\n{head}\r\n".encode())
    assert shown == [("1.2.3.4", True), (PROXY, False), ("::1", False)]


class TestTrust:
    def test_networks(self):
        """An address is trusted if it is in one of them; IPv4 within IPv6, too."""
        trust = TrustedProxies([ip_network("10.0.0.0/8"), ip_network("::1")])
        for host in ("10.1.2.3", "::1", "::ffff:10.0.0.1"):
            assert trust.trusts(IPv6Address("TCP", host, 1))
        for host in ("11.0.0.1", "::2", "localhost", ""):
            assert not trust.trusts_host(host)

    def test_nobody(self):
        """Without networks, nobody is trusted."""
        assert not TrustedProxies([])
        assert not TrustedProxies([]).trusts_host("127.0.0.1")
