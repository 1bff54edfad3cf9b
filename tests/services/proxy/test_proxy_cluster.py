"""Which member is asked: weights, health, rests; and all errors, with their pages and lines of the log."""

import socket
import threading
from collections import Counter
from contextlib import suppress

import pytest
from proxy_world import Connection

from serving import eventually
from skitai.services.http.connections import connections_of

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def serve(member, name, health=b"200 OK"):
    """Have ``member`` answer each request with its name, and those for /ping with the status ``health``."""

    def run(connection):
        with suppress(OSError, ValueError):
            while head := connection.head():
                status = health if head.startswith(b"GET /ping ") else b"200 OK"
                connection.send(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(name), name))

    def accept():
        with suppress(OSError):
            while True:
                connection = Connection(member.socket.accept()[0])
                member.connections.append(connection)
                threading.Thread(target=run, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def asked(server, count):
    """Return how often each member answered ``count`` requests, one after the other."""
    with server.client() as client:
        return Counter(client.ask("/").body for _ in range(count))


def states(server):
    return [
        view.state for view in server.loop.call(server.instance.services.dispatcher.cluster, "up").members
    ]


def test_weights(proxy, member, other):
    """A member of weight 2 gets twice as many requests."""
    serve(member, b"heavy")
    serve(other, b"light")
    server = proxy(f"127.0.0.1:{member.port} 2", other)
    assert asked(server, 9) == {b"heavy": 6, b"light": 3}


def test_health(proxy, member, other):
    """A member that says it is unwell is asked nothing."""
    serve(member, b"unwell", health=b"503 Down")
    serve(other, b"well")
    server = proxy(member, other, up="health = /ping every 1")
    eventually(lambda: states(server) == ["resting", "up"], "the rest of the member")
    assert asked(server, 6) == {b"well": 6}


def test_rest(proxy, member, other):
    """A member that failed rests, and the next requests go to the other at once."""
    member.close()
    serve(other, b"well")
    server = proxy(member, other)
    assert asked(server, 6) == {b"well": 6}
    assert server.counts()["asked again"] == 1
    assert states(server) == ["resting", "up"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"])
def test_idempotent(proxy, member, other, method):
    """A request that may come twice goes to another member, whatever the first has done with it."""
    server = proxy(member, other)
    with server.client() as client:
        body = b"" if method in ("GET", "HEAD", "TRACE") else b"abc"
        client.send(f"{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        connection = member.accept()
        assert connection.request()[1] == body
        connection.send(b"HTTP/1.1 200 OK\r\nX: ")
        connection.close()
        assert other.accept().answer()[1] == body
        assert client.response(method).code == 200


def test_large_body_comes_again(proxy, member, other):
    """A body that lies in a file is sent to the next member from its beginning."""
    body = bytes(range(256)) * 8000
    with proxy(member, other).client() as client:
        client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        connection = member.accept()
        connection.head()
        connection.file.read(100_000)
        connection.reset()
        assert other.accept().answer()[1] == body
        assert client.response().code == 200


def refuses(member):
    member.close()


def full(member):
    """Have the kernel answer no connection: its queue is full."""
    member.socket.close()
    member.socket = socket.create_server(("127.0.0.1", member.port), backlog=0)
    for _ in range(2):
        waiting = socket.socket()
        waiting.setblocking(False)
        waiting.connect_ex(("127.0.0.1", member.port))
        member.connections.append(Connection(waiting))


def sends(reply):
    def begin(member):
        threading.Thread(target=lambda: member.accept().answer(reply), daemon=True).start()

    return begin


def resets(member):
    def run():
        connection = member.accept()
        connection.request()
        connection.reset()

    threading.Thread(target=run, daemon=True).start()


MEMBERS = "members in [@up]"
ERRORS = {
    "refuses": (502, refuses, {}, MEMBERS),
    "resets": (502, resets, {}, MEMBERS),
    "answers wrongly": (502, sends(b"SMTP\r\n\r\n"), {}, MEMBERS),
    "too large a head": (502, sends(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000), {}, MEMBERS),
    "no connection": (504, full, {"up": "connect_timeout = 0.2"}, "connect_timeout in [http] or [@up]"),
    "no head": (504, sends(b"HTTP/1.1 "), {"up": "head_timeout = 0.1"}, "head_timeout in [http] or [@up]"),
    "silence": (504, sends(b""), {"http": "silence_timeout = 0.1"}, "silence_timeout in [http] or [@up]"),
    "nobody may be asked": (
        503,
        sends(b""),
        {"http": "connections_per_host = 1\nwaiting_per_host = 0\nsilence_timeout = 60"},
        "connections_per_host and waiting_per_host in [http]",
    ),
}


@pytest.mark.parametrize(("code", "begin", "config", "keys"), ERRORS.values(), ids=ERRORS)
def test_errors(proxy, member, lines, code, begin, config, keys):
    """The page and the log name the proxy and the key; the log says what was asked of whom, too."""
    begin(member)
    server = proxy(member, routes="/shop = @up", **config)
    with server.client() as first, server.client() as client:
        if code == 503:
            first.send(b"POST /shop/first HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            eventually(lambda: server.counts()["under way"] == 1)
        client.send(b"POST /shop/a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        response = client.response()
    assert response.code == code
    page = response.body.decode()
    assert "The proxy /shop = @up has no reply: " in page
    assert keys in page
    assert "127.0.0.1" not in page
    (line,) = [line for line in lines() if line.startswith("the proxy")]
    assert line.startswith("the proxy /shop = @up has no reply for POST /shop/a?b: ")
    assert f"127.0.0.1:{member.port}" in line
    assert line.endswith(f"({keys})")
    assert server.counts()[str(code)] == 1


def test_log_of_a_broken_reply(proxy, member, lines):
    """A reply that breaks off has a line, too."""
    server = proxy(member)
    with server.client() as client:
        client.send(GET)
        connection = member.accept()
        connection.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        client.read_head()
        connection.close()
        assert client.read() == b"abc"
    (line,) = [line for line in lines() if line.startswith("the proxy")]
    assert line.startswith("the proxy / = @up has no more of the reply for GET /: ")
    assert line.endswith("(members in [@up])")


def test_slow_reply(proxy, member):
    """A reply may take any time as long as something comes: no time-out is that of a whole body."""
    server = proxy(member, http="silence_timeout = 60\nhead_timeout = 60\nconnect_timeout = 60")
    pool = server.loop.call(connections_of, server.instance).pool
    now = [0.0]
    pool.seconds = lambda: now[0]

    def later():
        now[0] += 50
        server.loop.call(lambda: [host.sweep(now[0]) for host in list(pool._hosts.values())] and None)

    with server.client() as client:
        client.send(GET)
        connection = member.accept()
        connection.request()
        later()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        assert client.read_head().code == 200
        for number in range(10):
            later()
            connection.send(b"%d" % number)
            assert client.read(1) == b"%d" % number
        client.send(GET)
        connection.answer()
        assert client.response().body == b"ok"


def test_no_way_through_a_proxy(proxy, member, other):
    """Where the proxy before the members is not reached, it is named, and not the members."""
    other.close()
    way = f"proxy = http://127.0.0.1:{other.port}\nno_proxy = none.example"
    response = proxy(member, http=way).ask("/")
    assert response.code == 502
    assert b"the proxy before its members cannot be reached (proxy in [http])" in response.body
