"""CONNECT: bytes in both directions, and how a tunnel ends."""

import socket

import pytest
from forward_world import LISTS
from proxy_world import Member
from twisted.internet.defer import Deferred

from serving import eventually
from skitai.interfaces import ILastingProtocol
from skitai.services.forward import tunnel as tunnel_module
from wire import Client

EARLY = b"\x16\x03 GET / HTTP/1.1\r\n\r\n"
LARGE = bytes(range(256)) * 12_000


def tunnel(server, destination, early=b"", host="127.0.0.1"):
    """Return both ends of a tunnel."""
    client, head = server.connect(f"{host}:{destination.port}", early)
    assert head.status == "200 Connection established"
    assert head["Content-Length"] is head["Transfer-Encoding"] is head["Connection"] is None
    return client, destination.accept()


def fill(sender, seconds=1.0):
    """Send until nothing more is taken for ``seconds``; return how much was."""
    sender.settimeout(seconds)
    sent = 0
    try:
        while sent < 100_000_000:
            sent += sender.send(b"x" * 100_000)
    except TimeoutError:
        pass
    return sent


@pytest.fixture
def server(forward):
    return forward(server=LISTS + "\nproxy_tunnels_per_client = 2")


def test_bytes_both_ways(server, destination):
    """Both sides get what the other sends, also what the client sends before the answer."""
    client, connection = tunnel(server, destination, early=EARLY)
    assert connection.file.read(len(EARLY)) == EARLY
    connection.send(b"welcome")
    assert client.read(7) == b"welcome"
    client.send(LARGE)
    assert connection.file.read(len(LARGE)) == LARGE
    assert server.counts()["open tunnels"] == 1
    client.close()
    connection.close()
    eventually(lambda: server.counts()["open tunnels"] == 0, "the end of the tunnel")
    counts = server.counts()
    assert counts["sent through tunnels_bytes"] == len(LARGE) + len(EARLY)
    assert counts["received through tunnels_bytes"] == 7


@pytest.mark.parametrize("first", ["client", "destination"])
def test_half_close(server, destination, first):
    """A side that has sent all still gets the answer of the other."""
    client, connection = tunnel(server, destination)
    if first == "client":
        client.send(LARGE)
        client.socket.shutdown(socket.SHUT_WR)
        assert connection.file.read() == LARGE
        connection.send(LARGE)
        connection.close()
        assert client.read() == LARGE
    else:
        connection.send(LARGE)
        connection.socket.shutdown(socket.SHUT_WR)
        assert client.read() == LARGE
        client.send(LARGE)
        client.socket.shutdown(socket.SHUT_WR)
        assert connection.file.read() == LARGE
    eventually(lambda: server.counts()["open tunnels"] == 0, "the end of the tunnel")
    client.close()


@pytest.mark.parametrize("first", ["client", "destination"])
def test_reset(server, destination, first):
    """A side that is gone ends the other."""
    client, connection = tunnel(server, destination)
    end = client.socket if first == "client" else connection.socket
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    (client if first == "client" else connection).close()
    assert (connection.rest() if first == "client" else client.read()) == b""
    client.close()


@pytest.mark.parametrize("slow", ["client", "destination"])
def test_back_pressure(forward, slow):
    """A side that takes nothing has the other held back: what waits is bounded."""
    server = forward()
    destination = Member(receive_buffer=4096 if slow == "destination" else None)
    with Client(server.port, receive_buffer=4096 if slow == "client" else None) as client:
        client.send(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n" % destination.port)
        assert client.read_head().code == 200
        connection = destination.accept()
        fast = client.socket if slow == "destination" else connection.socket
        assert fill(fast) < 100_000_000
        took = connection.file.read(1000) if slow == "destination" else client.read(1000)
        assert took == b"x" * 1000
    destination.close()


def test_speaks_first(server, destination):
    """A destination that speaks first, as those of mail do, is heard."""
    client, connection = tunnel(server, destination)
    connection.send(b"220 ready\r\n")
    assert client.read(11) == b"220 ready\r\n"
    client.close()


def test_pooled_connections_are_apart(server, destination):
    """The answer to CONNECT ends HTTP: what looks like a request is not one."""
    client, connection = tunnel(server, destination)
    client.send(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
    assert connection.head() == b"GET /ping HTTP/1.1\r\nHost: x\r\n"
    client.close()


def test_limits(forward, destination):
    """Too many tunnels, of one client or of all, get 503 with the key; one that ends makes room."""
    server = forward(server=LISTS + "\nproxy_tunnels_per_client = 1\nproxy_tunnels_max = 2")
    client, connection = tunnel(server, destination)
    other, head = server.connect(f"127.0.0.1:{destination.port}")
    assert (head.code, head["Retry-After"]) == (503, "10")
    assert b"proxy_tunnels_per_client in [server]" in other.read()
    other.close()
    client.close()
    connection.close()
    eventually(lambda: server.counts()["open tunnels"] == 0, "the end of the tunnel")
    client, _ = tunnel(server, destination)
    client.close()
    all_of_them = forward(server=LISTS + "\nproxy_tunnels_max = 1")
    client, _ = tunnel(all_of_them, destination)
    other, head = all_of_them.connect(f"127.0.0.1:{destination.port}")
    assert (head.code, b"proxy_tunnels_max in [server]" in other.read()) == (503, True)
    client.close()
    other.close()
    assert any("with 503: there are too many tunnels ([server] proxy_tunnels_max)" in line
               for line in all_of_them.refusals())  # fmt: skip


def test_idle(forward, destination):
    """A tunnel through which nothing goes is closed on both sides."""
    server = forward(server=LISTS + "\nproxy_idle_timeout = 300 ms")
    client, connection = tunnel(server, destination)
    assert client.at_end()
    assert connection.at_end()
    client.close()


def test_not_taken(forward):
    """What a closed side does not take in the idle time is dropped."""
    server = forward(server=LISTS + "\nproxy_idle_timeout = 2")
    destination = Member(receive_buffer=4096)
    client, _ = server.connect(f"127.0.0.1:{destination.port}")
    connection = destination.accept()
    fill(client.socket, 0.1)
    client.close()
    eventually(lambda: server.counts()["open tunnels"] == 0, "the end of the tunnel")
    eventually(lambda: not server.instance._factory.channels, "the end of the connection")
    connection.rest()
    destination.close()


def test_refused_by_the_destination(forward, destination):
    """No tunnel where nobody listens: a 502 with a page, and a line in the log."""
    server = forward()
    destination.close()
    client, head = server.connect(f"127.0.0.1:{destination.port}")
    assert head.code == 502
    assert b"the destination refused" in client.read()
    assert any("the forward proxy has no tunnel to 127.0.0.1:" in line for line in server.messages)
    assert (server.counts()["open tunnels"], server.counts()["502"]) == (0, 1)
    client.close()


def test_stop_waits_for_what_flows(forward, destination, reactor_thread, monkeypatch):
    """When the server stops, a tunnel ends as soon as it is quiet."""
    monkeypatch.setattr(tunnel_module, "QUIET_SECONDS", 3)  # room for a busy machine
    server = forward()
    client, connection = tunnel(server, destination)
    connection.send(LARGE)
    reactor_thread.call(lambda: server.instance.stopService() and None)
    assert client.read(len(LARGE)) == LARGE
    client.send(b"more")
    assert connection.file.read(4) == b"more"
    assert client.at_end()
    assert connection.at_end()
    client.close()


def test_stop_has_a_limit(forward, destination, reactor_thread):
    """A tunnel that is never quiet is cut when the time of the requests is over."""
    server = forward(server=LISTS + "\nshutdown_timeout = 0.2")
    client, connection = tunnel(server, destination)
    reactor_thread.call(lambda: server.instance.stopService() and None)
    client.socket.settimeout(60)

    def send_on():
        while True:
            client.send(b"x")
            connection.socket.recv(100)

    with pytest.raises(OSError, match=r"reset|Broken pipe"):
        send_on()
    client.close()


def test_client_leaves_before_the_tunnel(forward, destination, reactor_thread):
    """A client that is gone when the destination is connected leaves nothing behind."""
    answer = Deferred()
    server = forward(names={"late.example": answer})
    client = server.client()
    client.send(b"CONNECT late.example:%d HTTP/1.1\r\nHost: x\r\n\r\n" % destination.port)
    eventually(lambda: server.asked, "the search")
    client.close()
    reactor_thread.call(lambda: server.instance._factory.abort())
    eventually(lambda: not server.instance._factory.channels, "the end of the client")
    reactor_thread.call(lambda: answer.callback(["127.0.0.1"]))
    assert server.counts()["open tunnels"] == 0
    assert destination.nobody_waits()


def test_is_told_of_the_stop():
    """The protocol of a tunnel says that it wants to be told."""
    assert ILastingProtocol.implementedBy(tunnel_module.ConnectEnd)
