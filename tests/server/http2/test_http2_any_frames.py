"""Whatever frames come, in whatever order and pieces: nothing breaks, and nothing is left behind."""

import hpack
from http2_client import PREFACE, frame, open_connection
from http_channel import TEXT, MemoryServer
from hypothesis import given, settings
from hypothesis import strategies as st

BASE = [(":method", "POST"), (":scheme", "http"), (":authority", "a")]
BLOCKS = [
    hpack.Encoder().encode(fields)
    for fields in (
        [*BASE, (":path", "/at-once")],
        [*BASE, (":path", "/later"), ("content-length", "3")],
        [*BASE, (":path", "/streamed")],
        [*BASE, (":path", "/held")],
        [*BASE, (":path", "/large")],
        [("x-trailer", "1")],
        [(":method", "HEAD"), *BASE[1:], (":path", "/large")],
    )
]
STREAMS = st.sampled_from([0, 1, 1, 1, 3, 3, 5, 7, 9, 2])
FLAGS = st.sampled_from([0, 1, 4, 5, 5, 8, 0x0D, 0x20, 0x25, 0xFF])
PAYLOADS = st.one_of(
    st.sampled_from(BLOCKS),
    st.sampled_from([b"", b"abc", b"x" * 16_384, b"\0\0\0\1", b"\0\0\0\0\0\0\0\0", b"\x7f\xff\xff\xff"]),
    st.sampled_from([b"\0\4\0\0\0\0", b"\0\4\x7f\xff\xff\xff", b"\0\4\0\0\0\5", b"\0\1\0\0\0\0"]),
    st.binary(max_size=20),
)
HEADERS = st.builds(frame, st.just(1), st.sampled_from([4, 5]), STREAMS, st.sampled_from(BLOCKS))
DATA = st.builds(frame, st.just(0), st.sampled_from([0, 1]), STREAMS, st.sampled_from([b"abc", b"x" * 9000]))
ANY = st.builds(frame, st.integers(0, 11), FLAGS, STREAMS, PAYLOADS)
ACTIONS = st.sampled_from(["answer", "resume", "wait", "stall", "take", "stop"])


class Sink:
    """Takes a body, and pauses it after each piece."""

    def __init__(self, request):
        self.request = request
        self.ended = []

    def registerProducer(self, producer, streaming):
        self.producer = producer

    def unregisterProducer(self):
        pass

    def write(self, data):
        self.producer.pauseProducing()

    def end(self, error):
        self.ended.append(error)


class App:
    """Answers some requests at once and others when it is told to."""

    def __init__(self):
        self.waiting, self.sinks, self.begun = [], [], []

    def judge(self, request):
        self.begun.append(request)
        if request.path == b"/streamed":
            sink = Sink(request)
            self.sinks.append(sink)
            self.waiting.append(request)
            request.stream_body(sink)
            return True
        if request.path == b"/held":
            self.waiting.append(request)
            return True
        return False

    def handle(self, request):
        if request.path == b"/at-once":
            request.respond("200 OK", TEXT, b"now")
        elif request.path == b"/large":
            request.respond("200 OK", TEXT, b"x" * 200_000)
        else:
            self.waiting.append(request)

    def act(self, action, server, transport):
        if action == "answer" and self.waiting:
            request = self.waiting.pop()
            if not request.status_code:
                request.respond("200 OK", TEXT, b"later")
        elif action == "resume":
            for sink in self.sinks:
                if not sink.ended:
                    sink.producer.resumeProducing()
        elif action == "wait":
            server.wait(4)
        elif action == "stall":
            transport.stalled = True
        elif action == "take":
            transport.take(10_000)
        elif action == "stop" and not server.factory.stopping:
            server.factory.finish()


@settings(deadline=None, max_examples=150)
@given(
    steps=st.lists(st.one_of(HEADERS, DATA, ANY, ACTIONS), max_size=40),
    piece=st.sampled_from([None, None, 1, 7, 1000]),
)
def test_any_frames(steps, piece):
    app = App()
    server = MemoryServer(app.handle, app.judge, response_timeout=6)
    transport = open_connection(server)
    for step in [PREFACE + frame(4, 0, 0), *steps]:
        if transport.lost:
            break
        if isinstance(step, str):
            app.act(step, server, transport)
        else:
            size = piece or len(step)
            for start in range(0, len(step), size):
                if not transport.lost:
                    transport.feed(step[start : start + size])
        server.clock.advance(0)
    for request in app.waiting:
        if not request.status_code and not request.gone:
            request.respond("200 OK", TEXT, b"last")
    transport.lose()
    server.wait(2)
    assert server.factory.channels == set()
    assert (server.factory.storage.in_memory, server.factory.storage.on_disk) == (0, 0)
    assert len(server.observed) == len({id(request) for request in server.observed})
    begun = {id(request) for request in (*app.begun, *server.requests)}
    assert begun <= {id(request) for request in server.observed}
    assert all(len(sink.ended) == 1 for sink in app.sinks)
