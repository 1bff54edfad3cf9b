"""Bodies that are streamed, in both directions, and heads that need more than the usual."""

import pytest
from http2_client import Client, serve
from http_channel import TEXT, Later, MemoryServer

WINDOW = 128 * 1024


class Sink:
    """Takes a body."""

    def __init__(self):
        self.received = b""
        self.ended = []
        self.producer = None

    def registerProducer(self, producer, streaming):
        assert streaming
        self.producer = producer

    def unregisterProducer(self):
        pass

    def write(self, data):
        self.received += data

    def end(self, error):
        self.ended.append(error)


class Streaming:
    """A resource that streams the body of each request to a sink, and answers when the test says so."""

    def __init__(self, size_max=None, paused=False):
        self.sink = Sink()
        self.size_max = size_max
        self.paused = paused
        self.request = None

    def judge(self, request):
        self.request = request
        request.stream_body(self.sink, self.size_max)
        if self.paused:
            self.sink.producer.pauseProducing()
        return True


def test_a_body_is_streamed():
    streaming = Streaming()
    _, client = serve(None, streaming.judge)
    stream = client.ask("/up", "POST", body=b"one ", ends=False)
    assert streaming.sink.received == b"one "
    for _ in range(50):
        client.send(stream, b"x" * 16_384, ends=False)
    client.send(stream, b"two")
    assert len(streaming.sink.received) == 7 + 50 * 16_384
    assert streaming.sink.ended == [None]
    streaming.request.respond("200 OK", TEXT, b"thanks")
    client.run()
    reply = client.replies[stream]
    assert (reply.body, reply.ended, reply.reset) == (b"thanks", True, None)


def test_a_sink_that_pauses_holds_its_client():
    streaming = Streaming(paused=True)
    server, client = serve(None, streaming.judge, response_timeout=3)
    stream = client.ask("/up", "POST", body=b"", ends=False)
    client.send(stream, b"x" * WINDOW, ends=False)
    assert client.h2.local_flow_control_window(stream) == 0
    server.wait(10)  # no time-out runs
    assert stream not in client.replies
    streaming.sink.producer.resumeProducing()
    client.run()
    assert len(streaming.sink.received) == WINDOW
    assert client.h2.local_flow_control_window(stream) == WINDOW
    client.send(stream, b"end")
    assert streaming.sink.ended == [None]


def test_a_streamed_body_that_is_too_long():
    streaming = Streaming(size_max=10)
    _, client = serve(None, streaming.judge)
    reply = client.get("/up", "POST", body=b"x" * 11)
    assert reply.code == 413
    assert streaming.sink.ended[0].code == 413
    assert client.get("/up", "POST", headers=[("content-length", "11")], body=b"x" * 11).code == 413


def test_a_client_that_resets_its_upload():
    streaming = Streaming()
    server, client = serve(None, streaming.judge)
    stream = client.ask("/up", "POST", body=b"begin", ends=False)
    client.h2.reset_stream(stream)
    client.run()
    (error,) = streaming.sink.ended
    assert error is not None
    assert server.observed == [streaming.request]


def test_a_response_before_the_end_of_a_streamed_body():
    """The response comes first, and by itself: some clients drop it when the reset comes along."""
    streaming = Streaming()
    server, client = serve(None, streaming.judge)
    stream = client.ask("/up", "POST", body=b"begin", ends=False)
    streaming.request.respond("200 OK", TEXT, b"enough")
    client.run()
    reply = client.replies[stream]
    assert (reply.body, reply.ended, reply.reset) == (b"enough", True, None)
    client.send(stream, b"more", ends=False)
    server.wait(1)
    client.run()
    assert (reply.body, reply.ended, reply.reset) == (b"enough", True, 0)
    assert len(streaming.sink.ended) == 1


def test_a_full_disk_refuses_a_body(log_text):
    server, client = serve(buffers_max=100)
    assert client.get("/up", "POST", body=b"x" * 101).code == 503
    assert (
        "POST /up was refused with 503: its body cannot be kept: buffers_max = 100 is reached" in log_text()
    )
    assert server.factory.storage.in_memory == 0


def test_a_full_disk_cuts_a_response(log_text):
    server = MemoryServer(lambda request: request.respond("200 OK", TEXT, b"x" * 100_000), buffers_max=100)
    client = Client(server, taking=False)
    reply = client.get()
    assert (reply.ended, reply.reset) == (False, 2)
    assert "GET /: its client does not read, and the response cannot be kept" in log_text()
    assert server.factory.storage.in_memory == 0


class Producer:
    """Makes pieces as long as it may."""

    def __init__(self, request, pieces):
        self.request, self.left, self.most = request, pieces, 0

    def resumeProducing(self):
        if self.left:
            self.left -= 1
            self.request.write(b"p" * 10_000)
            self.most = max(self.most, self.request.waiting)
        else:
            self.request.unregisterProducer()
            self.request.finish()

    def stopProducing(self):
        pass


def test_a_producer_makes_as_much_as_its_client_takes():
    made = []

    def app(request):
        made.append(Producer(request, 100))
        request.registerProducer(made[0], False)

    server = MemoryServer(app)
    client = Client(server, taking=False)
    stream = client.ask()
    assert made[0].left == 93
    client.taking = True
    client.h2.increment_flow_control_window(1 << 20)
    client.h2.increment_flow_control_window(1 << 20, stream)
    client.run()
    server.wait(1)
    client.run()
    assert len(client.replies[stream].body) == 1_000_000
    assert made[0].most <= 10_000


def test_an_app_is_told_when_less_waits():
    app = Later()
    server = MemoryServer(app)
    client = Client(server, taking=False)
    stream = client.ask()
    (request,) = app.waiting
    calls = []
    request.start("200 OK", [])
    request.send(b"x" * 100_000)
    assert request.waiting == 100_000 - 65_535
    request.when_below(1000, lambda: calls.append(request.waiting))
    client.h2.increment_flow_control_window(1 << 20)
    client.h2.increment_flow_control_window(20_000, stream)
    client.run()
    assert calls == []
    client.h2.increment_flow_control_window(20_000, stream)
    client.run()
    assert calls == [0]
    request.end()
    client.run()
    assert client.replies[stream].ended


@pytest.mark.parametrize("status", ["418 I'm a teapot", "511 Network Authentication Required", "200 OK"])
def test_any_status(status):
    _, client = serve(lambda request: request.respond(status, [("X-Long", "y" * 40_000)], b""))
    reply = client.get()
    assert (reply.code, len(reply["x-long"]), reply["content-length"]) == (int(status[:3]), 40_000, "0")


@pytest.mark.parametrize("field", [("X", "a\r\nY: b"), ("a b", "c"), ("", "x"), ("X:", "y")])
def test_fields_that_would_be_malformed_are_an_error_of_the_app(field):
    app = Later()
    _, client = serve(app)
    stream = client.ask()
    request = app.waiting.pop()
    with pytest.raises(ValueError, match="control character"):
        request.start("200 OK", [field])
    request.fail(500)
    client.run()
    assert client.replies[stream].code == 500


def test_fields_of_the_app_stand_for_those_of_the_server():
    own = [
        ("Date", "today"),
        ("Server", "mine"),
        ("Keep-Alive", "1"),
        ("Set-Cookie", "a"),
        ("Set-Cookie", "b"),
    ]
    _, client = serve(lambda request: request.respond("200 OK", own, b""))
    fields = client.get().fields
    assert fields[1:] == [
        ("date", "today"),
        ("server", "mine"),
        ("set-cookie", "a"),
        ("set-cookie", "b"),
        ("content-length", "0"),
    ]


def test_ids_and_strictness():
    def app(request):
        request.identified()
        request.connection.secure = True
        request.respond("200 OK", TEXT, b"")

    server, client = serve(app)
    server.factory.names_requests, server.factory.strictness = True, "max-age=9"
    reply = client.get(headers=[("x-request-id", "given-by-client-1")])
    assert (reply["x-request-id"], reply["strict-transport-security"]) == ("given-by-client-1", "max-age=9")


def test_what_a_proxy_says_of_the_client_holds_for_one_stream():
    def app(request):
        request.respond("200 OK", TEXT, request.connection.addresses["REMOTE_ADDR"].encode())

    def show(request):
        if request.field(b"x-forwarded-for"):
            address = request.connection.client
            request.connection.set_addresses(type(address)("TCP", "10.9.8.7", 0), request.connection.server)

    server, client = serve(app)
    server.factory.forwarding = show
    assert client.get(headers=[("x-forwarded-for", "10.9.8.7")]).body == b"10.9.8.7"
    assert client.get().body == b"192.0.2.7"


def test_a_stream_is_no_connection_to_take_over():
    from skitai.errors import MisuseError

    app = Later()
    _, client = serve(app)
    client.ask()
    with pytest.raises(MisuseError):
        app.waiting[0].take_over(None, "101 Switching Protocols")
    with pytest.raises(MisuseError):
        app.waiting[0].connection.take_over(app.waiting[0], None, "101 Switching Protocols", ())
