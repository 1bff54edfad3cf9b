"""Websockets of HTTP/2 (RFC 8441) that go to a member which speaks HTTP/1.1."""

import threading

import pytest
from http2_websockets import Connection

from serving import eventually
from wire import PATIENCE

SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: x\r\nX-A: b\r\n\r\n"
)
SERVER = "access_log = off\nh2c = yes"


@pytest.fixture
def connection(proxy, member):
    """A connection of HTTP/2 to a proxy, which is its ``server``."""
    server = proxy(member, server=SERVER)
    with Connection(server.port) as made:
        made.server = server
        yield made


def switched(connection, member, path="/chat"):
    """Return both ends of a websocket."""
    client = connection.begin(path)
    upstream = member.accept()
    head = upstream.head()
    upstream.send(SWITCHING)
    connection.until(lambda: client.fields)
    assert client.fields[":status"] == "200"
    assert client.fields["x-a"] == "b"
    assert not {"sec-websocket-accept", "upgrade", "connection"} & set(client.fields)
    client.open()
    return client, upstream, head


def test_bytes_in_both_directions(connection, member):
    client, upstream, head = switched(connection, member)
    assert head.startswith(b"GET /chat HTTP/1.1\r\n")
    lower = head.lower()
    assert b"\r\nupgrade: websocket\r\n" in lower
    assert lower.count(b"\r\nconnection: upgrade\r\n") == 1
    assert lower.count(b"\r\nsec-websocket-key: ") == 1
    client.send("hello")
    first = upstream.file.read(11)
    assert (first[0], first[1]) == (0x81, 0x85)
    upstream.send(b"\x82\x7f" + (2_000_000).to_bytes(8) + b"x" * 2_000_000)
    assert client.receive() == b"x" * 2_000_000
    assert connection.server.counts()["under way"] == 1
    upstream.send(b"\x88\x02\x03\xe8")
    assert client.receive() is None
    upstream.close()
    assert client.closed() == 1000
    eventually(lambda: connection.server.counts()["under way"] == 0, "the end")
    assert connection.server.counts()["upgraded"] == 1


def test_a_client_that_leaves_ends_the_member(connection, member):
    for leave in (lambda client: client.cut(), lambda client: client.raw(b"", ends=True)):
        client, upstream, _ = switched(connection, member)
        leave(client)
        assert upstream.at_end()


def test_a_client_that_does_not_read_makes_the_member_wait(connection, member):
    """The proxy takes no more than buffers hold, and another websocket goes on."""
    client, upstream, _ = switched(connection, member)
    other, second, _ = switched(connection, member)
    client.taking = False
    size = 30_000_000
    frame = b"\x82\x7f" + size.to_bytes(8) + b"x" * size
    sender = threading.Thread(target=upstream.send, args=(frame,))
    sender.start()
    connection.until(lambda: client.untaken >= 65_535)
    second.send(b"\x81\x05hello")
    assert other.receive() == "hello"
    sender.join(1)
    assert sender.is_alive()
    client.taking = True
    connection.h2.acknowledge_received_data(client.untaken, client.id)
    connection.flush()
    assert len(client.receive()) == size
    sender.join(PATIENCE)


def test_a_member_that_declines(connection, member):
    """Its answer is passed on; a 2xx, which would accept, becomes a 400."""
    for answer, code in ((b"403 No", 403), (b"200 OK", 400)):
        client = connection.begin("/chat")
        member.accept().answer(b"HTTP/1.1 %b\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno" % answer)
        connection.until(lambda client=client: client.over)
        assert client.fields[":status"] == str(code)
    assert connection.server.counts()["under way"] == 0


def test_a_stop_tells_both_sides(connection, member):
    client, upstream, _ = switched(connection, member)
    stopping = threading.Thread(target=connection.server.stop)
    stopping.start()
    assert client.receive() is None
    assert client.closed() == 1001
    assert upstream.rest().startswith(b"\x88\x82")
    connection.socket.close()  # for a client that does not, the server lingers
    stopping.join(PATIENCE)
    connection.server.stop = lambda: None
