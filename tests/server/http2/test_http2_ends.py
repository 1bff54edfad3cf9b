"""Time-outs, clients that leave, and the stop of the server."""

from http2_client import LARGEST, Client, frame, open_connection, serve
from http_channel import TEXT, Later, MemoryServer
from twisted.internet.error import ConnectionLost


def test_an_idle_connection_is_closed():
    server, client = serve(keep_alive=5)
    client.get()
    server.wait(4)
    assert not client.closed
    client.raw(frame(6, 0, 0, b"12345678"))  # a ping is no request
    server.wait(3)
    client.run()
    assert client.goaways == [(1, 0, b"")]
    assert client.closed


def test_a_connection_on_which_nothing_comes_is_closed():
    server = MemoryServer(header_timeout=5)
    transport = open_connection(server)
    server.wait(7)
    assert transport.closing
    server.clock.advance(0)
    assert server.factory.channels == set()


def test_a_head_that_does_not_end():
    server, client = serve(header_timeout=5)
    client.raw(frame(1, 1, 1, b"\x82"))
    for _ in range(7):
        server.wait(1)
        if not client.closed:
            client.raw(frame(9, 0, 1, b"\x82"))
    assert client.closed


def test_a_body_that_does_not_come():
    server, client = serve(response_timeout=3)
    stream = client.ask("/up", "POST", body=b"x", ends=False)
    other = client.ask("/other", "POST", body=b"x", ends=False)
    for _ in range(6):
        server.wait(1)
        client.send(other, b"y", ends=False)
    assert client.replies[stream].code == 408
    client.send(other, b"z")
    assert client.replies[other].body == b"POST /other xyyyyyyz"
    assert not client.closed


def test_a_slow_app_has_its_time():
    app = Later()
    server, client = serve(app, response_timeout=3, keep_alive=3)
    stream = client.ask()
    server.wait(60)
    app.answer()
    client.run()
    assert client.replies[stream].code == 200
    server.wait(2)
    assert not client.closed


def test_a_response_that_its_client_never_takes_is_cut_alone():
    def app(request):
        request.respond("200 OK", TEXT, b"x" * 100_000 if request.path == b"/large" else b"small")

    server = MemoryServer(app, response_timeout=3)
    client = Client(server, taking=False)
    client.h2.increment_flow_control_window(1 << 20)
    stream = client.ask("/large")
    (request,) = server.requests
    server.wait(9)
    client.run()
    assert client.replies[stream].reset == 8
    assert request.gone
    assert server.observed == [request]
    assert server.factory.storage.in_memory == 0
    assert client.get("/small").body == b"small"


def test_a_client_that_takes_nothing_from_its_socket_is_cut():
    server = MemoryServer(
        lambda request: request.respond("200 OK", TEXT, b"x" * 1_000_000), response_timeout=3
    )
    client = Client(server, settings={4: 1 << 24})
    client.h2.increment_flow_control_window(1 << 24)
    client.transport.stalled = True
    client.ask()
    server.wait(9)
    assert client.transport.aborted
    server.clock.advance(0)
    assert server.factory.channels == set()
    assert server.factory.storage.in_memory == 0


def test_a_connection_that_breaks_is_told_to_all_its_requests():
    app = Later()
    server, client = serve(app)
    reasons = []
    for _ in range(3):
        client.ask()
    for request in app.waiting:
        request.notifyFinish().addErrback(reasons.append)
    client.transport.lose()
    assert [reason.type for reason in reasons] == [ConnectionLost] * 3
    assert len(server.observed) == 3
    assert server.factory.channels == set()
    app.answer()  # nobody gets it, and nothing breaks


def test_a_client_that_says_goodbye_gets_its_responses():
    app = Later()
    server, client = serve(app)
    stream = client.ask()
    client.raw(frame(7, 0, 0, b"\0" * 8))
    assert not client.closed
    app.answer(b"late")
    client.run()
    assert client.replies[stream].body == b"late"
    assert client.closed
    assert server.factory.channels == set()


def test_a_stop_asks_the_client_and_serves_what_was_on_its_way():
    app = Later()
    server, client = serve(app)
    client.ask("/first")
    done = []
    server.factory.finish().addCallback(done.append)
    server.clock.advance(0)
    on_its_way = client.h2.get_next_available_stream_id()
    client.raw(frame(1, 5, on_its_way, b"\x82\x86\x41\x01a\x84"))  # sent before GOAWAY was read
    assert client.goaways == [(LARGEST, 0, b""), (on_its_way, 0, b"")]  # h2 has answered the ping
    client.raw(frame(1, 5, on_its_way + 2, b"\x82\x86\x41\x01a\x84"))
    assert client.resets == {on_its_way + 2: 7}
    assert len(app.waiting) == 2
    app.answer()
    app.answer()
    server.clock.advance(0)
    assert client.transport.closing
    server.clock.advance(0)
    assert done == [None]


def test_a_stop_does_not_wait_for_an_answer_to_its_ping():
    server, client = serve(Later())
    client.ask()
    client.transport.stalled = True  # the client reads nothing
    server.factory.finish()
    server.wait(3)
    client.transport.stalled = False
    client.transport.take(1 << 20)
    client.run()
    assert [goaway[0] for goaway in client.goaways] == [LARGEST, 1]


def test_a_stop_closes_idle_connections():
    server, client = serve()
    client.get()
    done = []
    server.factory.finish(1.0).addCallback(done.append)
    client.run()
    server.clock.advance(0)
    assert client.goaways[-1] == (1, 0, b"")
    assert done == [None]


def test_a_stop_closes_connections_that_have_said_nothing():
    server = MemoryServer()
    transport = open_connection(server)
    done = []
    server.factory.finish().addCallback(done.append)
    server.clock.advance(0)
    assert transport.closing
    assert done == [None]


def test_connections_above_the_limit_get_503():
    server = MemoryServer(connections_max=1)
    first, second = Client(server), Client(server)
    assert first.get().code == 200
    assert second.get().code == 503
    assert second.get("/up", "POST", body=b"x").code == 503


def test_an_aborted_response_leaves_the_others():
    app = Later()
    _, client = serve(app)
    first, second = client.ask("/1"), client.ask("/2")
    request = app.waiting.pop(0)
    request.start("200 OK", [])
    request.send_now(b"begin")
    request.abort()
    client.run()
    assert (client.replies[first].body, client.replies[first].reset) == (b"begin", 2)
    assert request.gone
    app.answer()
    client.run()
    assert client.replies[second].body == b"/2"
