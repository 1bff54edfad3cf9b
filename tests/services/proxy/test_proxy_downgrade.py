"""Clients that speak HTTP/2 and try to have a member of HTTP/1.1 read another request than the proxy."""

import pytest
from proxy_h2 import H2C, H2Client
from proxy_world import OK

INNER = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
PSEUDO = {b":method": b"POST", b":scheme": b"http", b":authority": b"a", b":path": b"/"}
SPLIT = b" HTTP/1.1\r\nHost: a\r\n\r\n" + INNER


def head(*more, **pseudo):
    """Return the fields of a request; ``pseudo`` replaces what is in PSEUDO, or leaves it out if None."""
    changed = {**PSEUDO, **{b":" + name.encode(): value for name, value in pseudo.items()}}
    return [*((name, value) for name, value in changed.items() if value is not None), *more]


HEADS = {
    "method with a line": head(method=b"GET /x" + SPLIT),
    "method with a space": head(method=b"GET /smuggled"),
    "no method": head(method=None),
    "path with a line": head(path=b"/" + SPLIT),
    "path with a space": head(path=b"/ HTTP/1.1 /smuggled"),
    "path with a bare LF": head(path=b"/\nsmuggled"),
    "path with a bare CR": head(path=b"/\rsmuggled"),
    "path with NUL": head(path=b"/\0smuggled"),
    "path without a slash": head(path=b"smuggled"),
    "path of another host": head(path=b"http://b/smuggled"),
    "two paths": head((b":path", b"/smuggled")),
    "empty path": head(path=b""),
    "authority with a line": head(authority=b"a\r\nX: smuggled"),
    "authority with a space": head(authority=b"a smuggled"),
    "authority with a path": head(authority=b"a/smuggled"),
    "authority and another Host": head((b"host", b"smuggled")),
    "two hosts": head((b"host", b"a"), (b"host", b"smuggled"), authority=None),
    "scheme with a line": head(scheme=b"http\r\nX: smuggled"),
    "unknown pseudo field": head((b":protocol", b"smuggled")),
    "pseudo field behind others": [(b"x", b"y"), *head()],
    "value with a line": head((b"x", b"y\r\nX-B: smuggled")),
    "value with a bare LF": head((b"x", b"y\nX-B: smuggled")),
    "value with a bare CR": head((b"x", b"y\rX-B: smuggled")),
    "value with NUL": head((b"x", b"smuggled\0")),
    "cookie with a line": head((b"cookie", b"a=b\r\nX-B: smuggled")),
    "name with a line": head((b"x: y\r\nsmuggled", b"z")),
    "name with a colon": head((b"transfer-encoding: chunked\r\nx", b"smuggled")),
    "name in upper case": head((b"X-Smuggled", b"smuggled")),
    "name with a space": head((b"x smuggled", b"y")),
    "empty name": head((b"", b"smuggled")),
    "Transfer-Encoding": head((b"transfer-encoding", b"chunked")),
    "Transfer-Encoding in upper case": head((b"Transfer-Encoding", b"chunked")),
    "Connection": head((b"connection", b"keep-alive")),
    "Upgrade": head((b"upgrade", b"websocket")),
    "TE": head((b"te", b"chunked")),
    "two lengths": head((b"content-length", b"0"), (b"content-length", b"%d" % len(INNER))),
    "list of lengths": head((b"content-length", b"0, %d" % len(INNER))),
    "length with a sign": head((b"content-length", b"+0")),
    "length with a line": head((b"content-length", b"0\r\n\r\n" + INNER)),
    "length below the body": head((b"content-length", b"0")),
    "length of a part": head((b"content-length", b"5")),
    "length above the body": head((b"content-length", b"%d" % (len(INNER) + 10))),
}


@pytest.mark.parametrize("routes", ["/ = @up", "/ = @up buffer=no"])
@pytest.mark.parametrize("fields", HEADS.values(), ids=HEADS)
def test_refused(proxy, member, fields, routes):
    """Nothing of what is smuggled reaches a member as a request, and no request there looks complete."""
    with H2Client(proxy(member, server=H2C, routes=routes).port) as client:
        client.raw(1, fields, ends=False)
        client.data(1, INNER)
        reply = client.reply(1)
        assert reply.reset is not None or reply.code == 400
    came = member.came()
    start, _, body = came.partition(b"\r\n\r\n")
    assert b"smuggled" not in start
    assert came.count(b"POST ") <= 1
    if came:  # the length was wrong, which is seen behind the head: what came of the body is a part of one
        assert len(body) < int(start.rpartition(b"Content-Length: ")[2])


def test_length_without_a_body(proxy, member):
    """A request that announces a body and ends with its head reaches nobody."""
    with H2Client(proxy(member, server=H2C).port) as client:
        client.raw(1, head((b"content-length", b"10")))
        assert client.reply(1).reset == 1
    assert member.nobody_waits()


@pytest.mark.parametrize("routes", ["/ = @up", "/ = @up buffer=no"])
@pytest.mark.parametrize("length", [True, False])
def test_one_request(proxy, member, routes, length):
    """A body that looks like a request is a body, and the trailers behind it end at the proxy."""
    announced = [(b"content-length", b"%d" % len(INNER))] if length else []
    with H2Client(proxy(member, server=H2C, routes=routes).port) as client:
        client.raw(1, head(*announced), ends=False)
        client.data(1, INNER, ends=False)
        client.raw(1, [(b"x-smuggled", b"y")])
        # Else the reply may come before the end of the request, which would be the last on its connection.
        client.settle()
        connection = member.accept()
        sent, body = connection.request()
        assert body == INNER
        assert sent.lower().count(b"content-length:") + sent.lower().count(b"transfer-encoding:") == 1
        assert b"smuggled" not in sent
        connection.send(OK)
        assert client.reply(1).body == b"ok"
        stream = client.get("/next")
        assert connection.answer()[0].startswith(b"GET /next ")
        assert client.reply(stream).body == b"ok"


@pytest.mark.parametrize("trailer", [(b":path", b"/smuggled"), (b"x", b"a\r\nb"), (b"X", b"y")])
def test_malformed_trailers(proxy, member, trailer):
    """Trailers that are malformed end the stream, and the request reaches nobody."""
    with H2Client(proxy(member, server=H2C).port) as client:
        client.raw(1, head(), ends=False)
        client.data(1, INNER, ends=False)
        client.raw(1, [trailer])
        assert client.reply(1).reset == 1
    assert member.nobody_waits()


def test_members_reply_is_no_frame(proxy, member):
    """A member cannot add fields to a reply that goes to HTTP/2."""
    with H2Client(proxy(member, server=H2C).port) as client:
        stream = client.get(method="POST", body=b"")
        member.accept().answer(b"HTTP/1.1 200 OK\r\n:status: 500\r\nContent-Length: 0\r\n\r\n")
        reply = client.reply(stream)
        assert (reply.code, len([name for name, _ in reply.fields if name == ":status"])) == (502, 1)
