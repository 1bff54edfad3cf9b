"""Requests and responses of HTTP/2, with h2 as the client."""

import pytest
from http2_client import PREFACE, Client, frame, open_connection, serve
from http_channel import TEXT, Later, MemoryServer, read_answers


def test_a_request_is_answered():
    server, client = serve()
    reply = client.get("/hello?x=1")
    assert (reply.code, reply.body, reply.ended) == (200, b"GET /hello?x=1", True)
    assert reply["content-type"] == "text/plain"
    assert reply["content-length"] == "14"
    assert reply["date"] == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert reply["server"] == "Skitai"
    (request,) = server.requests
    assert (request.method, request.path, request.query) == (b"GET", b"/hello", b"x=1")
    assert (request.version, request.authority) == ("2", b"example.org")
    assert server.observed == [request]
    assert request.status_code == 200


def test_many_requests_share_a_connection_and_overtake_each_other():
    app = Later()
    server, client = serve(app)
    streams = [client.ask(f"/{number}") for number in range(32)]
    assert server.factory.statistics()["busy"] == 32
    app.waiting.reverse()
    while app.waiting:
        app.answer()
    client.run()
    assert [client.replies[stream].body for stream in streams] == [b"/%d" % number for number in range(32)]
    assert server.factory.statistics() == {"open": 1, "busy": 0, "limit": 20000, "requests": 32}


def test_http1_is_spoken_by_who_speaks_it():
    server = MemoryServer()
    transport = open_connection(server)
    for byte in b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi":
        transport.feed(bytes([byte]))
    server.clock.advance(0)
    ((answer,), rest) = read_answers(transport.sent)
    assert (answer.body, rest) == (b"PUT /x hi", b"")
    assert len(server.factory.channels) == 1


def test_the_preface_may_come_in_pieces():
    server = MemoryServer()
    transport = open_connection(server)
    for byte in PREFACE:
        transport.feed(bytes([byte]))
    server.clock.advance(0)
    assert transport.sent[3] == 4  # SETTINGS


def test_a_body_is_collected():
    _, client = serve()
    body = b"a" * 50_000
    assert client.get("/up", "POST", body=body).body == b"POST /up " + body


def test_a_body_in_pieces_larger_than_all_windows():
    _, client = serve()
    stream = client.ask("/up", "POST", body=b"x" * 16384, ends=False)
    for _ in range(200):
        client.send(stream, b"x" * 16384, ends=False)
    client.send(stream, b"", ends=True)
    assert len(client.replies[stream].body) == len(b"POST /up ") + 201 * 16384


def test_a_large_response_comes_as_the_client_takes_it():
    def app(request):
        request.respond("200 OK", TEXT, b"x" * 5_000_000)

    server = MemoryServer(app)
    client = Client(server, taking=False)
    stream = client.ask()
    reply = client.replies[stream]
    assert len(reply.body) == 65_535
    assert not reply.ended
    client.taking = True
    client.h2.increment_flow_control_window(1 << 20)
    client.h2.increment_flow_control_window(1 << 20, stream)
    client.run()
    assert len(reply.body) == 5_000_000
    assert reply.ended
    assert server.factory.storage.in_memory == server.factory.storage.on_disk == 0


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_statuses_without_a_body(status):
    _, client = serve(lambda request: request.respond(status, [], b"never sent"))
    reply = client.get()
    assert (reply.code, reply.body, reply.ended) == (int(status[:3]), b"", True)


def test_head():
    _, client = serve()
    reply = client.get("/x", "HEAD")
    assert (reply.body, reply.ended, reply["content-length"]) == (b"", True, "7")


def test_a_response_of_unknown_length_ends_with_its_stream():
    def app(request):
        request.start("200 OK", [("Connection", "close"), ("Transfer-Encoding", "chunked")])
        request.send_now(b"one ")
        request.send(b"two")
        request.end()

    _, client = serve(app)
    reply = client.get()
    assert (reply.body, reply.ended) == (b"one two", True)
    assert {name for name, _ in reply.fields} == {":status", "date", "server"}


def test_a_response_that_breaks_off_is_reset():
    def app(request):
        request.start("200 OK", [("Content-Length", "10")])
        request.send(b"four")
        request.end()

    _, client = serve(app)
    reply = client.get()
    assert (reply.body, reply.ended, reply.reset) == (b"four", False, 2)
    assert client.get().code == 200
    assert not client.closed


def test_100_continue():
    _, client = serve()
    stream = client.ask("/up", "POST", headers=[("expect", "100-continue")], ends=False)
    reply = client.replies[stream]
    assert reply.interim == ["100"]
    client.send(stream, b"now")
    assert reply.body == b"POST /up now"


def test_trailers_are_ignored():
    _, client = serve()
    stream = client.ask("/up", "POST", body=b"x", ends=False)
    client.h2.send_headers(stream, [("x-sum", "1")], end_stream=True)
    client.run()
    assert client.replies[stream].body == b"POST /up x"


def test_cookies_come_together():
    server, client = serve()
    client.get(headers=[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")])
    (request,) = server.requests
    assert request.field(b"cookie") == b"a=1; b=2"
    assert request.field(b"host") == b"example.org"


def test_a_client_that_resets_its_stream_has_left():
    app = Later()
    server, client = serve(app)
    stream = client.ask()
    (request,) = app.waiting
    left = []
    request.notifyFinish().addErrback(left.append)
    client.h2.reset_stream(stream)
    client.run()
    assert request.gone
    assert len(left) == 1
    assert server.observed == [request]
    app.answer()  # nobody gets it
    following = client.ask("/next")
    app.answer()
    client.run()
    assert client.replies[following].code == 200


def test_a_response_before_its_body_ends_the_upload():
    def judge(request):
        request.respond("403 Forbidden", TEXT, b"no")
        return True

    server, client = serve(None, judge)
    stream = client.ask("/up", "POST", body=b"x" * 100, ends=False)
    server.wait(1)
    client.run()
    reply = client.replies[stream]
    assert (reply.code, reply.body, reply.ended, reply.reset) == (403, b"no", True, 0)
    client.raw(frame(0, 0, stream, b"on its way"))  # is ignored
    assert not client.closed
    assert client.get("/next", "GET").code == 200
