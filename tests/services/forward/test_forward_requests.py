"""Requests with an absolute URI, and what their destinations get."""

import socket
import threading

import pytest
from forward_world import LISTS, basic
from proxy_world import OK

from wire import Client


def asked(server, destination, path="/a?x=1", reply=OK, **options):
    """Ask for a path of the destination; return the response, and the head and body that came there."""
    came = []
    thread = threading.Thread(target=lambda: came.append(destination.accept().answer(reply)))
    thread.start()
    response = server.fetch(f"http://127.0.0.1:{destination.port}{path}", **options)
    thread.join()
    return response, *came[0]


def test_get(forward, destination):
    """The destination gets the path, its own name in Host, and Via; the client gets the reply with Via."""
    server = forward()
    response, head, _ = asked(server, destination, fields=[("Accept", "x/y"), ("User-Agent", "me")])
    assert (response.code, response.body, response["Via"]) == (200, b"ok", "1.1 skitai")
    assert head == (
        b"GET /a?x=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\naccept: x/y\r\nuser-agent: me\r\nVia: 1.1 skitai\r\n"
        % destination.port
    )
    assert server.counts()["requests"] == 1


def test_fields_of_the_connection_end_here(forward, destination):
    """Nothing for the proxy itself, and nothing about the client, is passed on."""
    fields = [
        ("Connection", "keep-alive, X-Mine"),
        ("X-Mine", "1"),
        ("Keep-Alive", "5"),
        ("Proxy-Connection", "keep-alive"),
        basic("a", "b"),
        ("TE", "trailers"),
        ("Upgrade", "x"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-Real-IP", "10.0.0.1"),
        ("Forwarded", "for=10.0.0.1"),
        ("Proxy", "http://evil"),
        ("Via", "1.0 child"),
        ("X-Request-ID", "abc"),
        ("Cookie", "a=b"),
        ("Authorization", "Basic eA=="),
    ]
    reply = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close, X-Theirs\r\nX-Theirs: 1\r\n"
        b"Proxy-Authenticate: Basic realm=x\r\nKeep-Alive: 9\r\nVia: 1.0 other\r\nX-Y: z\r\n\r\nok"
    )
    response, head, _ = asked(forward(), destination, reply=reply, fields=fields)
    assert head.split(b"\r\n")[2:-1] == [
        b"via: 1.0 child",
        b"x-request-id: abc",
        b"cookie: a=b",
        b"authorization: Basic eA==",
        b"Via: 1.1 skitai",
        b"Connection: TE",  # the proxy's own: it takes trailers where its client does
        b"TE: trailers",
    ]
    assert response.all("Via") == ["1.0 other", "1.1 skitai"]
    assert (response["X-Y"], response["X-Theirs"], response["Proxy-Authenticate"]) == ("z", None, None)


@pytest.mark.parametrize("body", [b"", b"hello"])
def test_upgrade(forward, destination, body):
    """A client that asks for another protocol gets an ordinary reply: the destination is not told."""
    fields = [("Connection", "upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "k")]
    method = "POST" if body else "GET"
    response, head, came = asked(forward(), destination, method=method, fields=fields, body=body)
    assert (response.code, came) == (200, body)
    assert b"upgrade" not in head.lower()


@pytest.mark.parametrize("scheme", ["NTLM abc", "negotiate abc"])
def test_logins_of_connections(forward, destination, scheme):
    """A login that would hold for the next client of the connection, too, is not passed on."""
    _, head, _ = asked(forward(), destination, fields=[("Authorization", scheme)])
    assert b"authorization" not in head.lower()


def test_forwarded(forward, destination):
    """Destinations are told the client where the config asks for it, whatever the client says."""
    server = forward(server=LISTS + "\nproxy_forwarded = yes")
    _, head, _ = asked(server, destination, fields=[("X-Forwarded-For", "10.0.0.1")])
    assert b"X-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n" in head
    assert b"10.0.0.1" not in head


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies(forward, destination, chunked):
    """Bodies go to the destination as they come, with framing of our own, above body_max, too."""
    server = forward(server=LISTS + "\nbody_max = 10")
    body = bytes(range(256)) * 8000
    with server.client() as client:
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
        client.send(
            b"POST http://127.0.0.1:%d/up HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n" % (destination.port, framing)
        )
        sending = threading.Thread(
            target=client.send,
            args=(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body,),
        )
        sending.start()
        head, got = destination.accept().answer()
        sending.join()
        assert got == body
        assert (b"transfer-encoding: chunked" in head.lower()) is chunked
        assert client.response().body == b"ok"
        client.send(b"GET http://127.0.0.1:%d/2 HTTP/1.1\r\nHost: x\r\n\r\n" % destination.port)
        destination.connections[-1].answer()  # the same connection, in both directions
        assert client.response().body == b"ok"


def test_body_of_a_refused_request(forward, destination):
    """A body is not read for nothing: the answer comes first, and the connection ends."""
    with forward(server="proxy_clients = 127.0.0.1\nproxy_destinations = x.example").client() as client:
        client.send(b"POST http://127.0.0.1:1/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\nabc")
        assert client.response().code == 403


def test_expect(forward, destination):
    """A client that waits for 100 gets it when the destination has the head."""
    with forward().client() as client:
        client.send(b"PUT http://127.0.0.1:%d/ HTTP/1.1\r\nHost: x\r\n" % destination.port)
        client.send(b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        connection = destination.accept()
        assert b"expect" not in connection.head().lower()
        assert client.read_head().code == 100
        client.send(b"hi")
        assert connection.file.read(2) == b"hi"
        connection.send(OK)
        assert client.response().body == b"ok"


@pytest.mark.parametrize(
    ("target", "fields", "line"),
    [
        ("", [], b"OPTIONS * HTTP/1.1"),
        ("?x", [], b"OPTIONS /?x HTTP/1.1"),
        ("/", [("Max-Forwards", "3")], b"OPTIONS / HTTP/1.1"),
    ],
)
def test_options(forward, destination, target, fields, line):
    """OPTIONS for a whole server, and the count of how far it goes (RFC 9112, 3.2.4; RFC 9110, 7.6.2)."""
    _, head, _ = asked(forward(), destination, target, method="OPTIONS", fields=fields)
    assert head.startswith(line)
    assert (b"Max-Forwards: 2\r\n" in head) is bool(fields)


@pytest.mark.parametrize(("method", "code"), [("OPTIONS", 204), ("TRACE", 405)])
def test_goes_no_further(forward, destination, method, code):
    """What may be forwarded no more is answered here."""
    server = forward()
    url = f"http://127.0.0.1:{destination.port}/"
    assert server.fetch(url, method=method, fields=[("Max-Forwards", "0")]).code == code
    assert destination.nobody_waits()


def test_head_only(forward, destination):
    """A reply to HEAD has the length and no body."""
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    response, *_ = asked(forward(), destination, reply=reply, method="HEAD")
    assert (response["Content-Length"], response.body) == ("5", b"")


def test_old_client(forward, destination):
    """A client of HTTP/1.0 is served, and told in Via."""
    with forward().client() as client:
        client.send(b"GET http://127.0.0.1:%d HTTP/1.0\r\n\r\n" % destination.port)
        head, _ = destination.accept().answer()
        assert head.startswith(b"GET / HTTP/1.1\r\n")
        assert b"Via: 1.0 skitai\r\n" in head
        assert client.response().body == b"ok"
        assert client.at_end()


def test_large_reply_to_a_slow_client(forward, destination):
    """A destination is not read while its client takes nothing."""
    server = forward()
    size = 60_000_000
    with Client(server.port, receive_buffer=4096) as client:
        client.send(b"GET http://127.0.0.1:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % destination.port)
        connection = destination.accept()
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        sent = 0
        connection.socket.settimeout(1)
        try:
            while sent < size:
                sent += connection.socket.send(b"x" * 100_000)
        except TimeoutError:
            pass
        assert sent < size // 2


def test_broken_off(forward, destination):
    """A reply that breaks off cuts the client's connection."""
    server = forward()
    with server.client() as client:
        client.send(b"GET http://127.0.0.1:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % destination.port)
        connection = destination.accept()
        connection.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
        connection.close()
        assert not client.response().complete
    assert server.counts()["broken off"] == 1


def test_not_reached(forward, destination):
    """A destination that refuses is a 502, whose page names no address and whose line names all."""
    server = forward()
    destination.close()
    url = f"http://127.0.0.1:{destination.port}/a"
    response = server.fetch(url)
    assert response.code == 502
    assert b"the destination refused, broke off or answered wrongly" in response.body
    assert any(line.startswith(f"the forward proxy has no reply for GET {url}: ") for line in server.messages)
    assert server.counts()["502"] == 1


@pytest.mark.parametrize(
    ("http", "reply", "code", "words"),
    [
        ("head_timeout = 1", b"", 504, b"longer than head_timeout in [http]"),
        ("", b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", 502, b"answered wrongly"),
        ("", b"nonsense\r\n\r\n", 502, b"answered wrongly"),
    ],
)
def test_bad_destinations(forward, destination, http, reply, code, words):
    """A destination that is silent, or no server, or claims to be this proxy."""
    response, *_ = asked(forward(http=http), destination, reply=reply)
    assert response.code == code
    assert words in response.body
    assert response["Proxy-Authenticate"] is None


def test_client_leaves(forward, destination):
    """A client that leaves ends its request, too."""
    server = forward()
    with server.client() as client:
        client.send(b"GET http://127.0.0.1:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % destination.port)
        connection = destination.accept()
        connection.request()
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        assert connection.at_end()


def test_names(forward, destination):
    """A name is asked for at the address that it has, with its own name in Host; case and a last dot do not
    matter."""
    names = {"up.example": ["::ffff:127.0.0.1"]}
    server = forward(names=names)
    with server.client() as client:
        client.send(b"GET http://UP.example.:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % destination.port)
        head, _ = destination.accept().answer()
        assert b"Host: up.example:%d\r\n" % destination.port in head
        assert client.response().body == b"ok"
