"""Bodies in bounded memory, and at the pace of the slower side."""

import threading
import tracemalloc

import pytest
from proxy_world import Member

MB = 1 << 20
STREAMED = "/ = @up buffer=no"


def test_body_is_not_collected(proxy, member):
    """With buffer=no the member gets the body while it comes."""
    with proxy(member, routes=STREAMED).client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
        connection = member.accept()
        assert b"Content-Length: 6\r\n" in connection.head()
        assert connection.file.read(3) == b"abc"
        client.send(b"def")
        assert connection.file.read(3) == b"def"
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert client.response().body == b"ok"
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n")
        assert b"Transfer-Encoding: chunked\r\n" in connection.head()
        assert connection.chunk() == b"a"
        client.send(b"2\r\nbc\r\n0\r\n\r\n")
        assert (connection.chunk(), connection.chunk()) == (b"bc", b"")
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert client.response().body == b"ok"
    assert member.nobody_waits()


def test_collected_first(proxy, member):
    """By default no member is asked before the body is complete."""
    server = proxy(member)
    with server.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
        assert server.ask("/ping").code == 200
        assert member.nobody_waits()
        client.send(b"def")
        assert member.accept().answer()[1] == b"abcdef"


@pytest.mark.parametrize("routes", ["/ = @up", STREAMED])
def test_expectation(proxy, member, routes):
    """A client that waits for 100 gets it."""
    with proxy(member, routes=routes).client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert client.read_head().status == "100 Continue"
        client.send(b"abc")
        head, body = member.accept().answer()
        assert (b"xpect" in head, body) == (False, b"abc")
        assert client.response().code == 200


def test_body_broken_off(proxy, member):
    """A body that breaks off is never a whole one for the member, and the member is not to blame."""
    server = proxy(member, routes=STREAMED)
    for framing in (b"Content-Length: 10", b"Transfer-Encoding: chunked"):
        with server.client() as client:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n3\r\nabc\r\n")
            connection = member.accept()
            connection.head()
            assert connection.file.read(3) == b"3\r\n"
        assert b"0\r\n\r\n" not in connection.rest()
    counts = server.counts()
    assert (counts["under way"], counts["502"]) == (0, 0)


def test_malformed_chunk(proxy, member):
    """A body that breaks the rules is refused, and the member's connection closed."""
    with proxy(member, routes=STREAMED).client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        connection = member.accept()
        connection.head()
        client.send(b"xyz\r\n")
        assert client.response().code == 400
        assert connection.rest() == b"1\r\na\r\n"


def test_too_large(proxy, member):
    """The server's limit holds for streamed bodies, too."""
    server = proxy(member, routes=STREAMED, server="access_log = off\nbody_max = 1 kb")
    with server.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n")
        assert client.response().code == 413
    with server.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection = member.accept()
        connection.head()
        client.send(b"7d0\r\n" + bytes(2000))
        assert client.response().code == 413
        assert connection.at_end()


def test_early_reply(proxy, member):
    """A member that answers before it has the body is heard at once; both connections end with that."""
    with proxy(member, routes=STREAMED).client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
        connection = member.accept()
        connection.head()
        connection.send(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno")
        assert client.response().body == b"no"
        assert connection.rest() in (b"abc", b"")  # a reset may overtake it


def test_streamed_to_another_member(proxy, member, other):
    """Another member gets the body where the first refused."""
    member.close()
    with proxy(member, other, routes=STREAMED).client() as client:
        for count in range(2):
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
            connection = other.connections[0] if count else other.accept()
            assert connection.answer()[1] == b"abc"
            assert client.response().code == 200


@pytest.mark.parametrize("direction", ["up", "down"])
def test_bounded_memory(proxy, direction):
    """100 MB pass with a few MB in memory, at the pace of who reads."""
    member, size = Member(receive_buffer=65536), 100 * MB
    server = proxy(
        member, routes=STREAMED, server="access_log = off\nbody_max = 1 gb\nresponse_buffer_max = 1 mb"
    )
    piece = bytes(MB)

    def send(send, count=size // MB):
        for _ in range(count):
            send(piece)

    def read(read, left=size):
        while left:
            left -= len(read(min(left, MB)))

    with server.client(receive_buffer=65536) as client:
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (size * (direction == "up"))
        )
        connection = member.accept()
        connection.head()
        tracemalloc.start()
        try:
            if direction == "up":
                sender = threading.Thread(target=send, args=(client.send,))
                sender.start()
                read(connection.file.read)
            else:
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                sender = threading.Thread(target=send, args=(connection.send,))
                sender.start()
                client.read_head()
                read(client.read)
            sender.join()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    member.close()
    assert peak < 12 * MB


@pytest.mark.parametrize("field", [b"", b"X-Accel-Buffering: no\r\n"])
def test_events(proxy, member, field):
    """Each event comes at once, and a proxy in front is told, too, not to hold it back."""
    with proxy(member).client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        connection = member.accept()
        connection.answer(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            + field
            + b"Transfer-Encoding: chunked\r\n\r\n"
        )
        assert client.read_head()["X-Accel-Buffering"] == ("no" if field else None)
        for number in range(3):
            event = b"data: %d\n\n" % number
            connection.send(b"%x\r\n%b\r\n" % (len(event), event))
            assert client.read_chunk() == event
