"""How connections of the HTTP/1.1 channel end: time-outs, clients that go, a server that stops."""

import pytest
from http_channel import TEXT, Later

GET = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n"
#: More than a transport holds.
LARGE = b"x" * 300_000
TIMES = {"header_timeout": 5, "keep_alive": 7, "response_timeout": 10}
#: Seconds by which a time-out may be late: the clock ticks once a second.
SWEEP = 2


def kept_by(server):
    """Return how many bytes the server keeps of what is on its way."""
    return server.factory.storage.in_memory + server.factory.storage.on_disk


def answer_large(request):
    request.respond("200 OK", TEXT, LARGE)


# -- time-outs ----------------------------------------------------------------------------------------------


def test_connection_without_a_request(memory_server):
    """A client that never says anything is let go of after header_timeout."""
    server = memory_server(**TIMES)
    client = server.connect()
    server.wait(5)
    assert not client.closed
    server.wait(SWEEP)
    assert (client.closed, client.received) == (True, b"")


def test_stall_of_the_server_is_not_the_clients_fault(memory_server):
    """When the reactor was held up beyond every time-out, what clients sent meanwhile is answered."""
    server = memory_server(**TIMES)
    fresh, kept = server.connect(), server.connect()
    kept.send(GET % b"/1")
    server.clock.advance(60)
    assert not fresh.closed
    assert not kept.closed
    fresh.send(GET % b"/2")
    kept.send(GET % b"/3")
    assert (fresh.codes, kept.codes) == ([200], [200, 200])


def test_header_one_byte_a_second(memory_server):
    """A header that comes one byte a second is refused after header_timeout: bytes do not prolong it."""
    server = memory_server(**TIMES)
    client = server.connect()
    head = GET % b"/"
    for position in range(len(head)):
        client.send(head[position : position + 1])
        server.wait(1)
        if client.closed:
            break
    assert client.codes == [408]
    assert position <= len(b"GET ") + 5 + SWEEP
    assert server.requests == []


def test_header_time_begins_with_the_request(memory_server):
    """The time between two requests does not count against the header of the second."""
    server = memory_server(**TIMES)
    client = server.connect()
    client.send(GET % b"/1")
    server.wait(6)
    client.send(b"GET /2 HT")
    server.wait(4)
    client.send(b"TP/1.1\r\nHost: a\r\n\r\n")
    assert client.codes == [200, 200]


def test_keep_alive(memory_server):
    """An idle connection is closed after keep_alive, without a word; a request before that starts it anew."""
    server = memory_server(**TIMES)
    client = server.connect()
    for _ in range(3):
        client.send(GET % b"/")
        server.wait(6)
    assert not client.closed
    server.wait(SWEEP)
    assert client.closed
    assert client.codes == [200, 200, 200]


def test_line_ends_do_not_keep_alive(memory_server):
    """Empty lines between requests are no sign of life."""
    server = memory_server(**TIMES)
    client = server.connect()
    client.send(GET % b"/")
    for _ in range(7 + SWEEP):
        client.send(b"\r\n")
        server.wait(1)
    assert client.closed


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 90",
        b"Transfer-Encoding: chunked",
        b"Content-Length: 90\r\nUpgrade: x\r\nConnection: upgrade",
    ],
)
def test_body_that_stops(memory_server, framing):
    """A body that stops arriving is refused after response_timeout; one that comes slowly is not."""
    server = memory_server(**TIMES)
    client = server.connect()
    client.send(POST % framing)
    for _ in range(5):
        client.send(b"1\r\nx\r\n")
        server.wait(9)
    assert client.received == b""
    server.wait(1 + SWEEP)
    assert (client.codes, client.closed) == ([408], True)


@pytest.mark.parametrize("head", [POST % b"Content-Length: 90", b"POST /p HTTP/1.1\r\nHo"])
def test_message_that_stops_behind_a_slow_request(memory_server, head):
    """A pipelined message's time begins when the answer to the request before it is out."""
    app = Later()
    server = memory_server(app, **TIMES)
    client = server.connect()
    client.send(GET % b"/" + head)
    server.wait(100)
    app.answer()
    server.wait(4)
    assert client.codes == [200]
    server.wait(6 + SWEEP)
    assert (client.codes, client.closed) == ([200, 408], True)


@pytest.mark.parametrize("behind", [b"", b"GET / HT", POST % b"Content-Length: 90", GET % b"/2"])
def test_slow_app_is_not_cut_off(memory_server, behind):
    """However long the app takes, and whatever the client sends meanwhile, it may answer."""
    app = Later()
    server = memory_server(app, **TIMES)
    client = server.connect()
    client.send(GET % b"/")
    client.send(behind)
    server.wait(1000)
    app.answer()
    assert client.codes == [200]


@pytest.mark.parametrize("size", [10, 40_000, 300_000])
def test_slow_stream_is_not_cut_off(memory_server, size):
    """An app may take its time between the pieces of its answer, be they small or large."""
    app = Later()
    server = memory_server(app, **TIMES)
    client = server.connect()
    client.send(GET % b"/")
    request = app.waiting.pop()
    request.start("200 OK", TEXT)
    for _ in range(3):
        request.send(b"x" * size)
        server.wait(100)
    request.end()
    assert client.answers()[0].body == b"x" * 3 * size


def test_steady_slow_reader_is_not_cut_off(memory_server):
    """A client that reads slowly but steadily gets all of a large answer, and can then go on."""
    server = memory_server(answer_large, response_timeout=10, keep_alive=20)
    client = server.connect()
    client.transport.stalled = True
    client.send(GET % b"/")
    while len(client.transport.held):
        server.wait(15)
        client.transport.take(100_000)
    client.transport.stalled = False
    client.send(GET % b"/")
    assert [answer.body for answer in client.answers()] == [LARGE, LARGE]


def test_stalled_reader_is_cut_off(memory_server):
    """A client that stops reading is cut off after twice response_timeout, and the app told."""
    server = memory_server(answer_large, **TIMES)
    client = server.connect()
    client.transport.stalled = True
    client.send(GET % b"/")
    server.wait(15)
    client.transport.take(100_000)
    server.wait(20)
    assert not client.aborted
    server.wait(SWEEP)
    assert client.aborted
    assert server.requests[0].gone


def test_stalled_reader_of_an_endless_stream(memory_server):
    """What the app goes on writing is no progress of the client's."""
    app = Later()
    server = memory_server(app, **TIMES)
    client = server.connect()
    client.transport.stalled = True
    client.send(GET % b"/")
    app.waiting[0].start("200 OK", TEXT)
    for _ in range(20 + SWEEP + 1):
        app.waiting[0].send(b"x" * 70_000)
        server.wait(1)
    assert client.aborted


def test_stalled_reader_of_the_rest(memory_server):
    """A client that does not take what the transport still holds at the end is cut off in the end."""
    server = memory_server(**TIMES)
    client = server.connect()
    client.transport.stalled = True
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert client.closed
    server.wait(5 + 20)
    assert not client.aborted
    server.wait(2 * SWEEP)
    assert client.aborted


def test_one_failing_timeout(memory_server, log):
    """A defect in ending one connection does not end the time-outs of the others."""
    server = memory_server(**TIMES)
    first, second = server.connect(), server.connect()

    def fail():
        raise RuntimeError("defect")

    first.transport.loseConnection = fail
    server.wait(5 + SWEEP)
    assert (first.aborted, second.closed) == (True, True)
    assert [event["log_failure"].type for event in log] == [RuntimeError]


def test_clock_begins_with_listening(memory_server):
    """A factory that was made long before it listens does not close its first connections at once."""
    server = memory_server(**TIMES)
    server.stop_listening()
    server.clock.advance(1000)
    server.factory.doStart()
    client = server.connect()
    server.wait(5)
    assert not client.closed


# -- clients that go ----------------------------------------------------------------------------------------


def test_half_closed_client_gets_its_answers(memory_server):
    """A client that has closed its half of the connection gets all that it asked for, then the other half."""
    app = Later()
    client = memory_server(app).connect()
    client.send(GET % b"/0" + GET % b"/1")
    client.end_sending()
    app.answer()
    assert not client.closed
    app.answer()
    assert [answer.body for answer in client.answers()] == [b"/0", b"/1"]
    assert client.closed


@pytest.mark.parametrize("sent", [b"", b"GET / HT", POST % b"Content-Length: 5" + b"he", GET % b"/"])
def test_half_closed_idle_client(memory_server, sent):
    """A client that will send nothing more, and waits for nothing, is let go of."""
    client = memory_server().connect()
    client.send(sent)
    client.end_sending()
    assert client.closed


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HT", POST % b"Content-Length: 900000" + b"x" * 600_000, GET % b"/"]
)
def test_lost_between_requests(memory_server, sent):
    """A connection that breaks while nothing is answered leaves nothing behind, not even a temporary file."""
    server = memory_server()
    client = server.connect()
    client.send(sent)
    client.disconnect()
    assert not server.factory.channels
    assert kept_by(server) == 0
    assert len(server.requests) == sent.startswith(b"GET / HTTP")


def test_lost_while_answering(memory_server):
    """Who waits for the end of an answer learns that the client is gone; nothing is left behind."""
    app = Later()
    server = memory_server(app)
    client = server.connect()
    client.send(POST % b"Content-Length: 600000" + b"x" * 600_000 + GET % b"/2")
    request = app.waiting[0]
    body = request.content
    outcome = []
    request.notifyFinish().addBoth(outcome.append)
    client.disconnect()
    assert request.gone
    assert body.closed
    assert len(outcome) == 1
    assert outcome[0].value.args == ()
    assert len(server.observed) == 2
    assert len(server.requests) == 1
    app.answer()  # too late, and harmless
    assert client.received == b""


def test_lost_while_reading(memory_server):
    """A client that goes in the middle of a large answer frees what waited for it."""
    server = memory_server(lambda request: request.respond("200 OK", TEXT, b"x" * 3_000_000))
    client = server.connect()
    client.transport.stalled = True
    client.send(GET % b"/")
    assert server.requests[0].waiting > 2_000_000
    backlog = client.channel.output._backlog._file
    client.disconnect()
    assert backlog.closed
    assert server.requests[0].waiting == 0
    assert server.observed == server.requests


def test_lost_while_refused(memory_server):
    """A client that goes while it is refused leaves nothing behind."""
    server = memory_server()
    client = server.connect()
    client.send(POST % b"Content-Length: 9999999" + b"x" * 1000)
    client.disconnect()
    assert not server.factory.channels


# -- refusals must be readable ------------------------------------------------------------------------------


def test_refused_client_may_go_on_sending(memory_server):
    """Bytes after a refusal are read and forgotten, and prolong the end only so far."""
    server = memory_server()
    client = server.connect()
    goodbyes = []
    # As TLS does, which waits for the client's goodbye after its own.
    client.transport.loseConnection = lambda: goodbyes.append(server.clock.seconds())
    client.send(POST % b"Content-Length: 99999999")
    for _ in range(8):
        client.send(b"x" * 60_000)
        server.wait(4)
    assert client.codes == [413]
    assert goodbyes == [0, 31]
    assert server.requests == []


# -- a server that is full, or stops ------------------------------------------------------------------------


def test_connections_max(memory_server):
    """A connection above the limit gets a 503, and the older ones are still served."""
    server = memory_server(connections_max=2)
    first, second, third = (server.connect() for _ in range(3))
    first.send(GET % b"/1")
    second.send(GET % b"/2")
    assert (first.codes, second.codes) == ([200], [200])
    third.send(GET % b"/3")
    answer = third.answers()[0]
    assert (answer.code, answer.fields["retry-after"], third.closed) == (503, "1", True)
    first.disconnect()
    server.connect().send(GET % b"/4")
    assert [request.uri for request in server.requests] == [b"/1", b"/2", b"/4"]


def test_stop(memory_server):
    """A stop closes idle connections, lets what has begun end, says so, and tells when all are gone."""
    app = Later()
    server = memory_server(app)
    idle, answering, sending = (server.connect() for _ in range(3))
    answering.send(GET % b"/1" + GET % b"/never")
    sending.send(b"GET /2 HTTP/1.1\r\nHo")
    server.stop_listening()
    ended = []
    server.factory.finish().addCallback(lambda _: ended.append([request.uri for request in server.observed]))
    server.clock.advance(0)
    assert (idle.closed, answering.closed, sending.closed) == (True, False, False)
    app.answer()
    server.wait(5)
    sending.send(b"st: a\r\n\r\n")
    app.answer()
    for client in (answering, sending):
        assert [answer.fields["connection"] for answer in client.answers()] == ["close"]
        assert client.closed
    assert ended == []
    server.clock.advance(0)
    assert ended == [[b"/1", b"/2"]]


def test_stop_while_idle(memory_server):
    """Without connections the stop is over at once."""
    server = memory_server()
    assert server.factory.finish().called


def test_idle_connections_get_the_time_that_is_given(memory_server):
    """A client may be about to ask, or in its handshake. The time counts from the stop, not from a tick."""
    server = memory_server()
    client = server.connect()
    server.clock.advance(0.9)
    ended = server.factory.finish(1.0)
    server.clock.advance(0.2)
    assert not client.closed
    client.send(GET % b"/")
    assert b"200 OK" in client.received
    server.clock.advance(0)
    assert ended.called


def test_abort(memory_server):
    """Connections that are cut are over only when everybody was told, so that the log can be closed after."""
    server = memory_server(Later())
    client = server.connect()
    client.send(GET % b"/")
    observed = []
    server.factory.finish().addCallback(lambda _: observed.extend(server.observed))
    server.factory.abort()
    server.clock.advance(0)
    assert client.aborted
    assert observed == server.requests


def test_no_timer_left(memory_server):
    """Time-outs are watched while there are connections, and not after the last is gone."""
    server = memory_server()
    client = server.connect()
    server.stop_listening()
    assert server.clock.getDelayedCalls()
    client.disconnect()
    assert not server.clock.getDelayedCalls()
