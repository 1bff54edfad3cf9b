"""Connections that another protocol takes over: upgrades and the tunnel of CONNECT."""

import socket

import pytest
from head_resources import AtHead, Echo, PoliteEcho, Upgrading, site_of
from http_channel import Later, read_answers
from twisted.web.server import NOT_DONE_YET

from serving import eventually
from skitai.errors import MisuseError

GET = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"
UPGRADE = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
CONNECT = b"CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\n"


@pytest.fixture
def upgrading(memory_server):
    """Return ``upgrading(resource=None, connect=None, **limits)``: a server with an Upgrading resource."""

    def start(resource=None, connect=None, **limits):
        site = site_of(resource or Upgrading(), connect)
        return memory_server(site.handle, site.judge, **limits)

    return start


def after_the_head(client):
    """Return the first response's head and what came after it."""
    head, _, rest = client.received.partition(b"\r\n\r\n")
    return head.decode().split("\r\n"), rest


def test_upgrade(upgrading):
    """A resource takes a connection over, with the bytes that came in the same packet as the head."""
    client = upgrading().connect()
    client.send(UPGRADE + b"hel")
    client.send(b"lo")
    head, rest = after_the_head(client)
    assert head[0] == "HTTP/1.1 101 Switching Protocols"
    assert {"Upgrade: echo", "Connection: upgrade"} <= set(head)
    assert not any(field.startswith(("Content-Length", "Transfer-Encoding")) for field in head)
    assert rest == b"HELLO"


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_upgrade_in_pieces(upgrading, piece):
    """Wherever the packets end, the protocol gets just what stands behind the head."""
    client = upgrading().connect()
    client.send(UPGRADE + b"hello\r\n\r\nGET / HTTP/1.1\r\n\r\n", piece=piece)
    assert after_the_head(client)[1] == b"HELLO\r\n\r\nGET / HTTP/1.1\r\n\r\n"


def test_upgrade_behind_other_requests(upgrading):
    """A pipelined upgrade waits for its turn, and what came behind it waits, too."""
    app = Later()
    resource = Upgrading()
    resource.render = lambda request: app(request) or NOT_DONE_YET
    client = upgrading(resource).connect()
    client.send(GET % b"/1" + UPGRADE + b"hello")
    assert client.received == b""
    assert client.transport.reading_paused
    app.answer()
    answers, rest = read_answers(client.received)
    assert [answer.code for answer in answers] == [200, 101]
    assert rest == b"HELLO"
    assert not client.transport.reading_paused


def test_upgrade_that_nobody_wants(upgrading):
    """A request for an unknown protocol is answered in HTTP/1.1, and the next one too (RFC 9110, 7.8)."""
    resource = Upgrading()
    client = upgrading(resource).connect()
    other = UPGRADE.replace(b"echo", b"h2c")
    client.send(other * 3 + GET % b"/2")
    assert [answer.body for answer in client.answers()] == [b"GET /ws"] * 3 + [b"GET /2"]
    assert len(resource.asked) == 3
    assert not client.closed


def test_upgrade_that_is_answered_instead(upgrading):
    """A resource may refuse an upgrade at the head; the connection goes on in HTTP/1.1."""
    resource = AtHead(lambda request: request.fail(403) or True)
    client = upgrading(resource).connect()
    client.send(UPGRADE + GET % b"/2")
    assert client.codes == [403, 200]


def test_upgrade_that_takes_time(upgrading):
    """A resource may make up its mind later; nothing is read meanwhile, and no time-out runs."""
    asked = Later()
    server = upgrading(AtHead(lambda request: asked(request) or True))
    client = server.connect()
    client.send(UPGRADE + b"hello")
    server.wait(100)
    assert (client.received, client.transport.reading_paused) == (b"", True)
    asked.waiting[0].take_over(Echo(), "101 Switching Protocols", [("Upgrade", "echo")])
    client.send(b"!")
    assert after_the_head(client)[1] == b"HELLO!"


def test_answer_instead_that_takes_time(upgrading):
    """A resource that answers later instead of taking the connection leaves it to the next request."""
    asked = Later()
    client = upgrading(AtHead(lambda request: asked(request) or True)).connect()
    client.send(UPGRADE + GET % b"/2" + b"GET /3 HT")
    asked.answer(b"no")
    assert [answer.body for answer in client.answers()] == [b"no", b"GET /2"]
    client.send(b"TP/1.1\r\nHost: a\r\n\r\n")
    assert client.codes == [200, 200, 200]


@pytest.mark.parametrize(
    "request_text",
    [
        UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        UPGRADE.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\nhello"),
        b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\n\r\n",
    ],
    ids=["HTTP/1.0", "a body", "no Connection field"],
)
def test_upgrade_that_cannot_be(upgrading, request_text):
    """Who speaks HTTP/1.0, sends a body, or does not name the field in Connection gets no other protocol."""
    resource = Upgrading()
    client = upgrading(resource).connect()
    client.send(request_text)
    assert client.codes == [200]
    assert resource.protocols == []


def test_misuse(upgrading):
    """A connection is taken over once, and not without a request for it."""
    failures = []

    def misuse(request):
        for _ in range(2):
            try:
                request.take_over(Echo(), "101 Switching Protocols")
            except MisuseError as error:
                failures.append(error)
        return True

    client = upgrading(AtHead(misuse)).connect()
    client.send(UPGRADE)
    assert len(failures) == 1
    client = upgrading(AtHead(misuse)).connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
    assert len(failures) == 3


@pytest.mark.parametrize(
    ("status", "headers"), [("200 OK\r\nX: y", []), ("404 X", []), ("101 X", [("A", "b\n")])]
)
def test_head_that_would_break_the_framing(upgrading, log, status, headers):
    """A head that cannot be is a defect of the resource: nothing of it is sent, the client reads 500."""
    client = upgrading(AtHead(lambda request: request.take_over(Echo(), status, headers))).connect()
    client.send(UPGRADE)
    assert client.codes == [500]
    assert [event["log_failure"].type for event in log] == [ValueError]


def test_protocol_that_fails(upgrading, log):
    """A protocol that fails at its beginning is logged, and its connection cut."""

    class Failing(Echo):
        def connectionMade(self):
            raise RuntimeError("defect")

    server = upgrading(Upgrading(Failing))
    client = server.connect()
    client.send(UPGRADE + b"x")
    assert client.aborted
    assert [event["log_failure"].type for event in log] == [RuntimeError]
    assert not server.factory.channels


def test_time_outs_do_not_apply(upgrading):
    """The time-outs of HTTP are over with HTTP."""
    server = upgrading(header_timeout=5, keep_alive=5, response_timeout=5)
    client = server.connect()
    client.send(UPGRADE)
    server.wait(1000)
    client.send(b"still here")
    assert after_the_head(client)[1] == b"STILL HERE"


def test_time_outs_do_not_apply_to_a_client_that_was_slow(upgrading):
    """No time-out is left over from a client that did not read the head of the answer at once."""
    server = upgrading(Upgrading())
    client = server.connect()
    client.transport.capacity, client.transport.stalled = 10, True
    client.send(UPGRADE)
    client.transport.take(1000)
    server.wait(1000)
    assert not client.transport.closing
    assert not client.aborted


def test_connection_is_counted(upgrading):
    """A connection that was taken over counts until it ends; its request is over at once."""
    resource = Upgrading()
    server = upgrading(resource)
    client = server.connect()
    client.send(UPGRADE)
    assert server.factory.statistics()["open"] == 1
    assert server.factory.statistics()["busy"] == 0
    assert [request.status_code for request in server.observed] == [101]
    client.disconnect()
    assert server.factory.statistics()["open"] == 0
    assert len(resource.protocols[0].reasons) == 1


def test_app_closes_first(upgrading):
    """The protocol may close the connection."""
    resource = Upgrading()
    client = upgrading(resource).connect()
    client.send(UPGRADE)
    client.send(b"bye")
    assert after_the_head(client)[1] == b"BYE"
    assert client.closed
    assert len(resource.protocols[0].reasons) == 1


def test_client_half_closes(upgrading):
    """A client that closes its half ends the connection of a protocol that cannot make use of the other."""
    client = upgrading().connect()
    client.send(UPGRADE)
    client.end_sending()
    assert client.closed


@pytest.mark.parametrize(("protocol", "goodbye"), [(Echo, b""), (PoliteEcho, b"GOODBYE")])
def test_stop(upgrading, protocol, goodbye):
    """A stop of the server ends the connection; a protocol that wants to can say goodbye."""
    server = upgrading(Upgrading(protocol))
    client = server.connect()
    client.send(UPGRADE)
    server.stop_listening()
    ended = server.factory.finish()
    assert after_the_head(client)[1] == goodbye
    server.clock.advance(0)
    assert client.closed
    assert ended.called


def test_stop_while_it_is_decided(upgrading):
    """A connection that is taken over when the server stops already says goodbye at once."""
    waiting = []
    server = upgrading(AtHead(lambda request: waiting.append(request) or True))
    client = server.connect()
    client.send(UPGRADE)
    server.stop_listening()
    ended = server.factory.finish()
    assert not ended.called
    waiting[0].take_over(PoliteEcho(), "101 Switching Protocols", [("Upgrade", "echo")])
    assert after_the_head(client)[1] == b"GOODBYE"
    server.clock.advance(0)
    assert ended.called


def test_bytes_that_come_while_it_is_decided(upgrading):
    """TLS may bring some though reading is paused: the protocol gets them, too."""
    waiting = []
    client = upgrading(AtHead(lambda request: waiting.append(request) or True)).connect()
    client.send(UPGRADE + b"he")
    assert client.transport.reading_paused
    client.transport.protocol.dataReceived(b"ll")
    client.transport.protocol.dataReceived(b"o")
    waiting[0].take_over(Echo(), "101 Switching Protocols", [("Upgrade", "echo")])
    assert after_the_head(client)[1] == b"HELLO"


def test_a_protocol_that_answers_itself(upgrading):
    """Without header fields nothing is sent, and the protocol gets the connection as ever."""
    requests = []

    def take(request):
        requests.append(request)
        request.take_over(Echo(), "101 Switching Protocols", None)
        return True

    client = upgrading(AtHead(take)).connect()
    client.send(UPGRADE + b"hel")
    client.send(b"lo")
    assert client.received == b"HELLO"
    assert (requests[0].status_code, requests[0].bytes_sent, requests[0].written) == (101, 0, True)


def test_connect(upgrading):
    """A tunnel begins after the 2xx answer to CONNECT, with what came behind its head."""
    proxy = Upgrading()
    client = upgrading(connect=proxy).connect()
    client.send(CONNECT + b"hello")
    head, rest = after_the_head(client)
    assert head[0] == "HTTP/1.1 200 Connected"
    assert not any(field.startswith(("Content-Length", "Transfer-Encoding", "Connection")) for field in head)
    assert rest == b"HELLO"
    assert proxy.asked[0].authority == b"b.example:443"


def test_connect_refused(upgrading):
    """What a refused tunnel would have carried is not taken for requests."""
    proxy = AtHead(lambda request: request.fail(403) or True)
    client = upgrading(connect=proxy).connect()
    client.send(CONNECT + GET % b"/hidden")
    assert (client.codes, client.closed) == ([403], True)


@pytest.mark.parametrize("connect", [None, AtHead(lambda request: False)])
def test_connect_that_nobody_wants(upgrading, connect):
    """Without anybody for it CONNECT is not allowed, whatever is mounted."""
    resource = Upgrading()
    client = upgrading(resource, connect).connect()
    client.send(CONNECT + GET % b"/hidden")
    assert (client.codes, client.closed) == ([405], True)
    assert resource.asked == []


# -- over real sockets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("first", ["client", "app"])
def test_sockets(loopback_server, wrap_in_tls, tls_client, tls, first):
    """A plain or TLS connection is taken over without loss, whichever side closes it first."""
    resource = Upgrading()
    site = site_of(resource)
    server = loopback_server(site.handle, site.judge, **({"wrap": wrap_in_tls} if tls else {}))
    large = b"x" * 1_000_000
    connection = tls_client(server) if tls else socket.create_connection(("127.0.0.1", server.port))
    with connection:
        connection.settimeout(60)
        connection.sendall(UPGRADE + b"hello")
        received = b""
        while not received.endswith(b"HELLO"):
            received += connection.recv(1000)
        assert received.startswith(b"HTTP/1.1 101 ")
        connection.sendall(b"bye" if first == "app" else large)
        expected = b"BYE" if first == "app" else large.upper()
        received = b""
        while len(received) < len(expected):
            received += connection.recv(100_000)
        assert received == expected
        if first == "app":
            assert connection.recv(1) == b""
    server.wait_until_idle()
    eventually(lambda: resource.protocols[0].reasons)
