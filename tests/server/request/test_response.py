"""What an answer looks like on the wire: its head, the framing of its body, and what may not be sent."""

import pytest
from http_channel import TEXT

GET = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"


def numbered(count):
    return b"".join(GET % b"/%d" % number for number in range(count))


def answer_with(status="200 OK", headers=TEXT, body=b"hello"):
    return lambda request: request.respond(status, headers, body)


def test_head_of_an_answer(memory_server):
    """An answer says when it was made and by what, unless the app does."""
    client = memory_server(answer_with(headers=[])).connect()
    client.send(GET % b"/")
    assert client.answers()[0].fields == {
        "content-length": "5",
        "date": "Sun, 06 Nov 1994 08:49:37 GMT",
        "server": "Skitai",
    }
    client = memory_server(answer_with(headers=[("Date", "x"), ("Server", "y")])).connect()
    client.send(GET % b"/")
    assert client.answers()[0].fields == {"content-length": "5", "date": "x", "server": "y"}


def test_another_protocol_is_demanded(memory_server):
    """Only a 426 names protocols, and then the Connection field names the field (RFC 9110, 15.5.22)."""
    upgrade = [("Upgrade", "websocket")]
    client = memory_server(answer_with("426 Upgrade Required", upgrade)).connect()
    client.send(GET % b"/" + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    kept, last = client.answers()
    assert (kept.fields["upgrade"], kept.fields["connection"]) == ("websocket", "upgrade")
    assert (last.fields["upgrade"], last.fields["connection"]) == ("websocket", "upgrade, close")
    client = memory_server(answer_with(headers=upgrade)).connect()
    client.send(GET % b"/")
    assert {"upgrade", "connection"}.isdisjoint(client.answers()[0].fields)


def test_date_goes_on(memory_server):
    """The Date field follows the clock."""
    server = memory_server()
    client = server.connect()
    server.factory._wall_clock = lambda: 784111780
    server.wait(1)
    client.send(GET % b"/")
    assert client.answers()[0].fields["date"] == "Sun, 06 Nov 1994 08:49:40 GMT"


def test_one_write(memory_server):
    """Head and body leave in one piece."""
    client = memory_server().connect()
    writes = []
    client.transport.write = writes.append
    client.send(GET % b"/")
    assert len(writes) == 1


def test_chunked_answer(memory_server):
    """An answer of unknown length goes in chunks, none for an empty piece, and keeps the connection."""

    def stream(request):
        request.start("200 OK", TEXT)
        for piece in (b"a", b"", b"bc"):
            request.send(piece)
        request.end()

    client = memory_server(stream).connect()
    client.send(GET % b"/")
    assert client.received.endswith(b"\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")
    assert not client.closed


@pytest.mark.parametrize(
    ("method", "status", "headers", "body", "length"),
    [
        (b"HEAD", "200 OK", [], b"hello", "5"),
        (b"HEAD", "200 OK", [("Content-Length", "7")], b"", "7"),
        (b"GET", "304 Not Modified", [("Content-Length", "7")], b"", "7"),
        (b"GET", "304 Not Modified", [], b"", None),
        (b"GET", "304 Not Modified", [("Content-Length", "0")], b"", None),
        (b"GET", "304 Not Modified", [], b"hello", None),
        (b"GET", "204 No Content", [("Content-Length", "7")], b"hello", None),
    ],
)
def test_answers_without_a_body(memory_server, method, status, headers, body, length):
    """No body is sent where there must be none, whatever the app says; its length may be told."""
    client = memory_server(answer_with(status, headers, body)).connect()
    client.send((GET % b"/").replace(b"GET", method) * 2)
    first, second = client.answers("HEAD", "HEAD")
    assert first == second
    assert first.code == int(status[:3])
    assert first.fields.get("content-length") == length
    assert "transfer-encoding" not in first.fields


def test_head_of_a_stream(memory_server):
    """The answer to HEAD ends with its head, even if the body would have gone in chunks."""

    def stream(request):
        request.start("200 OK", TEXT)
        request.send(b"hello")
        request.end()

    client = memory_server(stream).connect()
    client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
    assert len(client.answers("HEAD", "HEAD")) == 2


def test_body_shorter_than_announced(memory_server, log_text):
    """Where the body is too short the connection is closed, so that the client does not wait for the rest."""

    def short(request):
        request.start("200 OK", [("Content-Length", "9")])
        request.send(b"hello")
        request.end()

    client = memory_server(short).connect()
    client.send(numbered(2))
    assert client.received.endswith(b"\r\n\r\nhello")
    assert client.closed
    assert log_text() == "b'/0': the body is shorter than its Content-Length"


def test_body_longer_than_announced(memory_server, log_text):
    """What is more than the announced length is cut off: it must not pass for the next answer."""

    def long(request):
        request.start("200 OK", [("Content-Length", "5")])
        request.send(b"hel")
        request.send(b"lo, HTTP/1.1 200 OK")
        request.send(b"!")
        request.end()

    client = memory_server(long).connect()
    client.send(numbered(2))
    assert [answer.body for answer in client.answers()] == [b"hello", b"hello"]
    assert log_text().splitlines() == [
        "b'/0': the body is longer than its Content-Length",
        "b'/1': the body is longer than its Content-Length",
    ]


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        ("200 OK\r\nX: y", []),
        ("200 OK\n", []),
        ("200 OK", [("X", "a\r\nSet-Cookie: b")]),
        ("200 OK", [("X", "a\nb")]),
        ("200 OK", [("X", "a\rb")]),
        ("200 OK", [("X", "a\0b")]),
        ("200 OK", [("X\r\nY", "z")]),
        ("200 OK", [("X", "\u20ac")]),
        ("200 OK", [("Content-Length", "+5")]),
        ("200 OK", [("Content-Length", "5, 5")]),
        ("100 Continue", []),
        ("101 Switching Protocols", []),
    ],
)
def test_answers_that_would_break_the_framing(memory_server, status, headers):
    """A status or field that could forge a part of the answer is refused, and nothing of it is sent."""
    failures = []

    def forging(request):
        try:
            request.respond(status, headers, b"hello")
        except ValueError as error:
            failures.append(error)
            request.fail(500)

    client = memory_server(forging).connect()
    client.send(GET % b"/")
    assert len(failures) == 1
    assert client.codes == [500]


def test_fields_of_the_connection_are_ours(memory_server):
    """An app cannot set what belongs to the connection, only ask for its end."""
    headers = [("Transfer-Encoding", "chunked"), ("Connection", "keep-alive, Close"), ("Upgrade", "x")]
    client = memory_server(answer_with(headers=headers)).connect()
    client.send(GET % b"/")
    fields = client.answers()[0].fields
    assert "transfer-encoding" not in fields
    assert "upgrade" not in fields
    assert fields["connection"] == "close"
    assert client.closed


def test_refusals_are_pages(memory_server):
    """A refusal is a page that a person can read, and says what it must."""
    client = memory_server().connect()
    client.send(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n")
    answer = client.answers()[0]
    assert answer.fields["content-type"] == "text/html; charset=utf-8"
    assert "GET" in answer.fields["allow"]
    assert b"405" in answer.body
