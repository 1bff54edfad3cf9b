"""A request that the server refuses by itself has a line in the log, with what was asked and why.

nginx says it at the level info, gunicorn and uvicorn as a warning. Who looks for the reason of a 400 finds it
nowhere else: the client is told nothing, because most of them are no browsers.
"""

import pytest
from http2_client import Client
from http_channel import MemoryServer
from twisted.logger import LogLevel

from skitai.daemon.logs import plain_record

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n"


def lines(log):
    return [event for event in log if "others" in event]


def words(event):
    """The line of an event, without its time."""
    return plain_record(event).rstrip("\n")[20:]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"GET /x HTTP/1.1\r\n\r\n", "GET /x was refused with 400: it has no Host field"),
        (GET + b"Host: b\r\n\r\n", "GET /x was refused with 400: its Host field is not one host[:port]"),
        (b"GET x HTTP/1.1\r\nHost: a\r\n\r\n", "GET x was refused with 400: "),
        (
            b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http:///x was refused with 400: the host in its ",
        ),
        (b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", "GET /#x was refused with 400: "),
        (b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT a was refused with 400: "),
        (
            b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n",
            "CONNECT a:1 was refused with 400: a CONNECT with a body",
        ),
        (
            b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
            "CONNECT a:1 was refused with 405: nothing here makes tunnels",
        ),
        (GET + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "GET /x was refused with 501: its Transfer-"),
        (GET + b"A b: c\r\n\r\n", "GET /x was refused with 400: Invalid header token"),
        (
            GET + b"Content-Length: 1,1\r\n\r\n",
            "GET /x was refused with 400: Invalid character in Content-Length",
        ),
        (GET + b"Expect: more\r\n\r\n", "GET /x was refused with 417: it expects something else than "),
        (b"GET /x HTTP/3.0\r\nHost: a\r\n\r\n", "GET /x was refused with "),
        (b"{} /x HTTP/1.1\r\nHost: a\r\n\r\n", "{} /x was refused with 501: its method is none"),
        (b"\x16\x03\x01\x02\0\x01", "\\x16\\x03\\x01\\x02\\x00\\x01 was refused with 501: it is TLS, "),
    ],
)
def test_reasons(memory_server, log, sent, said):
    """The line says who asked for what, and what is wrong with it."""
    client = memory_server().connect()
    client.send(sent)
    assert len(client.codes) == 1
    (event,) = lines(log)
    assert words(event).startswith(f"[info] 192.0.2.7 {said}")


def test_no_line_for_others(memory_server, log):
    """What is answered, and what takes too long, needs no reason."""
    server = memory_server()
    server.connect().send(GET + b"\r\n")
    server.connect().send(GET)
    server.wait(200)
    assert lines(log) == []


def test_a_long_one(memory_server, log):
    """The line is bounded, and what would forge another is escaped."""
    client = memory_server().connect()
    client.send(b"GET /" + b"x" * 5000 + b"\x1b[2J HTTP/1.1\r\nHost: a\r\n\r\n")
    client = memory_server().connect()
    client.send(b"\n\x1b]0;" + b"y" * 5000 + b" /x HTTP/1.1\r\n\r\n")
    for event in lines(log):
        text = plain_record(event)
        assert len(text) < 400
        assert "\x1b" not in text
        assert text.count("\n") == 1
    assert len(lines(log)) == 2


def test_a_flood(memory_server, log):
    """A reason has one line a second, with a count of those that were left out; another has its own."""
    server = memory_server()

    def refused(sent):
        client = server.connect()
        client.send(sent)
        assert len(client.codes) == 1

    for number in range(50):
        refused(b"GET /%d HTTP/1.1\r\n\r\n" % number)
    refused(b"GET x HTTP/1.1\r\nHost: a\r\n\r\n")
    assert len(lines(log)) == 2
    server.clock.advance(1)
    refused(b"GET /last HTTP/1.1\r\n\r\n")
    assert words(lines(log)[2]).endswith(
        "GET /last was refused with 400: it has no Host field, and 49 more before it"
    )


def test_a_limit_is_a_warning(memory_server, log):
    """It is the operator's own, who can raise it; what else is wrong, only the client can mend."""
    client = memory_server(body_max=10).connect()
    client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n")
    (event,) = lines(log)
    assert event["log_level"] is LogLevel.warn
    assert words(event) == "[warning] 192.0.2.7 POST /x was refused with 413: body_max = 10 B"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([(":path", "/#")], "GET /# was refused with 400: its target is neither a path nor a URL"),
        ([(":authority", "a b")], "GET / was refused with 400: its :authority is not host[:port]"),
        ([("te", "gzip")], "a request was refused with PROTOCOL_ERROR: its TE is not trailers"),
        (
            [("connection", "close")],
            "a request was refused with PROTOCOL_ERROR: a field is one of connections ",
        ),
        ([("A", "b")], "a request was refused with PROTOCOL_ERROR: the name of a field is none, or not in "),
    ],
)
def test_http2(log, fields, said):
    """So it is in HTTP/2, also where the stream is reset in the place of a response."""
    client = Client(MemoryServer())
    given = dict(fields)
    pseudo = {":method": "GET", ":scheme": "http", ":authority": "a", ":path": "/"}
    head = [(name, given.pop(name, value)) for name, value in pseudo.items()]
    client.get(fields=[*head, *given.items()])
    (event,) = lines(log)
    assert words(event).startswith(f"[info] 192.0.2.7 {said}")
