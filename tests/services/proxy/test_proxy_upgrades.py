"""Connections that change the protocol: bytes in both directions."""

import pytest

ASKING = (
    b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: %b\r\nSec-WebSocket-Key: k\r\n\r\n"
)
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %b\r\nX-A: b\r\nDate: x\r\n\r\n"
)
PING, HALF = b"\x89\x85\1\2\3\4hello", b"\x81\x05he"


def switched(server, member, protocol=b"websocket", early=b""):
    """Return both ends of a tunnel; ``early`` are bytes behind the request and behind the reply."""
    client = server.client()
    client.send(ASKING % protocol + early)
    connection = member.accept()
    connection.answer(SWITCHING % protocol + early)
    head = client.read_head()
    assert head.code == 101
    assert (head["Upgrade"], head["Connection"], head["X-A"]) == (protocol.decode(), "upgrade", "b")
    assert head["Date"] != "x"
    return client, connection


@pytest.mark.parametrize("protocol", [b"websocket", b"echo/1"])
def test_bytes_both_ways(proxy, member, protocol):
    """Both sides get what the other sends, also what came early; a close closes the other side."""
    server = proxy(member, routes="/ = @up")
    client, connection = switched(server, member, protocol, early=PING)
    assert client.read(len(PING)) == PING
    assert connection.file.read(len(PING)) == PING
    large = b"x" * 3_000_000
    client.send(b"to the member")
    assert connection.file.read(13) == b"to the member"
    connection.send(large)
    assert client.read(len(large)) == large
    assert server.counts()["under way"] == 1
    client.close()
    assert connection.at_end()
    assert (server.counts()["under way"], server.counts()["upgraded"]) == (0, 1)


def test_member_closes(proxy, member):
    """What a member sends before it closes arrives."""
    client, connection = switched(proxy(member), member)
    connection.send(PING)
    connection.close()
    assert client.read() == PING
    client.close()


def test_declined(proxy, member):
    """A member that declines answers as usual, and the client's connection goes on."""
    with proxy(member).client() as client:
        client.send(ASKING % b"websocket")
        connection = member.accept()
        head, _ = connection.answer(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
        assert b"Upgrade: websocket\r\n" in head
        assert client.response().body == b"no"
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        connection.answer()
        assert client.response().body == b"ok"


@pytest.mark.parametrize(
    "protocols",
    [
        b"h2c",
        b"H2C",
        b"h2c/1",
        b"h2",
        b"HTTP/2.0",
        b"TLS/1.2, http/1.1",
        b"h2c,h2c",
        b"h2c;q=1",
        b",",
        b'"h2c"',
    ],
)
def test_no_http_within(proxy, member, protocols):
    """A client cannot change to HTTP/2 or TLS, in which it could ask for what the proxy would refuse."""
    with proxy(member).client() as client:
        client.send(ASKING % protocols)
        head, _ = member.accept().answer()
        assert b"upgrade" not in head.lower()
        assert client.response().body == b"ok"


@pytest.mark.parametrize(
    "protocols",
    [b"h2c, websocket", b"websocket,\tH2C", b"websocket\r\nUpgrade: h2c", b"websocket, TLS/1.0, h2c/2/3"],
)
def test_h2c_among_others(proxy, member, protocols):
    """Beside other protocols it is left out, and a member that changes to it nevertheless is not followed."""
    with proxy(member).client() as client:
        client.send(ASKING % protocols)
        connection = member.accept()
        head, _ = connection.answer(SWITCHING % b"h2c")
        assert b"\r\nUpgrade: websocket\r\n" in head
        assert b"h2c" not in head.lower()
        assert client.response().code == 502
        assert connection.at_end()


@pytest.mark.parametrize("switching", [b"echo/1", b"websocket, echo/1", b""])
def test_protocol_that_nobody_asked_for(proxy, member, switching):
    """A member changes to what it was asked for, or not at all (RFC 9110, section 7.8)."""
    with proxy(member).client() as client:
        client.send(ASKING % b"websocket")
        connection = member.accept()
        connection.answer(SWITCHING % switching)
        assert client.response().code == 502
        assert connection.at_end()


def test_refused(proxy, member):
    """Where no member can be asked, the answer is a 502."""
    member.close()
    with proxy(member).client() as client:
        client.send(ASKING % b"websocket")
        assert client.response().code == 502


def test_stop(proxy, member, reactor_thread):
    """A websocket is told of the stop on both sides, when its frames are complete."""
    server = proxy(member)
    client, connection = switched(server, member)
    connection.send(PING)
    client.send(PING)
    assert client.read(len(PING)) == PING
    assert connection.file.read(len(PING)) == PING
    server.stop()
    assert client.read() == b"\x88\x02\x03\xe9"
    assert connection.file.read() == b"\x88\x82\0\0\0\0\x03\xe9"
    client.close()


def test_stop_within_a_frame(proxy, member, reactor_thread):
    """A frame that is under way is not cut by that."""
    server = proxy(member)
    client, connection = switched(server, member)
    connection.send(HALF)
    assert client.read(len(HALF)) == HALF
    stopping = []
    reactor_thread.call(lambda: stopping.append(server.instance.stopService()) and None)
    connection.send(b"llo")
    assert client.read() == b"llo\x88\x02\x03\xe9"
    client.close()


def test_other_protocols_end(proxy, member):
    """What is no websocket is closed without a word."""
    server = proxy(member)
    client, connection = switched(server, member, b"echo/1")
    server.stop()
    assert client.read() == b""
    assert connection.at_end()
    client.close()
