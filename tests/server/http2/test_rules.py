"""What RFC 9113 asks of a server whose client breaks the rules: the stream ends, or the connection."""

import hpack
import pytest
from http2_client import PREFACE, frame, open_connection, serve
from http_channel import Later, MemoryServer

GET = [(":method", "GET"), (":scheme", "http"), (":authority", "example.org"), (":path", "/")]
POST = [(":method", "POST"), *GET[1:]]


def without(fields, name):
    return [field for field in fields if field[0] != name]


@pytest.mark.parametrize(
    "fields",
    [
        without(GET, ":method"),
        without(GET, ":path"),
        without(GET, ":scheme"),
        [*GET[:3], (":path", "")],
        [*GET, (":path", "/again")],
        [*GET, (":status", "200")],
        [*GET, (":custom", "1")],
        [*GET[:3], ("x", "1"), GET[3]],
        [*GET, ("X-Upper", "1")],
        [*GET, ("", "1")],
        [*GET, ("a b", "1")],
        [*GET, ("a:b", "1")],
        [*GET, ("x", "a\r\nHost: evil")],
        [*GET, ("x", "a\0b")],
        [*GET, ("x", "a\nb")],
        [*GET, ("x", " a")],
        [*GET, ("x", "a\t")],
        [*GET[:3], (":path", "/a\r\nX: 1")],
        [*GET[:3], (":path", "/a HTTP/1.1\r\nX: 1")],
        [(":method", "GET / HTTP/1.1\r\nX:"), *GET[1:]],
        [*GET, ("connection", "close")],
        [*GET, ("keep-alive", "1")],
        [*GET, ("proxy-connection", "close")],
        [*GET, ("transfer-encoding", "chunked")],
        [*GET, ("upgrade", "websocket")],
        [*GET, ("te", "gzip")],
        [*GET, ("host", "other.example")],
        [*GET, ("content-length", "1")],
        [*GET, ("content-length", "-0")],
        [*GET, ("content-length", "0"), ("content-length", "1")],
        [(":method", "CONNECT"), (":authority", "a:1"), (":path", "/"), (":scheme", "http")],
        [(":method", "CONNECT")],
    ],
)
def test_a_malformed_request_ends_its_stream_and_no_other(fields):
    app = Later()
    server, client = serve(app)
    other = client.ask("/other")
    reply = client.get(fields=fields)
    assert (reply.fields, reply.reset) == ([], 1)
    assert len(server.requests) == 1
    app.answer()
    client.run()
    assert client.replies[other].body == b"/other"
    assert not client.closed


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        (400, [*GET[:3], (":path", "nowhere")]),
        (400, [*GET[:3], (":path", "*")]),
        (400, [*GET[:3], (":path", "/a#b")]),
        (400, [*GET[:3], (":path", "/a b")]),
        (400, without(GET, ":authority")),
        (400, [*without(GET, ":authority"), (":authority", "user@example.org")]),
        (405, [(":method", "CONNECT"), (":authority", "example.org:443")]),
        (414, [*GET[:3], (":path", "/" + "x" * 9000)]),
        (431, [*GET, *[(f"x-{number}", "x" * 1000) for number in range(40)]]),
        (417, [*POST, ("expect", "miracles")]),
    ],
)
def test_a_request_beyond_the_limits_is_refused_as_in_http1(code, fields):
    server, client = serve()
    reply = client.get(fields=fields)
    assert reply.code == code
    assert reply.ended
    assert server.requests == []
    assert server.observed[0].status_code == code
    assert client.get().code == 200


def test_host_in_the_place_of_authority():
    server, client = serve()
    assert client.get(fields=[*without(GET, ":authority"), ("host", "example.org:80")]).code == 200
    assert server.requests[0].authority == b"example.org:80"


def test_te_trailers_and_equal_hosts_are_allowed():
    server, client = serve()
    assert client.get(headers=[("te", "trailers"), ("host", "Example.org"), ("x_user", "root")]).code == 200
    assert server.requests[0].field(b"x_user") is None


@pytest.mark.parametrize(("announced", "sent"), [("5", b"123456"), ("5", b"1234")])
def test_a_body_of_another_length_than_announced_ends_its_stream(announced, sent):
    server, client = serve()
    reply = client.get("/up", "POST", headers=[("content-length", announced)], body=sent)
    assert (reply.fields, reply.reset) == ([], 1)
    assert server.requests == []
    assert not client.closed


def test_a_body_that_is_too_long_is_refused():
    _, client = serve(body_max=10)
    assert client.get("/up", "POST", headers=[("content-length", "11")], body=b"x" * 11).code == 413
    assert client.get("/up", "POST", body=b"x" * 11).code == 413
    assert client.get("/up", "POST", body=b"x" * 10).code == 200


def test_trailers_with_pseudo_fields_end_their_stream():
    _, client = serve()
    stream = client.ask("/up", "POST", body=b"x", ends=False)
    client.h2.send_headers(stream, [(":path", "/other")], end_stream=True)
    client.run()
    assert client.replies[stream].reset == 1
    assert not client.closed


def header_block(fields):
    return hpack.Encoder().encode(fields)


SETTINGS = frame(4, 0, 0)
HEADERS = frame(1, 4, 1, header_block(POST))
BLOCK = header_block(GET)


@pytest.mark.parametrize(
    ("code", "data"),
    [
        (1, b"GET / HTTP/1.1\r\n\r\n"),  # after the preface was awaited
        (1, frame(6, 0, 0, b"12345678")),  # before SETTINGS
        (1, SETTINGS + frame(0, 0, 1, b"x")),  # on an idle stream
        (1, SETTINGS + frame(0, 0, 0, b"x")),
        (1, SETTINGS + frame(1, 5, 2, BLOCK)),  # a number of the server's
        (1, SETTINGS + frame(1, 5, 0, BLOCK)),
        (1, SETTINGS + frame(1, 0x0D, 1, b"\xff" + BLOCK)),  # padding
        (1, SETTINGS + HEADERS + frame(0, 8, 1, b"\x05abc")),
        (1, SETTINGS + frame(1, 1, 1, BLOCK) + frame(6, 0, 0, b"12345678")),  # within a header block
        (1, SETTINGS + frame(1, 1, 1, BLOCK) + frame(9, 4, 3, b"")),
        (1, SETTINGS + frame(9, 4, 1, BLOCK)),
        (1, SETTINGS + frame(5, 4, 1, b"\0\0\0\2" + BLOCK)),  # PUSH_PROMISE
        (1, SETTINGS + frame(3, 0, 1, b"\0\0\0\1")),
        (1, SETTINGS + frame(8, 0, 1, b"\0\0\0\1")),
        (1, SETTINGS + frame(8, 0, 0, b"\0\0\0\0")),
        (1, SETTINGS + frame(4, 0, 1)),
        (1, frame(4, 0, 0, b"\0\2\0\0\0\2")),  # ENABLE_PUSH = 2
        (1, frame(4, 0, 0, b"\0\5\0\0\0\1")),  # MAX_FRAME_SIZE = 1
        (1, SETTINGS + frame(2, 0, 1, b"\0\0\0\1\0")),  # depends on itself
        (1, SETTINGS + frame(6, 0, 1, b"12345678")),
        (3, frame(4, 0, 0, b"\0\4\x80\0\0\0")),  # INITIAL_WINDOW_SIZE
        (3, SETTINGS + frame(8, 0, 0, b"\x7f\xff\xff\xff")),
        (5, SETTINGS + frame(1, 5, 3, BLOCK) + frame(1, 5, 3, BLOCK)),
        (5, SETTINGS + frame(1, 5, 3, BLOCK) + frame(1, 5, 1, BLOCK)),
        (6, SETTINGS + frame(6, 0, 0, b"1234")),
        (6, SETTINGS + frame(8, 0, 0, b"123")),
        (6, frame(4, 0, 0, b"12345")),
        (6, frame(4, 1, 0, b"\0\2\0\0\0\0")),
        (6, SETTINGS + b"\xff\xff\xff\0\0\0\0\0\1"),  # a frame of 16 MB
        (9, SETTINGS + frame(1, 5, 1, b"\xff\xff\xff\xff\xff")),
        (9, SETTINGS + frame(1, 5, 1, b"\x40\x05ab")),
        (9, SETTINGS + frame(1, 5, 1, b"\x20" * 3 + BLOCK)),  # sizes of the table: 0, 0 and 0
        (9, SETTINGS + frame(1, 5, 1, b"\x3f\x81\x01\x20\x3e" + BLOCK)),
    ],
)
def test_a_broken_connection_ends_with_the_reason(code, data):
    server = MemoryServer()
    transport = open_connection(server)
    transport.feed((PREFACE[:10] if data.startswith(b"GET") else PREFACE) + data)
    server.clock.advance(0)
    if data.startswith(b"GET"):  # that is HTTP/1.1, where PRI is no method
        assert transport.sent.startswith(b"HTTP/1.1 ")
        return
    sent = bytes(transport.sent)
    goaway = sent[sent.rindex(b"\x07\0\0\0\0\0") :]
    assert int.from_bytes(goaway[10:14]) == code
    assert transport.closing
    server.clock.advance(0)
    assert server.factory.channels == set()
    assert server.factory.storage.in_memory == 0


def test_the_table_may_change_its_size_twice():
    """Once to the least that it had in between, and once to what it has now (RFC 7541, section 4.2)."""
    server = MemoryServer()
    transport = open_connection(server)
    transport.feed(PREFACE + SETTINGS + frame(1, 5, 1, b"\x20\x3f\xe1\x1f" + BLOCK))
    assert not transport.closing
    assert len(server.requests) == 1


def test_more_data_than_the_window_of_a_stream_ends_it():
    _, client = serve(Later(), lambda request: True)  # nobody decides what to do with the body
    stream = client.ask("/up", "POST", body=b"", ends=False)
    other = client.ask("/other")
    for _ in range(8):
        client.raw(frame(0, 0, stream, b"x" * 16384))
    assert stream not in client.replies
    client.raw(frame(0, 0, stream, b"x"))
    assert client.replies[stream].reset == 3
    assert other not in client.replies
    assert not client.closed


def test_a_window_of_a_stream_that_is_too_large_ends_it():
    _, client = serve(Later())
    stream = client.ask("/")
    client.raw(frame(8, 0, stream, b"\x7f\xff\xff\xff"))
    assert client.replies[stream].reset == 3
    assert not client.closed
