"""Members that are too slow, and clusters in which nobody can be asked."""

import socket
import threading
from contextlib import suppress
from select import select

import pytest

from skitai.errors import ConfigError

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    ("times", "sent", "named"),
    [
        ("silence_timeout = 0.1", b"", b"silence_timeout in [http] or [@up]"),
        ("head_timeout = 0.1", b"HTTP/1.1 200 OK\r\nX-A: ", b"head_timeout in [http] or [@up]"),
    ],
)
@pytest.mark.parametrize("section", ["up", "http"])
def test_too_slow(proxy, member, times, sent, named, section):
    """A member that sends no head in time is a 504, which names the limit."""
    server = proxy(member, **{section: times})
    with server.client() as client:
        client.send(GET)
        connection = member.accept()
        connection.answer(sent)
        response = client.response()
        assert response.code == 504
        assert named in response.body
        assert connection.at_end()
    assert server.counts()["504"] == 1


def test_silence_within_a_reply(proxy, member):
    """A member that falls silent in the middle of a reply has the client's connection cut."""
    with proxy(member, up="silence_timeout = 0.1\nhead_timeout = 20").client() as client:
        client.send(GET)
        member.accept().answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        response = client.response()
        assert (response.body, response.complete) == (b"abc", False)


def test_nobody_may_be_asked(proxy, member):
    """Where too many wait for the members, the answer is a 503."""
    server = proxy(member, http="connections_per_host = 1\nwaiting_per_host = 0")
    with server.client() as client:
        client.send(GET)
        connection = member.accept()
        connection.request()
        response = server.ask("/")
        assert (response.code, response["Retry-After"]) == (503, "1")
        assert b"waiting_per_host in [http]" in response.body
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert client.response().body == b"ok"


def send_until_closed(to):
    """Send as much as is taken."""
    with suppress(OSError):
        to.sendall(bytes(30_000_000))


@pytest.mark.parametrize("key", ["connect_timeout", "head_timeout", "silence_timeout"])
def test_wrong_times(proxy, member, key):
    """A wrong value is named with its key."""
    with pytest.raises(ConfigError, match=rf"\[@up\] {key}: "):
        proxy(member, up=f"{key} = soon")


STREAMED = "/ = @up buffer=no"
UPLOAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\n"


def test_member_takes_no_more(proxy, member):
    """A member that stops to read an upload is a 504; the client is not read meanwhile."""
    server = proxy(member, routes=STREAMED, up="silence_timeout = 0.1", server="body_max = 1 gb")
    with server.client() as client:
        client.send(UPLOAD)
        connection = member.accept()
        connection.head()
        sender = threading.Thread(target=send_until_closed, args=(client.socket,))
        sender.start()
        assert client.response().code == 504
        connection.close()
        client.socket.shutdown(socket.SHUT_RDWR)
        sender.join()


def test_client_sends_no_more(proxy, member):
    """A client that stops to send is a 408, and the member's connection is closed; it is not to blame."""
    server = proxy(member, routes=STREAMED, server="access_log = off\nresponse_timeout = 1\nbody_max = 1 gb")
    with server.client() as client:
        client.send(UPLOAD + b"abc")
        connection = member.accept()
        connection.head()
        assert client.response().code == 408
        assert connection.rest() in (b"abc", b"")
    assert server.counts()["504"] == 0
    assert server.loop.call(server.instance.services.dispatcher.cluster, "up").members[0].failures == 0


@pytest.mark.parametrize("limit", ["head_timeout", "silence_timeout"])
def test_client_pauses(proxy, member, limit):
    """A member that waits for the rest of a request is not slow."""
    with proxy(member, routes=STREAMED, up=f"{limit} = 0.1").client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
        connection = member.accept()
        connection.head()
        assert not select([client.socket], [], [], 1.2)[0]
        client.send(b"world")
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert client.response().body == b"ok"


def test_pipelined(proxy, member):
    """Requests that come together are answered in their order, one after the other."""
    with proxy(member).client() as client:
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(3)))
        connection = member.accept()
        for number in range(3):
            head, _ = connection.request()
            assert head.startswith(b"GET /%d " % number)
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number)
        assert [client.response().body for _ in range(3)] == [b"0", b"1", b"2"]
