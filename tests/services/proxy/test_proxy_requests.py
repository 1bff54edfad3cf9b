"""Requests and replies through the proxy, literal bytes on both sides."""

import re

import pytest

from wire import ask


def fields(head):
    """Return the field lines of a head, without their ends."""
    return head.decode("latin-1").split("\r\n")[1:-1]


def test_get(proxy, member):
    """The request goes to the member with what it must know of the client, and the reply comes back."""
    server = proxy(member)
    with server.client() as client:
        client.send(b"GET /a%20b?x=1 HTTP/1.1\r\nHost: shop.example\r\nX-A: 1\r\nX-A: 2\r\n\r\n")
        connection = member.accept()
        head, body = connection.answer(
            b"HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nX-B: 3\r\nServer: m\r\n\r\nok"
        )
        assert head.startswith(b"GET /a%20b?x=1 HTTP/1.1\r\nHost: shop.example\r\n")
        lines = fields(head)
        assert re.fullmatch(r"X-Request-ID: \S+", lines.pop())
        assert lines == [
            "Host: shop.example",
            "x-a: 1",
            "x-a: 2",
            "X-Forwarded-For: 127.0.0.1",
            "X-Forwarded-Proto: http",
            "X-Forwarded-Host: shop.example",
            'Forwarded: for=127.0.0.1;host="shop.example";proto=http',
            "Via: 1.1 skitai",
        ]
        assert body == b""
        response = client.response()
        assert (response.status, response.body, response["X-B"], response["Server"]) == (
            "200 Fine",
            b"ok",
            "3",
            "m",
        )


def test_connections_are_kept(proxy, member):
    """Requests of several clients share a connection to the member."""
    server = proxy(member)
    for count in range(3):
        with server.client() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            connection = member.connections[0] if count else member.accept()
            connection.answer()
            assert client.response().body == b"ok"
    assert member.nobody_waits()


@pytest.mark.parametrize("size", [0, 5, 200_000, 3_000_000])
def test_post(proxy, member, size):
    """A body goes to the member with its length, small or large."""
    server, sent = proxy(member), b"x" * size
    with server.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + sent)
        head, body = member.accept().answer()
        assert f"Content-Length: {size}" in fields(head)
        assert body == sent
        assert client.response().body == b"ok"


def test_chunked_request(proxy, member):
    """A chunked body goes on with its length: it was collected before."""
    server = proxy(member)
    with server.client() as client:
        client.send(
            b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
            b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n"
        )
        head, body = member.accept().answer()
        assert b"chunked" not in head
        assert b"railer" not in head
        assert body == b"abcde"
        assert client.response().body == b"ok"


def test_chunked_reply(proxy, member):
    """A reply of unknown length is passed on piece by piece, as it comes; nobody asked for trailers."""
    server = proxy(member)
    with server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        connection = member.accept()
        connection.answer(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3\r\nabc\r\n"
        )
        head = client.read_head()
        assert head["Transfer-Encoding"] == "chunked"
        assert head["Trailer"] is None
        assert client.read_chunk() == b"abc"
        connection.send(b"2\r\nde\r\n0\r\nX-T: 1\r\n\r\n")
        assert client.read_chunk() == b"de"
        assert client.read_chunk() == b""
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        connection.answer()
        assert client.response().body == b"ok"


def test_reply_until_close(proxy, member):
    """A reply that ends with the member's connection is complete for the client, too."""
    server = proxy(member)
    with server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        connection = member.accept()
        connection.answer(b"HTTP/1.0 200 OK\r\n\r\nabc")
        connection.close()
        response = client.response()
        assert (response.body, response.complete) == (b"abc", True)


@pytest.mark.parametrize(
    ("method", "reply", "length"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n", "77"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: a\r\n\r\n", "77"),
    ],
)
def test_replies_without_a_body(proxy, member, method, reply, length):
    """Replies to HEAD, 204 and 304 have no body, and the connections live on."""
    server = proxy(member)
    with server.client() as client:
        for _ in range(2):
            client.send(f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            connection = member.connections[0] if member.connections else member.accept()
            connection.answer(reply)
            response = client.response(method)
            assert response["Content-Length"] == length
            assert response["Transfer-Encoding"] is None


def test_fields_of_the_connection(proxy, member):
    """Fields of one connection, also those that Connection names, end at the proxy, in both directions."""
    server = proxy(member)
    with server.client() as client:
        client.send(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x-one, X-Two\r\nX-One: 1\r\nX-Two: 2\r\nX-Three: 3\r\n"
            b"Keep-Alive: 5\r\nTE: gzip\r\nProxy-Authorization: Basic eA==\r\nProxy: http://evil/\r\n\r\n"
        )
        head, _ = member.accept().answer(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close, x-four\r\nX-Four: 4\r\nX-Five: 5\r\n"
            b"Keep-Alive: 5\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\n\r\n"
        )
        names = {line.partition(":")[0].lower() for line in fields(head)}
        assert names >= {"x-three"}
        assert not names & {
            "connection",
            "x-one",
            "x-two",
            "keep-alive",
            "te",
            "proxy-authorization",
            "proxy",
        }
        response = client.response()
        assert response["X-Five"] == "5"
        for name in ("X-Four", "Keep-Alive", "Proxy-Authenticate", "Upgrade", "Connection"):
            assert response[name] is None
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        member.accept().answer()
        assert client.response().code == 200


FORGED = (
    b"X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n"
    b"X-Forwarded-Port: 1\r\nX-Real-IP: 1.1.1.1\r\n"
)


def test_forged_fields(proxy, member):
    """What a client says of its own address is replaced."""
    server = proxy(member)
    with server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + FORGED + b"Forwarded: for=1.1.1.1\r\n\r\n")
        head, _ = member.accept().answer()
    assert b"1.1.1.1" not in head
    assert b"evil" not in head
    assert b"orwarded-Port" not in head


def test_trusted_proxy(proxy, member):
    """What a trusted proxy says of the client is kept, and that proxy added."""
    server = proxy(member, server="access_log = off\ntrusted_proxies = 127.0.0.1")
    with server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + FORGED + b"\r\n")
        head, _ = member.accept().answer()
    lines = fields(head)
    assert "X-Forwarded-For: 1.1.1.1, 127.0.0.1" in lines
    assert "X-Forwarded-Proto: https" in lines
    assert "X-Forwarded-Host: evil" in lines
    assert 'Forwarded: for=1.1.1.1, for=127.0.0.1;host="evil";proto=https' in lines
    assert "x-real-ip: 1.1.1.1" in lines
    with server.client() as client:
        client.send(b'GET / HTTP/1.1\r\nHost: a\r\nForwarded: for="[2001:db8::1]:44"\r\n\r\n')
        head, _ = member.connections[0].answer()
    lines = fields(head)
    assert "X-Forwarded-For: [2001:db8::1]:44, 127.0.0.1" in lines
    assert 'Forwarded: for="[2001:db8::1]:44", for=127.0.0.1;host="a";proto=http' in lines


@pytest.mark.parametrize(
    ("route", "asked", "target"),
    [
        ("/shop = @up", "/shop/a?x", "/a?x"),
        ("/shop = @up", "/shop", "/"),
        ("/shop = @up", "/shop?x=/shop", "/?x=/shop"),
        ("/shop = @up", "/sh%6Fp/a%2Fb", "/a%2Fb"),
        ("/shop = @up strip=no", "/shop/a?x", "/shop/a?x"),
        ("/shop = @up", "http://a/shop/b?", "/b"),
        ("/ = @up", "/shop/..a/b..", "/shop/..a/b.."),
    ],
)
def test_target(proxy, member, route, asked, target):
    """The member is asked for the path below the mount point as it was sent; with strip=no for all of it."""
    server = proxy(member, routes=route)
    with server.client() as client:
        client.send(f"GET {asked} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        head, _ = member.accept().answer()
    assert head.startswith(f"GET {target} HTTP/1.1\r\n".encode())
    assert (b"X-Forwarded-Prefix: /shop\r\n" in head) == (target != asked and "strip" not in route)


@pytest.mark.parametrize(
    "path",
    [
        *("/shop/../b", "/shop/%2e%2E/b", "/shop/..", "/shop/..%2fb", "/shop/.%2e;/b"),
        *("/shop/./b", "/shop/%2E"),
    ],
)
def test_no_way_up(proxy, member, path):
    """A path cannot lead a member to where the mount does not."""
    server = proxy(member, routes="/shop = @up")
    response = server.ask(path)
    assert response.code == 400
    assert b"A path with . or .. in it is not passed on" in response.body
    assert member.nobody_waits()


@pytest.mark.parametrize(
    "fields", [b"Content-Length: 1\r\n\r\nx", b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"]
)
def test_no_way_up_before_the_body(proxy, member, fields):
    """Nor can it where a member is asked before the body is complete."""
    with proxy(member, routes="/shop = @up buffer=no").client() as client:
        client.send(b"POST /shop/../b HTTP/1.1\r\nHost: a\r\n" + fields)
        response = client.response()
        assert response.code == 400
        assert b"A path with . or .. in it is not passed on" in response.body
    assert member.nobody_waits()


def test_host(proxy, member):
    """host=member gives members their own name in Host."""
    server = proxy(member, routes="/ = @up host=member")
    with server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        head, _ = member.accept().answer()
    assert f"Host: 127.0.0.1:{member.port}" in fields(head)
    assert "X-Forwarded-Host: a" in fields(head)


def test_request_id(proxy, member):
    """The id of a request goes to the member."""
    server = proxy(member)
    with server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: one-two\r\n\r\n")
        head, _ = member.accept().answer()
    assert head.lower().count(b"x-request-id: one-two\r\n") == 1


def test_refused(proxy, member):
    """A member that refuses is a 502, whose page names the proxy and no address."""
    member.close()
    server = proxy(member, routes="/shop = @up")
    response = ask(server.port, "/shop/")
    assert response.code == 502
    assert b"The proxy /shop = @up has no reply" in response.body
    assert b"127.0.0.1" not in response.body
    assert server.counts()["502"] == 1


def test_another_member(proxy, member, other):
    """Where a member refuses, another is asked, whatever the method."""
    member.close()
    server = proxy(member, other)
    for count in range(2):
        with server.client() as client:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
            (other.connections[0] if count else other.accept()).answer()
            assert client.response().body == b"ok"
    assert server.counts()["asked again"] == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_asked_once(proxy, member, other, method):
    """A member that resets after the request is followed by another only if the method is idempotent."""
    server = proxy(member, other)
    with server.client() as client:
        client.send(f"{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode())
        connection = member.accept()
        connection.request()
        connection.reset()
        if method == "GET":
            other.accept().answer()
        response = client.response()
    assert response.code == (200 if method == "GET" else 502)
    assert method == "GET" or other.nobody_waits()


@pytest.mark.parametrize("framing", [b"Content-Length: 10", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("end", ["close", "reset"])
def test_broken_off(proxy, member, framing, end):
    """A reply that breaks off is never a complete one for the client."""
    server = proxy(member)
    with server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        connection = member.accept()
        connection.answer(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n3\r\nabc\r\n")
        head = client.read_head()
        assert head.code == 200
        assert client.read(3) == b"3\r\n"
        getattr(connection, end)()
        assert b"0\r\n\r\n" not in client.read()
    assert server.counts()["broken off"] == 1


def test_client_gone(proxy, member):
    """Where the client leaves, the member's connection is closed, and the member is not to blame for it."""
    server = proxy(member)
    for begun in (b"", b"", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"):
        with server.client() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            connection = member.accept()
            connection.answer(begun)
            if begun:
                client.read_head()
            client.socket.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")
        assert connection.at_end()
    assert server.counts()["under way"] == 0
    (view,) = server.loop.call(server.instance.services.dispatcher.cluster, "up").members
    assert (view.state, view.failures, view.in_flight) == ("up", 0, 0)


def test_malformed(proxy, member):
    """A reply that is none is a 502."""
    server = proxy(member)
    for reply in (
        b"SMTP ready\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 101 OK\r\n\r\n",
    ):
        with server.client() as client:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            member.accept().answer(reply)
            assert client.response().code == 502
