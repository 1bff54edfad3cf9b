"""Requests that a server turns away because too many wait: how they are sent, and what is counted."""

import socket

import pytest
from overloading import begun, close_all, connect, held, release, row, send
from scraping import scrape

from serving import eventually

REASONS = ("full", "late", "left")
GET = b"GET %s HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.fixture(scope="module")
def small(serve_held):
    """A server with one thread, at which one request may wait."""
    server = serve_held(options="queue_max=1", queue_timeout="off")
    yield server
    server.stop()


@pytest.fixture
def full(small):
    """A server whose only thread is held, and at which as many wait as may."""
    small.ask("/other/renew")
    held(small)
    send(small, "/waits")
    eventually(lambda: row(small)["queued"] == 1)
    yield small
    close_all()
    release(small)
    eventually(lambda: small.ask("/again").body == b"/again", "the end of those who waited")


def refused(client, method="GET"):
    """Read a response; return whether the request was refused as it should be."""
    response = client.response(method)
    return (response.code, response["Retry-After"], response.complete) == (503, "1", True)


def test_the_connection_goes_on(full):
    """A client may ask again, and is served when there is a thread."""
    client = send(full, "/a")
    assert refused(client)
    client.send(GET % b"/b")
    assert refused(client)
    release(full)
    eventually(lambda: client.ask("/c").body == b"/c", "an answer")


def test_head(full):
    """The response has no body, so the next one begins where it should."""
    client = send(full, "/a", "HEAD")
    assert refused(client, "HEAD")
    client.send(GET % b"/b")
    assert refused(client)


def test_http_1_0(full):
    """The connection closes, as such a client expects."""
    client = connect(full)
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    assert refused(client)
    assert client.at_end()


def test_requests_in_a_row(full):
    """Each one that was sent ahead has its answer, in order; so has what needs no thread."""
    client = connect(full)
    client.send(GET % b"/a" + GET % b"/ping" + GET % b"/b")
    assert refused(client)
    assert client.response().body == b"pong"
    assert refused(client)


def test_a_body_that_is_on_its_way(full):
    """It is not waited for."""
    client = connect(full)
    client.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
    assert refused(client)
    client.send(b"x" * 1000)
    client.socket.shutdown(socket.SHUT_WR)
    assert client.at_end()


def test_a_body_that_is_offered(full):
    """The client is not asked to send it."""
    client = connect(full)
    client.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
    assert client.read_head().code == 503


def test_a_body_that_ends_when_the_line_is_full(overloaded):
    """There was room at its head. The body is dropped, and the connection goes on."""
    server = overloaded(options="queue_max=1", queue_timeout="off")
    holding = held(server)
    client = connect(server)
    client.send(b"POST /late HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n12345")
    first = send(server, "/first")
    eventually(lambda: row(server)["queued"] == 1)
    client.send(b"67890")
    assert refused(client)
    assert release(server, holding, first) == [b"held", b"/first"]
    eventually(lambda: client.ask("/again").body == b"/again", "an answer")
    assert "POST /late" not in begun(server)


def test_a_client_that_does_not_read(full):
    """Its refusals wait for it; the others do not."""
    count = 3000
    client = connect(full)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    client.send(GET % b"/a" * count)
    for _ in range(10):
        assert full.ask("/ping").body == b"pong"
        assert full.ask("/other/").body == b"/"
    assert all(refused(client) for _ in range(count))


def test_nobody_may_wait(overloaded):
    """Who comes while there is time is served all the same."""
    server = overloaded(0, options="queue_max=0", queue_timeout="off")
    assert [server.ask(f"/{number}").code for number in range(20)] == [200] * 20
    client = connect(server)
    client.send(GET % b"/a" * 20)
    assert [client.response().code for _ in range(20)] == [200] * 20


def test_greenlets_for_which_a_turn_has_no_time(overloaded):
    """Those that have not begun at its end wait, if they may: the newest of them may not."""
    server = overloaded(0, options="queue_max=2", queue_timeout="off")
    computing = [send(server, "/compute") for _ in range(12)]
    codes = [client.response().code for client in computing]
    assert {*codes} == {200, 503}
    figures = row(server)
    assert figures["begun"] == codes.count(200) >= 3
    assert (figures["refused"], figures["queued"]) == (codes.count(503), 0)
    assert server.ask("/").code == 200


def test_greenlets_whose_clients_have_left(overloaded):
    """They are not begun; what changes something is."""
    server = overloaded(0, queue_timeout="10")
    computing = [send(server, "/compute") for _ in range(4)]
    leaving = [send(server, f"/left/{method}", method, b"x") for method in ("GET", "DELETE")]
    for client in leaving:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    assert {client.response().body for client in computing} == {b"computed"}
    eventually(lambda: "DELETE /left/DELETE" in begun(server), "the request that changes something")
    assert "GET /left/GET" not in begun(server)
    assert row(server)["left"] == 1


def test_metrics(overloaded):
    """Refusals and lengths are counted by mount."""
    server = overloaded(options="queue_max=3", queue_timeout="0.5")
    holding = held(server)
    leaving, *late = [send(server, f"/{number}") for number in range(3)]
    eventually(lambda: scrape(server)("skitai_queue_length", mount="/") == 3)
    assert refused(send(server, "/full"))
    leaving.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    leaving.close()
    assert all(refused(client) for client in late)
    release(server, holding)
    scraped = scrape(server)
    counted = {reason: scraped("skitai_queue_refused_total", mount="/", reason=reason) for reason in REASONS}
    assert counted == {"full": 1, "late": 2, "left": 1}
    assert scraped("skitai_queue_refused_total", mount="/other") == 0
    assert (scraped("skitai_queue_length", mount="/"), scraped("skitai_queue_begun_total", mount="/")) == (
        0,
        1,
    )
    assert scraped("http_server_request_duration_seconds_count", http_response_status_code="5xx") == 3
