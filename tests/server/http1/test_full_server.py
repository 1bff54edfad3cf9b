"""A server that is full: of connections, or of what is on its way."""

import contextlib
import socket

import pytest
from head_resources import AtHead, site_of
from http_channel import TEXT, Later

from serving import eventually

GET = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n"
TIMES = {"header_timeout": 5, "keep_alive": 7, "response_timeout": 10}
#: Connections above the limit that are told so.
SURPLUS = 32


def kept_by(server):
    """Return how many bytes the server keeps of what is on its way."""
    return server.factory.storage.in_memory + server.factory.storage.on_disk


# -- of connections -----------------------------------------------------------------------------------------


def test_idle_connections(memory_server, log_text):
    """Far too many connections are closed when accepted; the log says so, and when it is over."""
    server = memory_server(connections_max=200)
    clients = [server.connect() for _ in range(200 + SURPLUS)]
    for _ in range(168):
        assert server.factory.buildProtocol(None) is None
    assert len(server.factory.channels) == 200 + SURPLUS
    assert log_text() == "connections_max = 200 is reached: new connections are closed at once"
    for client in clients[: SURPLUS + 20]:
        client.disconnect()
    assert log_text().splitlines()[1:] == ["there is room for connections again; 168 were closed"]
    server.connect().send(GET % b"/")
    assert len(server.requests) == 1


def test_surplus_upload(memory_server):
    """A connection too many is refused at the head: nobody is asked, and its body is not collected."""
    resource = AtHead(lambda request: False)
    site = site_of(resource)
    server = memory_server(site.handle, site.judge, connections_max=1)
    server.connect()
    client = server.connect()
    client.send(POST % b"Content-Length: 1000000" + b"x" * 1000)
    answer = client.answers()[0]
    assert (answer.code, answer.fields["retry-after"], client.closed) == (503, "1", True)
    client.send(b"x" * 900_000)
    assert kept_by(server) == 0
    assert resource.asked == []


def test_surplus_connection_ends_in_time(memory_server):
    """A connection too many that says nothing does not stay."""
    server = memory_server(connections_max=1, **TIMES)
    server.connect()
    client = server.connect()
    server.wait(7)
    assert client.closed


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["silent", "begun"])
def test_tls_handshakes_that_never_end(loopback_server, wrap_in_tls, sent):
    """A TLS handshake counts as a connection, and ends with the time for the first head."""
    server = loopback_server(lambda request: None, wrap=wrap_in_tls, connections_max=2)
    sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
    for each in sockets:
        each.sendall(sent)
    eventually(lambda: len(server.factory.channels) == 2, "both to be counted")
    server.loop.call(lambda: [channel.timed_out() for channel in list(server.factory.channels)] and None)
    server.wait_until_idle()
    for each in sockets:
        each.settimeout(60)
        with contextlib.suppress(ConnectionResetError):
            assert each.recv(1) == b""
        each.close()


def test_one_factory_with_and_without_tls(loopback_server, wrap_in_tls, tls_client):
    """One factory serves sockets with and without TLS; each connection knows which it is."""
    server = loopback_server(
        lambda request: request.respond("200 OK", TEXT, b"TLS" if request.isSecure() else b"plain")
    )
    secure = server.loop.call(
        server.loop.reactor.listenTCP, 0, wrap_in_tls(server.factory), interface="127.0.0.1"
    )
    try:
        with server.connect() as client:
            assert client.ask().body == b"plain"

        class Secure:
            port = secure.getHost().port

        client = tls_client(Secure)
        client.sendall(GET % b"/")
        data = b""
        while not data.endswith(b"TLS"):
            more = client.recv(1000)
            assert more
            data += more
    finally:
        server.loop.call(secure.stopListening)


# -- of bodies and answers ----------------------------------------------------------------------------------


def test_bodies_of_all_connections(memory_server, log_text):
    """What all bodies take together has a limit: one too many is refused, and the room is given back."""
    server = memory_server(Later(), buffers_max=1_000_000)
    first, second, third = (server.connect() for _ in range(3))
    first.send(POST % b"Content-Length: 700000" + b"x" * 600_000)
    second.send(POST % b"Content-Length: 700000" + b"x" * 300_000)
    assert kept_by(server) == 900_000
    third.send(POST % b"Content-Length: 700000" + b"x" * 600_000)
    assert (third.codes, third.closed) == ([503], True)
    assert "buffers_max" in log_text()
    first.disconnect()
    assert kept_by(server) == 300_000
    second.send(b"x" * 400_000)
    assert kept_by(server) == 700_000
    second.disconnect()
    assert kept_by(server) == 0


def test_room_is_given_back_with_the_answer(memory_server):
    """A body counts until its request is answered, also when the app has opened it."""
    app = Later()
    server = memory_server(app)
    client = server.connect()
    client.send(POST % b"Content-Length: 1000" + b"x" * 1000)
    with app.waiting[0].take_body() as body:
        assert len(body.read()) == 1000
        assert kept_by(server) == 1000
    app.answer()
    assert kept_by(server) == 0


def test_answers_of_all_connections(memory_server, log_text):
    """What waits for slow clients counts, too; an answer for which there is no room is cut off."""
    server = memory_server(
        lambda request: request.respond("200 OK", TEXT, b"x" * 800_000), buffers_max=1_000_000
    )
    first, second = server.connect(), server.connect()
    for client in (first, second):
        client.transport.stalled = True
        client.send(GET % b"/")
    assert not first.aborted
    assert second.aborted
    assert "buffers_max" in log_text()
    first.transport.stalled = False
    while first.transport.held:
        first.transport.take(100_000)
        first.transport.producer.resumeProducing()
    assert len(first.answers()[0].body) == 800_000
    assert kept_by(server) == 0


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_far_too_many_sockets(loopback_server, wrap_in_tls, tls_client, log, tls):
    """Far too many sockets are closed when they are accepted, with and without TLS; the others are served."""
    server = loopback_server(
        lambda request: request.respond("200 OK", TEXT, b"here"),
        connections_max=1,
        **({"wrap": wrap_in_tls} if tls else {}),
    )
    first = tls_client(server) if tls else socket.create_connection(("127.0.0.1", server.port), 60)
    crowd = [socket.create_connection(("127.0.0.1", server.port), 60) for _ in range(SURPLUS + 20)]
    eventually(lambda: len(server.factory.channels) == 1 + SURPLUS, "as many as are kept")
    for each in crowd[SURPLUS:]:
        with contextlib.suppress(ConnectionResetError):
            assert each.recv(1) == b""
    first.sendall(GET % b"/")
    data = b""
    while not data.endswith(b"here"):
        more = first.recv(1000)
        assert more
        data += more
    for each in (first, *crowd):
        each.close()
    server.wait_until_idle()
    assert not [event for event in log if "log_failure" in event]
