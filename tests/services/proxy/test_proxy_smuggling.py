"""Attempts to have the proxy and a member disagree on where a request or a reply ends."""

import pytest
from proxy_world import OK

from skitai.services.proxy.fields import request_lines

INNER = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
START = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"0\r\n\r\n" + INNER

REFUSED = {
    "CL.TE": START + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % len(CHUNKED) + CHUNKED,
    "TE.CL": START + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + CHUNKED,
    "TE.TE, two": START + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n" + CHUNKED,
    "TE.TE, list": START + b"Transfer-Encoding: chunked, identity\r\n\r\n" + CHUNKED,
    "TE, unknown": START + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKED,
    "TE, twice chunked": START + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + CHUNKED,
    "TE, tab": START + b"Transfer-Encoding:\tchunked\x0b\r\n\r\n" + CHUNKED,
    "TE, space before colon": START + b"Transfer-Encoding : chunked\r\n\r\n" + CHUNKED,
    "TE, line begins with a space": START + b" Transfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "TE, folded": START + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + CHUNKED,
    "TE in HTTP/1.0": START.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "CL, two": START + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(INNER) + INNER,
    "CL, list": START + b"Content-Length: 0, %d\r\n\r\n" % len(INNER) + INNER,
    "CL, sign": START + b"Content-Length: +0\r\n\r\n" + INNER,
    "CL, hexadecimal": START + b"Content-Length: 0x0\r\n\r\n" + INNER,
    "bare CR in a value": START + b"X: a\rContent-Length: 0\r\n\r\n" + INNER,
    "bare LF": b"POST / HTTP/1.1\nHost: a\nX: y\n\n" + INNER,
    "bare LF behind a field": START + b"X: y\nContent-Length: 0\r\n\r\n" + INNER,
    "NUL in a value": START + b"X: a\0b\r\nContent-Length: 0\r\n\r\n" + INNER,
    "chunk size with a sign": START + b"Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n" + INNER,
    "chunk size with a bare LF": START + b"Transfer-Encoding: chunked\r\n\r\n0\n\r\n" + INNER,
    "chunk too long": START + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n" + INNER,
    "chunk extension with a bare LF": START + b"Transfer-Encoding: chunked\r\n\r\n0;a\nb\r\n\r\n" + INNER,
    "CR in the target": b"GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n" + INNER,
    "space in the target": b"GET /a HTTP/1.1\r\nX: b HTTP/1.1\r\nHost: a b\r\n\r\n" + INNER,
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + INNER,
}


@pytest.mark.parametrize("routes", ["/ = @up", "/ = @up buffer=no"])
@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED)
def test_refused(proxy, member, sent, routes):
    """Nothing of what is smuggled reaches a member, and the connection ends."""
    server = proxy(member, routes=routes)
    with server.client() as client:
        client.send(sent)
        assert client.response().code in (400, 501)
        assert client.at_end()
    assert b"smuggled" not in member.came()


TAKEN = {
    "GET with a body": (
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(INNER) + INNER,
        INNER,
    ),
    "a body that looks like chunks": (
        START + b"Content-Length: %d\r\n\r\n" % len(CHUNKED) + CHUNKED,
        CHUNKED,
    ),
    "chunks that look like a request": (
        START + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(INNER), INNER),
        INNER,
    ),
    "framing named by Connection": (
        START + b"Connection: Content-Length\r\nContent-Length: %d\r\n\r\n" % len(INNER) + INNER,
        INNER,
    ),
    "Transfer-Encoding in another spelling": (
        START + b"Transfer_Encoding: chunked\r\nContent-Length: %d\r\n\r\n" % len(CHUNKED) + CHUNKED,
        CHUNKED,
    ),
    "Upgrade with a body": (
        START
        + b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: %d\r\n\r\n" % len(INNER)
        + INNER,
        INNER,
    ),
}


@pytest.mark.parametrize("routes", ["/ = @up", "/ = @up buffer=no"])
@pytest.mark.parametrize(("sent", "body"), TAKEN.values(), ids=TAKEN)
def test_one_request(proxy, member, sent, body, routes):
    """What is allowed reaches a member as one request, in a framing that nobody can mistake."""
    with proxy(member, routes=routes).client() as client:
        client.send(sent)
        connection = member.accept()
        head, received = connection.request()
        lower = head.lower()
        assert received == body
        assert lower.count(b"content-length:") + lower.count(b"transfer-encoding:") == 1
        assert b"transfer_encoding" not in lower
        connection.send(OK)
        assert client.response().body == b"ok"
        client.send(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.answer()[0].startswith(b"GET /next ")


REPLY = b"HTTP/1.1 200 OK\r\n"
BAD_REPLIES = {
    "both": REPLY + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": REPLY + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "list of lengths": REPLY + b"Content-Length: 1, 2\r\n\r\nab",
    "unknown coding": REPLY + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "bare CR": REPLY + b"X: a\rX-Injected: b\r\nContent-Length: 0\r\n\r\n",
    "NUL": REPLY + b"X: a\0b\r\nContent-Length: 0\r\n\r\n",
    "space before colon": REPLY + b"Content-Length : 0\r\n\r\n",
    "NUL in the reason": b"HTTP/1.1 200 a\0b\r\nContent-Length: 0\r\n\r\n",
    "HTTP/0.9": b"<html>\n<p>Hello</p>\n</html>\n",
    "lines of text": b"220 mail.example.org ESMTP\n 250 ok\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "status": b"HTTP/1.1 1000 OK\r\nContent-Length: 0\r\n\r\n",
    "too large": REPLY + b"X: " + b"x" * 70_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("reply", BAD_REPLIES.values(), ids=BAD_REPLIES)
def test_bad_replies(proxy, member, reply):
    """A reply that breaks the rules is a 502, and its connection is closed."""
    with proxy(member).client() as client:
        client.send(START + b"Content-Length: 0\r\n\r\n")
        connection = member.accept()
        connection.answer(reply)
        assert client.response().code == 502
        assert connection.at_end()


def test_folded_reply_field(proxy, member):
    """A folded field of a reply never reaches the client as two lines."""
    with proxy(member).client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        member.accept().answer(REPLY + b"X: a\r\n X-Injected: b\r\nContent-Length: 0\r\n\r\n")
        response = client.response()
        assert response.code == 502 or response["X-Injected"] is None


def test_second_reply(proxy, member):
    """Bytes behind a reply answer no other request: the connection is not used again."""
    with proxy(member).client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        connection = member.accept()
        connection.answer(OK + OK.replace(b"ok", b"no"))
        assert client.response().body == b"ok"
        assert connection.at_end()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        member.accept().answer()
        assert client.response().body == b"ok"


def test_reply_to_head_with_a_body(proxy, member):
    """A body in a reply to HEAD is not taken for the next reply."""
    with proxy(member).client() as client:
        client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        connection = member.accept()
        connection.answer(OK)
        assert client.response("HEAD").code == 200
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        member.accept().answer()
        assert client.response().body == b"ok"


@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\nb: c", b"a\rb: c", b"a\0"])
def test_no_field_is_several(value):
    """Whatever a protocol of clients lets through, a field is one line for the member."""
    with pytest.raises(ValueError, match="line break"):
        request_lines([(b"x", b"y"), (b"z", value)], trusted=True)
