"""The HTTP/1.1 channel where the wire matters: real sockets, and TLS."""

import contextlib
import socket
import struct
from contextlib import ExitStack

import pytest
from http_channel import TEXT, echo

from raw_tls import ALERT, DATA, RawTLS
from serving import eventually
from skitai.server.http1.states import State

#: Of an answer that a socket takes at once, and of which more than its client's buffer holds.
SIZE = 1_300_000
GET = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n"


def answer(size, headers=TEXT):
    return lambda request: request.respond("200 OK", headers, b"x" * size)


def test_keep_alive_and_pipelining(loopback_server):
    """Requests on one connection are answered in order."""
    with loopback_server(echo).connect() as client:
        for _ in range(3):
            client.send(b"".join(GET % b"/%d" % number for number in range(100)))
            assert [client.response().body for _ in range(100)] == [
                b"GET /%d" % number for number in range(100)
            ]


@pytest.mark.parametrize("framing", [b"Content-Length: 8000000", b"Transfer-Encoding: chunked"])
def test_refusal_is_readable(loopback_server, framing):
    """A client that sends all of a body that is too large can read the refusal: it is not reset meanwhile."""
    with loopback_server(echo, body_max=1000).connect() as client:
        client.send(POST % framing + b"1F4000\r\n")
        for _ in range(125):
            client.send(b"x" * 64_000)
        response = client.response()
        assert (response.code, response.complete) == (413, True)
        assert response["Connection"] == "close"
        assert client.at_end()


def test_refusal_before_the_body(loopback_server):
    """The refusal comes before any of the body was sent."""
    with loopback_server(echo, body_max=1000).connect() as client:
        client.send(POST % b"Content-Length: 1001")
        assert client.response().code == 413


def test_answer_that_closes_is_readable(loopback_server):
    """An answer that closes the connection is not lost to a client that is still sending."""
    with loopback_server(answer(10, [("Connection", "close")])).connect() as client:
        client.send(GET % b"/")
        for _ in range(50):
            client.send(GET % b"/" * 1000)
        assert client.response().complete
        assert client.at_end()


def test_lingering_ends(loopback_server):
    """A refused client that never closes its half is let go of in the end."""
    server = loopback_server(echo)
    with server.connect() as client:
        client.send(b"nonsense\r\n\r\n")
        assert client.response().code == 501
        assert client.at_end()
        server.time_out()
        server.wait_until_idle()


def test_half_closed_client(loopback_server):
    """A client that has closed its half gets its answer, however large."""
    with loopback_server(answer(8_000_000)).connect() as client:
        client.send(GET % b"/")
        client.socket.shutdown(socket.SHUT_WR)
        assert len(client.response().body) == 8_000_000
        assert client.at_end()


def test_slow_reader(loopback_server):
    """A large answer reaches a slow client whole; what waits does not hold up another client."""
    server = loopback_server(answer(8_000_000))
    with server.connect(receive_buffer=4096) as slow, server.connect() as fast:
        slow.send(GET % b"/")
        eventually(server.blocked)
        fast.send(GET % b"/")
        assert len(fast.response().body) == 8_000_000
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        assert slow.response().body == b"x" * 8_000_000


def test_stalled_reader(loopback_server):
    """A client that stops reading is cut off."""
    server = loopback_server(answer(8_000_000))
    with server.connect(receive_buffer=4096) as client:
        client.send(GET % b"/")
        eventually(server.blocked)
        server.cut_off()
        assert not client.response().complete


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_steady_reader(loopback_server, wrap_in_tls, tls_client, tls):
    """Who reads little, but reads, is not cut off: a socket takes more only when a third of it is free."""
    wraps = {"wrap": wrap_in_tls} if tls else {}
    server = loopback_server(answer(12_000_000), **wraps)
    with ExitStack() as stack:
        if tls:
            client = tls_client(server, receive_buffer=65_536)
        else:
            client = stack.enter_context(server.connect(receive_buffer=65_536)).socket
        client.sendall(GET % b"/")
        eventually(server.blocked)
        for _ in range(6):
            server.time_out()
            left = 200_000
            while left > 0:
                left -= len(client.recv(left))
        assert server.blocked()
        server.cut_off()


@pytest.mark.parametrize("size", [10, 8_000_000])
def test_reset_by_the_client(loopback_server, size):
    """A client that breaks off leaves nothing behind, and the server goes on."""
    ends, requests = [], []

    def app(request):
        request.notifyFinish().addBoth(ends.append)
        requests.append(request)
        if size > 10:
            answer(size)(request)

    server = loopback_server(app)
    with server.connect(receive_buffer=4096) as client:
        client.send(GET % b"/")
        eventually(lambda: requests)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.wait_until_idle()
    assert requests[0].gone
    assert len(ends) == 1


def test_stop(loopback_server):
    """A stop closes idle connections and lets what runs come to its end."""
    requests = []
    server = loopback_server(requests.append)
    with server.connect() as idle, server.connect() as busy:
        busy.send(GET % b"/")
        eventually(lambda: requests)
        server.loop.call(lambda: [server.factory.finish()])
        assert idle.at_end()
        server.loop.call(answer(5), requests[0])
        response = busy.response()
        assert (response.body, response["Connection"]) == (b"xxxxx", "close")
        assert busy.at_end()
    server.wait_until_idle()


# -- TLS -------------------------------------------------------------------------------------------------


def read_all(client):
    """Return what the client gets until the connection ends, one way or the other."""
    data = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while more := client.recv(1 << 16):
            data += more
    return bytes(data)


def test_tls_reader_that_is_late(loopback_server, wrap_in_tls, tls_client):
    """Who reads an answer late, and says goodbye late, gets all of it: nothing sent is dropped."""
    server = loopback_server(answer(200_000, [("Connection", "close")]), wrap=wrap_in_tls)
    client = tls_client(server)
    client.sendall(GET % b"/")
    eventually(lambda: server.channel().state is not State.SERVING)
    server.time_out()
    server.wait_until_idle()
    assert read_all(client).endswith(b"\r\n\r\n" + b"x" * 200_000)


def test_tls_stalled_reader(loopback_server, wrap_in_tls, tls_client):
    """Who takes nothing of an answer over TLS is cut off."""
    server = loopback_server(answer(8_000_000), wrap=wrap_in_tls)
    client = tls_client(server)
    client.sendall(GET % b"/")
    eventually(lambda: server.channel().output.blocked)
    server.cut_off()
    assert len(read_all(client)) < 8_000_000


def test_tls_goodbye_before_the_end(loopback_server, wrap_in_tls):
    """Who says goodbye within TLS before it has read all gets the rest: a reset would take it away."""
    server = loopback_server(answer(SIZE, [("Connection", "close")]), wrap=wrap_in_tls)
    with RawTLS(server.port) as client:
        client.socket.sendall(client.record(GET % b"/"))
        eventually(lambda: server.channel().state is not State.SERVING)
        client.socket.sendall(client.record(b"\1\0", ALERT))
        received = b""
        while (record := client.read())[0] != ALERT:
            received += record[1] if record[0] == DATA else b""
    assert received.endswith(b"\r\n\r\n" + b"x" * SIZE)


def test_tls_large_answer(loopback_server, wrap_in_tls, tls_client):
    """A large answer goes through TLS whole, and the connection is kept."""
    server = loopback_server(answer(5_000_000), wrap=wrap_in_tls)
    client = tls_client(server)
    for _ in range(2):
        client.sendall(GET % b"/")
        data = b""
        while len(data.partition(b"\r\n\r\n")[2]) < 5_000_000:
            data += client.recv(1 << 16)
        assert data.endswith(b"\r\n\r\n" + b"x" * 5_000_000)


def test_tls_refusal_is_readable(loopback_server, wrap_in_tls, tls_client):
    """A client that sends all of a body that is too large can read the refusal over TLS, too."""
    server = loopback_server(echo, wrap=wrap_in_tls, body_max=1000)
    client = tls_client(server)
    client.sendall(POST % b"Content-Length: 4000000")
    for _ in range(62):
        client.sendall(b"x" * 64_000)
    assert read_all(client).startswith(b"HTTP/1.1 413 ")
