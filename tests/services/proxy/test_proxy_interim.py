"""Interim replies and trailers of members: who gets them, and what stays behind."""

import pytest
from proxy_h2 import H2C, H2Client
from proxy_world import OK

EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n2\r\nok\r\n0\r\n"
TRAILERS = b'X-T: 1\r\nETag: "a"\r\nSet-Cookie: a=b\r\nContent-Type: x/y\r\nContent-Encoding: gzip\r\n\r\n'
PASSED = b'0\r\nX-T: 1\r\nETag: "a"\r\n\r\n'
GET = b"GET / HTTP/1.1\r\nHost: a\r\n"


def test_early_hints(proxy, member):
    """Interim replies go to the client before the final one has come, without fields of a connection."""
    with proxy(member).client() as client:
        client.send(GET + b"\r\n")
        connection = member.accept()
        connection.answer(
            EARLY.replace(b"\r\n\r\n", b"\r\nConnection: x\r\nX: 1\r\nContent-Length: 5\r\n\r\n")
        )
        head = client.read_head()
        assert (head.status, head.fields) == ("103 Early Hints", [("Link", "</a.css>; rel=preload")])
        connection.send(b"HTTP/1.1 199 Odd\r\n\r\n" + OK)
        assert client.read_head().status == "199 Odd"
        assert client.response().body == b"ok"
        client.send(GET + b"\r\n")
        connection.answer()
        assert client.response().body == b"ok"


def test_no_continue(proxy, member):
    """A member's 100 is not passed on: the proxy itself has the body sent."""
    with proxy(member, routes="/ = @up buffer=no").client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
        connection = member.accept()
        connection.head()
        assert client.read_head().code == 100
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.send(b"x")
        assert connection.file.read(1) == b"x"
        connection.send(OK)
        assert client.read_head().code == 200


def test_old_client(proxy, member):
    """A client of HTTP/1.0 gets neither interim replies nor trailers."""
    with proxy(member).client() as client:
        client.send(b"GET / HTTP/1.0\r\nHost: a\r\nTE: trailers\r\n\r\n")
        member.accept().answer(EARLY + CHUNKED + TRAILERS)
        response = client.response()
        assert (response.code, response.body) == (200, b"ok")


def test_another_member_after_early_hints(proxy, member, other):
    """Interim replies are no reply: another member is asked if the first breaks off behind them."""
    with proxy(member, other).client() as client:
        client.send(GET + b"\r\n")
        connection = member.accept()
        connection.answer(EARLY)
        assert client.read_head().code == 103
        connection.reset()
        other.accept().answer(EARLY + OK)
        assert client.read_head().code == 103
        assert client.response().body == b"ok"


def test_too_many(proxy, member):
    """A member that sends interim replies without an end is stopped."""
    server = proxy(member)
    with server.client() as client:
        client.send(GET.replace(b"GET", b"POST") + b"Content-Length: 0\r\n\r\n")
        connection = member.accept()
        connection.answer()
        assert client.response().code == 200
        client.send(GET.replace(b"GET", b"POST") + b"Content-Length: 0\r\n\r\n")
        connection.answer(EARLY * 2000)
        while (code := client.read_head().code) == 103:
            pass
        assert code == 502
        assert connection.at_end()


@pytest.mark.parametrize("asked", [b"TE: trailers\r\nConnection: te\r\n", b"TE: gzip;q=0.5, Trailers\r\n"])
def test_trailers(proxy, member, asked):
    """Who asks for trailers gets those that may come as such; the member is told that they are wanted."""
    with proxy(member).client() as client:
        client.send(GET + asked + b"\r\n")
        connection = member.accept()
        head, _ = connection.answer(CHUNKED + TRAILERS)
        assert b"Connection: TE\r\nTE: trailers\r\n" in head
        assert client.read_head()["Trailer"] is None
        assert client.read_chunk() == b"ok"
        assert client.read(len(PASSED)) == PASSED
        client.send(GET + b"\r\n")
        head, _ = connection.answer(CHUNKED + TRAILERS)
        assert b"trailers" not in head
        client.read_head()
        assert (client.read_chunk(), client.read_chunk()) == (b"ok", b"")
        client.send(GET + asked + b"\r\n")
        connection.answer()  # with a length there is no place for trailers
        assert client.response().body == b"ok"


@pytest.mark.parametrize("te", [[("te", "trailers")], []])
def test_http2(proxy, member, te):
    """HTTP/2 has frames for both."""
    with H2Client(proxy(member, server=H2C).port) as client:
        stream = client.get("/", *te)
        head, _ = member.accept().answer(EARLY + CHUNKED + TRAILERS)
        assert (b"TE: trailers\r\n" in head) == bool(te)
        reply = client.reply(stream)
        assert reply.interim == [[(":status", "103"), ("link", "</a.css>; rel=preload")]]
        assert (reply.code, reply.body) == (200, b"ok")
        assert reply.trailers == ([("x-t", "1"), ("etag", '"a"')] if te else [])
        stream = client.get("/", *te)
        member.connections[0].answer()
        assert client.reply(stream).body == b"ok"


def test_trailers_behind_what_waits(proxy, member):
    """Trailers come behind a body that has to wait for the client's window."""
    body = bytes(300_000)
    with H2Client(proxy(member, server=H2C).port) as client:
        stream = client.get("/", ("te", "trailers"))
        member.accept().answer(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\nX-T: 1\r\n\r\n"
            % (len(body), body)
        )
        reply = client.reply(stream)
        assert (reply.body, reply.trailers) == (body, [("x-t", "1")])


BROKEN = {
    "NUL in the reason": b"HTTP/1.1 103 a\0b\r\nLink: a\r\n\r\n",
    "NUL in a value": b"HTTP/1.1 103 Early\r\nLink: a\0b\r\n\r\n",
    "bare CR": b"HTTP/1.1 103 Early\r\nLink: a\rX-Injected: b\r\n\r\n",
    "101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "with a body": b"HTTP/1.1 103 Early\r\nContent-Length: 2\r\n\r\nab" + OK,
}


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN)
def test_broken(proxy, member, sent):
    """An interim reply that breaks the rules is a 502, and nothing of it is a field for the client."""
    with proxy(member).client() as client:
        client.send(GET.replace(b"GET", b"POST") + b"Content-Length: 0\r\n\r\n")
        connection = member.accept()
        connection.answer(sent)
        while (head := client.read_head()).code == 103:
            assert head["X-Injected"] is None
        assert head.code == 502
        assert connection.at_end()


@pytest.mark.parametrize("trailer", [b"Content-Length: 7", b"X: a\0b", b"X : a"])
def test_broken_trailer(proxy, member, trailer):
    """A trailer that speaks of the framing, or is malformed, cuts the reply off."""
    with proxy(member).client() as client:
        client.send(GET + b"TE: trailers\r\n\r\n")
        connection = member.accept()
        connection.answer(CHUNKED + trailer + b"\r\n\r\n" + OK)
        client.read_head()
        assert client.read_chunk() == b"ok"
        assert client.read() == b""
        assert connection.at_end()


def test_folded(proxy, member):
    """A folded field of an interim reply never reaches the client as two lines."""
    with proxy(member).client() as client:
        client.send(GET + b"\r\n")
        member.accept().answer(b"HTTP/1.1 103 Early\r\nLink: a\r\n X-Injected: b\r\n\r\n" + OK)
        while (head := client.read_head()).code == 103:
            assert head["X-Injected"] is None
        assert head["X-Injected"] is None


def test_cache(proxy, member):
    """The cache keeps the reply, and neither what came before it nor its trailers."""
    kept = CHUNKED.replace(b"Trailer: X-T", b"Cache-Control: max-age=60")
    with proxy(member, routes="/ = @up cache=yes").client() as client:
        client.send(GET + b"TE: trailers\r\n\r\n")
        member.accept().answer(EARLY + kept + TRAILERS)
        assert client.read_head().code == 103
        assert client.read_head().code == 200
        assert client.read_chunk() == b"ok"
        assert client.read(len(PASSED)) == PASSED
        client.send(GET + b"TE: trailers\r\n\r\n")
        assert client.response().body == b"ok"
        client.send(GET + b"\r\n")
        assert client.response().body == b"ok"
    assert member.nobody_waits()
