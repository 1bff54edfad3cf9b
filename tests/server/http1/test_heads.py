"""Requests that are judged when only their head is there: refused early, or their body streamed."""

import socket

import pytest
from head_resources import AtHead, Sink, Streaming, site_of
from http_channel import TEXT, Later
from twisted.web.resource import Resource
from unavailable import Unavailable

from skitai.errors import MisuseError
from skitai.server.site import Mounts, Site
from skitai.server.static.directory import StaticDirectory
from skitai.worker.overview import resident_bytes

GET = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n"
HEAD = POST % b"Content-Length: 9000"
EXPECTING = POST % b"Content-Length: 9000\r\nExpect: 100-continue"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
TIMES = {"header_timeout": 5, "keep_alive": 7, "response_timeout": 10}


@pytest.fixture
def serve_site(memory_server):
    """Return ``serve_site(site_or_resource, **limits)``: a server that asks it at the head."""

    def start(site, **limits):
        site = site if isinstance(site, Site) else site_of(site)
        return memory_server(site.handle, site.judge, **limits)

    return start


def kept_by(server):
    """Return how many bytes the server keeps of what is on its way."""
    return server.factory.storage.in_memory + server.factory.storage.on_disk


# -- answered at the head -----------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    """A site with a folder at /files and nothing else."""
    (tmp_path / "a.txt").write_text("a file")
    return Site(Mounts([(b"", StaticDirectory(tmp_path, 1))], []))


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        (b"POST", b"/nowhere", 404),
        (b"PUT", b"/a.txt", 405),
        (b"GET", b"/a.txt", 200),
        (b"GET", b"/nowhere", 404),
    ],
)
@pytest.mark.parametrize("framing", [b"Content-Length: 9000000", b"Transfer-Encoding: chunked"])
def test_body_for_nothing(serve_site, files, method, path, code, framing):
    """A body that nobody wants is not waited for: the answer comes at the head, and is the last."""
    server = serve_site(files)
    client = server.connect()
    client.send(b"%b %b HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % (method, path, framing))
    assert client.codes == [code]
    assert client.answers()[0].fields["connection"] == "close"
    client.send(b"5\r\nhello\r\n" * 100)
    assert kept_by(server) == 0
    assert client.codes == [code]


def test_no_host(serve_site):
    """A body for a host that nobody serves is not waited for."""
    client = serve_site(Site(None)).connect()
    client.send(HEAD)
    assert client.codes == [503]


@pytest.mark.parametrize("resource", [Unavailable, lambda: StaticDirectory("/", 1)])
def test_resources_without_use_for_a_body(serve_site, resource):
    """A mount point that is out of order, or that has files, answers at the head."""
    client = serve_site(resource()).connect()
    client.send(HEAD)
    assert client.codes in ([503], [405])


def test_small_body_for_nothing(serve_site, files):
    """Where the body came with the head, the connection goes on after a refusal."""
    client = serve_site(files).connect()
    client.send(POST % b"Content-Length: 5" + b"hello" + GET % b"/a.txt")
    assert client.codes == [404, 200]
    assert not client.closed


def test_refusal_can_be_read(serve_site, files):
    """After an answer at the head the client's bytes are read for a while and forgotten (RFC 9112, 9.6)."""
    server = serve_site(files)
    client = server.connect()
    client.send(HEAD)
    assert client.closed
    for _ in range(3):
        client.send(b"x" * 3000)
        server.wait(1)
    assert not client.aborted
    assert client.codes == [404]


def test_refusal_behind_a_slow_request(serve_site):
    """A body whose request waits for its turn is not read, and judged when that comes."""
    app = Later()

    class Slow(Resource):
        isLeaf = True

        def render(self, request):
            app(request)
            return 1

    site = Site(Mounts([], [(b"/slow", Slow())]))
    server = serve_site(site)
    client = server.connect()
    client.send(GET % b"/slow" + HEAD)
    assert client.received == b""
    assert client.transport.reading_paused
    app.answer()
    assert client.codes == [200, 404]


def test_no_continue_for_nothing(serve_site, files):
    """Who waits with the body is not asked for it in vain."""
    client = serve_site(files).connect()
    client.send(EXPECTING)
    assert client.codes == [404]


def test_plain_requests_are_not_judged(serve_site):
    """Requests without a body reach a resource when they are whole, and only then."""
    resource = AtHead(lambda request: request.fail(400) or True)
    client = serve_site(resource).connect()
    client.send(GET % b"/1" + b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + POST % b"Content-Length: 0")
    assert resource.asked == []
    assert [answer.code for answer in client.answers("GET", "HEAD")] == [200, 200, 200]


def test_resource_that_leaves_the_body_to_the_server(serve_site):
    """A resource that does not take care of a request gets it when it is whole."""
    resource = AtHead(lambda request: False)
    client = serve_site(resource).connect()
    client.send(POST % b"Content-Length: 5" + b"he")
    assert len(resource.asked) == 1
    client.send(b"llo")
    assert client.answers()[0].body == b"POST /p hello"


def test_resource_that_fails_at_the_head(serve_site, log):
    """What a resource raises at the head is answered 500."""

    def fail(_):
        raise RuntimeError("defect")

    client = serve_site(AtHead(fail)).connect()
    client.send(HEAD)
    assert (client.codes, client.closed) == ([500], True)
    assert [event["log_failure"].type for event in log] == [RuntimeError]


def test_requests_are_counted_once(serve_site):
    """A request that is judged and then handled counts as one."""
    server = serve_site(AtHead(lambda request: False))
    client = server.connect()
    client.send(POST % b"Content-Length: 5" + b"hello" + GET % b"/")
    assert server.factory.statistics()["requests"] == 2
    assert len(server.observed) == 2


def test_stop_while_a_body_comes(serve_site):
    """A stop lets a body that has begun arrive, answers it and closes."""
    server = serve_site(AtHead(lambda request: False))
    client = server.connect()
    client.send(POST % b"Content-Length: 5" + b"he")
    server.factory.finish()
    client.send(b"llo")
    assert client.answers()[0].fields["connection"] == "close"
    assert client.closed


# -- streamed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [None, 1, 100])
@pytest.mark.parametrize("chunked", [False, True])
def test_streamed_body(serve_site, piece, chunked):
    """A sink gets the body as it comes, whole and in order, and the next request is taken as ever."""
    resource = Streaming()
    body = bytes(range(256)) * 4
    framed = POST % b"Content-Length: 1024" + body
    if chunked:
        framed = (
            POST % b"Transfer-Encoding: chunked"
            + b"100\r\n%b\r\n" % body[:256]
            + b"300\r\n%b\r\n" % body[256:]
        )
        framed += b"0\r\n\r\n"
    client = serve_site(resource).connect()
    client.send(framed * 2 + GET % b"/next", piece=piece)
    assert [answer.body for answer in client.answers()] == [b"1024", b"1024", b"GET /next"]
    assert [sink.body for sink in resource.sinks] == [body, body]
    assert all(sink.ended for sink in resource.sinks)
    assert not client.closed


def test_pieces_come_at_once(serve_site):
    """A piece reaches the sink before the next one is there."""
    resource = Streaming()
    client = serve_site(resource).connect()
    client.send(HEAD)
    client.send(b"a")
    client.send(b"b")
    assert resource.sinks[0].pieces == [b"a", b"b"]


def test_limits_of_apps_do_not_bound_a_stream(serve_site):
    """A streamed body may be as long as the resource says, not as the server collects."""
    resource = Streaming()
    client = serve_site(resource, body_max=100).connect()
    client.send(POST % b"Content-Length: 5000" + b"x" * 5000)
    client.send(POST % b"Transfer-Encoding: chunked" + b"1388\r\n" + b"x" * 5000 + b"\r\n0\r\n\r\n")
    assert [answer.body for answer in client.answers()] == [b"5000", b"5000"]


@pytest.mark.parametrize(
    "framed",
    [
        POST % b"Content-Length: 101",
        POST % b"Transfer-Encoding: chunked" + b"65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n",
    ],
)
def test_limit_of_a_stream(serve_site, framed):
    """A body that is longer than the resource takes is refused, and the sink told."""
    resource = Streaming(size_max=100)
    client = serve_site(resource).connect()
    client.send(framed)
    assert (client.codes, client.closed) == ([413], True)
    assert resource.sinks[0].error is not None
    assert not resource.sinks[0].ended


def test_back_pressure(serve_site):
    """While the sink is paused the connection is not read; nothing is lost and nothing piles up."""
    resource = Streaming()
    server = serve_site(resource)
    client = server.connect()
    client.send(POST % b"Content-Length: 1000000" + b"x" * 100_000)
    sink = resource.sinks[0]
    sink.producer.pauseProducing()
    before = len(sink.body)
    client.send(b"x" * 900_000)
    assert client.transport.reading_paused
    assert len(sink.body) == before
    assert kept_by(server) == 0
    assert len(client.transport.inbox) == 900_000
    for _ in range(20):
        sink.producer.resumeProducing()
        server.clock.advance(0)
    assert client.answers()[0].body == b"1000000"
    assert not client.transport.reading_paused


def test_sink_that_pauses_within_a_piece(serve_site):
    """A sink that takes one piece at a time gets them one at a time."""

    class Slow(Sink):
        def write(self, data):
            super().write(data)
            self.producer.pauseProducing()

    sinks = []

    def stream(request):
        sinks.append(Slow(request))
        request.stream_body(sinks[0])
        return True

    client = serve_site(AtHead(stream)).connect()
    client.send(POST % b"Transfer-Encoding: chunked")
    client.send(b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n" + GET % b"/2")
    for number in (1, 2):
        assert len(sinks[0].pieces) == number
        assert client.received == b""
        sinks[0].producer.resumeProducing()
    assert [answer.body for answer in client.answers()] == [b"3", b"GET /2"]


def test_continue_when_the_sink_wants_it(serve_site):
    """The client is told to send its body when the sink wants it, once."""
    resource = Streaming(paused=True)
    client = serve_site(resource).connect()
    client.send(EXPECTING)
    assert client.received == b""
    resource.sinks[0].producer.resumeProducing()
    assert client.received == CONTINUE
    resource.sinks[0].producer.pauseProducing()
    resource.sinks[0].producer.resumeProducing()
    client.send(b"x" * 9000)
    assert client.codes == [100, 200]


@pytest.mark.parametrize("ended", [True, False], ids=["whole", "begun"])
def test_no_continue_behind_the_answer(serve_site, ended):
    """Once the answer is on its way, 100 would stand within it, or behind it."""
    resource = Streaming(paused=True)
    client = serve_site(resource).connect()
    client.send(EXPECTING)
    [sink] = resource.sinks
    if ended:
        sink.answer()
    else:
        sink.request.start("200 OK", TEXT)
        sink.request.send_now(b"to be continued")
    sent = client.received
    sink.producer.resumeProducing()
    assert client.received == sent


def test_no_continue_for_a_sink_that_answers_at_once(serve_site, log):
    """A sink may answer as soon as it learns who would give it the body."""

    class Refusing(Sink):
        def registerProducer(self, producer, streaming):
            super().registerProducer(producer, streaming)
            self.answer()

    def stream(request):
        request.stream_body(Refusing(request))
        return True

    client = serve_site(AtHead(stream)).connect()
    client.send(EXPECTING)
    assert (client.codes, client.closed) == ([200], True)
    assert not log


def test_no_continue_for_the_next_request(serve_site):
    """A sink that is done cannot let the body of the next request come."""
    resource = Streaming(paused=True)
    client = serve_site(resource).connect()
    client.send(POST % b"Content-Length: 1" + b"x" + EXPECTING)
    first = resource.sinks[0].producer
    first.resumeProducing()
    first.resumeProducing()
    assert len(resource.sinks) == 2
    assert client.codes == [200]


def test_stream_that_begins_later(serve_site):
    """A resource may take its time before it says where the body goes; nothing is read until then."""
    asked = Later()
    server = serve_site(AtHead(lambda request: asked(request) or True), **TIMES)
    client = server.connect()
    client.send(HEAD + b"x" * 100)
    server.wait(100)
    assert client.transport.reading_paused
    sink = Sink(asked.waiting[0])
    asked.waiting[0].stream_body(sink)
    client.send(b"x" * 8900)
    assert client.answers()[0].body == b"9000"


def test_answer_before_the_end_of_the_body(serve_site):
    """A resource may answer before the body is there: that is the last answer, and the sink is told."""
    resource = Streaming()
    client = serve_site(resource).connect()
    client.send(HEAD + b"x" * 100)
    sink = resource.sinks[0]
    sink.request.respond("413 Content Too Large", TEXT, b"enough")
    assert client.codes == [413]
    client.send(b"x" * 8900 + GET % b"/hidden")
    assert (client.codes, client.closed) == ([413], True)
    assert sink.error is not None
    assert len(sink.body) == 100


def test_answer_while_the_body_comes(serve_site):
    """A resource may answer while the body comes, and the connection goes on."""
    sinks = []

    class Both(Sink):
        def registerProducer(self, producer, streaming):
            super().registerProducer(producer, streaming)
            self.request.start("200 OK", TEXT)

        def write(self, data):
            super().write(data)
            self.request.send_now(data.upper())

        def answer(self):
            self.request.end()

    def stream(request):
        sinks.append(Both(request))
        request.stream_body(sinks[-1])
        return True

    server = serve_site(AtHead(stream), **TIMES)
    client = server.connect()
    client.send(POST % b"Content-Length: 10" + b"hello")
    assert client.received.endswith(b"5\r\nHELLO\r\n")
    server.wait(60)  # how long a conversation lasts is their own affair
    client.send(b"world" + GET % b"/2")
    assert [answer.body for answer in client.answers()] == [b"HELLOWORLD", b"GET /2"]


def test_sink_that_wants_no_more(serve_site):
    """A sink that stops gets no more, and its resource may answer when it likes."""
    resource = Streaming()
    client = serve_site(resource).connect()
    client.send(HEAD + b"x" * 100)
    sink = resource.sinks[0]
    sink.producer.stopProducing()
    client.send(b"x" * 8900)
    assert len(sink.body) == 100
    assert (sink.ended, sink.error) == (False, None)
    sink.request.respond("200 OK", TEXT, b"enough")
    client.send(GET % b"/2")
    assert client.codes == [200, 200]


def test_body_that_stops(serve_site):
    """A client that stops sending is refused after response_timeout, and the sink told."""
    resource = Streaming()
    server = serve_site(resource, **TIMES)
    client = server.connect()
    client.send(HEAD + b"x")
    server.wait(9)
    client.send(b"x")
    server.wait(9)
    assert client.received == b""
    server.wait(3)
    assert (client.codes, client.closed) == ([408], True)
    assert resource.sinks[0].error is not None


def test_sink_that_is_slow(serve_site):
    """While the sink holds the body back, the client is not blamed for it."""
    resource = Streaming(paused=True)
    server = serve_site(resource, **TIMES)
    client = server.connect()
    client.send(HEAD + b"x")
    server.wait(100)
    assert client.received == b""
    resource.sinks[0].producer.resumeProducing()
    client.send(b"x" * 8999)
    assert client.codes == [200]


@pytest.mark.parametrize("end", ["disconnect", "end_sending"])
def test_client_that_goes(serve_site, end):
    """A client that goes in the middle of its body leaves nothing behind; the sink is told."""
    resource = Streaming()
    server = serve_site(resource)
    client = server.connect()
    client.send(HEAD + b"x" * 100)
    getattr(client, end)()
    assert resource.sinks[0].error is not None
    assert not resource.sinks[0].ended
    assert kept_by(server) == 0


def test_malformed_body(serve_site):
    """A body that breaks the rules is refused, and the sink told."""
    resource = Streaming()
    client = serve_site(resource).connect()
    client.send(POST % b"Transfer-Encoding: chunked" + b"5\r\nhello\r\n")
    client.send(b"nonsense\r\n")
    assert (client.codes, client.closed) == ([400], True)
    assert resource.sinks[0].body == b"hello"
    assert resource.sinks[0].error is not None


def test_sink_with_an_answer_of_its_own(serve_site):
    """A sink that fails may answer before the server does."""

    class Answering(Sink):
        def end(self, error):
            super().end(error)
            self.request.respond("400 Bad Request", TEXT, b"of my own")

    def stream(request):
        request.stream_body(Answering(request))
        return True

    client = serve_site(AtHead(stream)).connect()
    client.send(POST % b"Transfer-Encoding: chunked")
    client.send(b"nonsense\r\n")
    assert [answer.body for answer in client.answers()] == [b"of my own"]
    assert client.closed


@pytest.mark.parametrize("method", ["write", "answer", "registerProducer"])
def test_sink_that_raises(serve_site, log, method):
    """A sink with a defect is answered 500."""

    class Broken(Sink):
        pass

    def fail(self, *_):
        raise RuntimeError("defect")

    setattr(Broken, method, fail)
    client = serve_site(AtHead(lambda request: request.stream_body(Broken(request)) or True)).connect()
    client.send(POST % b"Content-Length: 5" + b"hello")
    assert client.codes == [500]
    assert [event["log_failure"].type for event in log] == [RuntimeError]


def test_misuse(serve_site):
    """A body is streamed once, and only by who was asked at the head."""
    failures = []

    def twice(request):
        request.stream_body(Sink(request))
        with pytest.raises(MisuseError) as raised:
            request.stream_body(Sink(request))
        failures.append(raised)
        return True

    resource = AtHead(twice)
    client = serve_site(resource).connect()
    client.send(POST % b"Content-Length: 5" + b"hello")
    assert client.codes == [200]
    assert len(failures) == 1


class Scale(Sink):
    """Weighs the process while a large body comes, and pauses again and again."""

    def __init__(self, request, reactor):
        super().__init__(request)
        self.received = self.heaviest = 0
        self._reactor = reactor

    def write(self, data):
        self.received += len(data)
        self.heaviest = max(self.heaviest, resident_bytes())
        if self.received % 64 == 0:
            self.producer.pauseProducing()
            self._reactor.callLater(0.0001, self.producer.resumeProducing)

    def answer(self):
        self.request.respond("200 OK", TEXT, b"%d" % self.received)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("chunked", [False, True])
def test_large_body_in_bounded_memory(loopback_server, wrap_in_tls, tls_client, tls, chunked):
    """A body of 64 MB goes through a sink that pauses, and neither memory nor disk grows with it."""
    scales = []

    def stream(request):
        scales.append(Scale(request, server.loop.reactor))
        request.stream_body(scales[0])
        return True

    site = site_of(AtHead(stream))
    server = loopback_server(site.handle, site.judge, **({"wrap": wrap_in_tls} if tls else {}))
    piece = bytes(1 << 20)
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (64 << 20)
    before = resident_bytes()
    with tls_client(server) if tls else socket.create_connection(("127.0.0.1", server.port), 60) as client:
        client.sendall(POST % framing)
        for _ in range(64):
            client.sendall(b"100000\r\n%b\r\n" % piece if chunked else piece)
        client.sendall(b"0\r\n\r\n" if chunked else b"")
        data = b""
        while not data.endswith(b"%d" % (64 << 20)):
            more = client.recv(1000)
            assert more, data
            data += more
    assert scales[0].heaviest - before < 24 << 20
    server.wait_until_idle()
    assert kept_by(server) == 0


# -- guards -------------------------------------------------------------------------------------------------


def test_exception_while_dispatching(memory_server):
    """After an exception in a resource, the connection serves the next request."""
    calls = []

    def app(request):
        calls.append(request.uri)
        if len(calls) == 1:
            raise RuntimeError("defect")
        request.respond("200 OK", TEXT, b"")

    client = memory_server(app).connect()
    with pytest.raises(RuntimeError):
        client.send(GET % b"/1")
    client.channel.current.fail(500)
    client.send(GET % b"/2")
    assert client.codes == [500, 200]
