"""Bodies that a producer makes: as fast as the client takes them, and no faster."""

import gzip
from itertools import pairwise

import pytest
from http_channel import Later, Pushed

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Pulled:
    """A pull producer of ``count`` pieces."""

    def __init__(self, request, count, size=10_000):
        self.request, self.left, self.size = request, count, size
        self.asked, self.stopped = 0, False

    def resumeProducing(self):
        self.asked += 1
        if self.left:
            self.left -= 1
            self.request.write(b"x" * self.size)
        else:
            self.request.unregisterProducer()
            self.request.finish()

    def stopProducing(self):
        self.stopped = True


def produce(memory_server, make, streaming, stalled=True):
    producers = []

    def app(request):
        producers.append(make(request))
        request.registerProducer(producers[0], streaming)

    client = memory_server(app).connect()
    client.transport.stalled = stalled
    client.send(GET)
    return client, producers[0]


def test_pull_producer(memory_server):
    """A pull producer is asked for more until it is done, a few times in one turn of the reactor."""
    client, producer = produce(memory_server, lambda request: Pulled(request, 100), False, stalled=False)
    assert client.answers()[0].body == b"x" * 1_000_000
    assert producer.asked == 101
    assert client.channel.current is None


def test_pull_producer_gives_others_their_turn(memory_server):
    """A producer with a fast client does not hold up the reactor until it is done."""
    server = memory_server(lambda request: request.registerProducer(Pulled(request, 100), False))
    client = server.connect()
    client.transport.feed(GET)
    size = len(client.received)
    assert 0 < size < 500_000
    server.clock.advance(0)
    assert len(client.received) > size
    server.clock.pump([0] * 10)
    assert client.answers()[0].body == b"x" * 1_000_000


def test_what_is_compressed_gives_others_their_turn_after_each_piece(memory_server):
    """To compress 64 KB takes 2 ms, and a text may be large."""
    producers = []

    def app(request):
        request.setHeader(b"Content-Type", b"text/plain")
        producers.append(Pulled(request, 100))
        request.registerProducer(producers[0], False)

    server = memory_server(app)
    client = server.connect()
    turns = []

    def other():
        """What another connection does in each turn."""
        turns.append(producers[0].asked)
        if len(turns) < 200:
            server.clock.callLater(0, other)

    client.transport.feed(GET.replace(b"\r\n\r\n", b"\r\nAccept-Encoding: gzip\r\n\r\n"))
    other()
    server.clock.advance(0)
    assert turns[-1] == 101
    assert max(later - before for before, later in pairwise([0, *turns])) <= 2
    assert gzip.decompress(client.answers()[0].body) == b"x" * 1_000_000


def test_pull_producer_waits_for_its_client(memory_server):
    """A pull producer is not asked while its client takes nothing."""
    client, producer = produce(memory_server, lambda request: Pulled(request, 100), False)
    client.server.clock.advance(5)
    asked = producer.asked
    assert asked < 12
    client.transport.take(1 << 20)
    assert producer.asked > asked
    client.disconnect()
    assert producer.stopped


def test_push_producer_is_paused(memory_server):
    """A push producer is told to pause when its client does not keep up, once, and to go on when it does."""
    app = Later()
    client = memory_server(app).connect()
    client.transport.stalled = True
    client.send(GET)
    request, producer = app.waiting[0], Pushed()
    request.registerProducer(producer, True)
    request.write(b"x" * 10_000)
    assert producer.told == []
    request.write(b"x" * 200_000)
    request.write(b"x" * 10_000)
    assert producer.told == ["pause"]
    while client.transport.held:
        client.transport.take(1 << 20)
    assert producer.told == ["pause", "resume"]
    request.unregisterProducer()
    request.finish()
    client.transport.take(1 << 20)
    assert producer.told == ["pause", "resume"]
    assert client.answers()[0].body == b"x" * 220_000


def test_push_producer_of_a_client_that_does_not_read(memory_server):
    """A producer that is registered when much waits is paused at once, and stopped with the client."""
    app = Later()
    client = memory_server(app).connect()
    client.transport.stalled = True
    client.send(GET)
    request, producer = app.waiting[0], Pushed()
    request.write(b"x" * 200_000)
    request.registerProducer(producer, True)
    assert producer.told == ["pause"]
    client.disconnect()
    assert producer.told == ["pause", "stop"]


def test_producer_of_a_client_that_is_gone(memory_server):
    """Who registers a producer too late learns it from the producer's being stopped."""
    app = Later()
    client = memory_server(app).connect()
    client.send(GET)
    client.disconnect()
    producer = Pushed()
    app.waiting[0].registerProducer(producer, True)
    assert producer.told == ["stop"]


def test_second_producer(memory_server):
    """One body has one producer."""
    app = Later()
    memory_server(app).connect().send(GET)
    app.waiting[0].registerProducer(Pushed(), True)
    with pytest.raises(ValueError, match="already"):
        app.waiting[0].registerProducer(Pushed(), True)


@pytest.mark.parametrize(("written", "code"), [(0, 500), (1, None)])
def test_failing_producer(memory_server, log, written, code):
    """A producer that raises is stopped and logged; its client gets 500, or sees that the rest is missing."""

    class Failing(Pulled):
        def resumeProducing(self):
            if self.asked == written:
                raise RuntimeError("defect")
            super().resumeProducing()

    client, producer = produce(memory_server, lambda request: Failing(request, 5), False, stalled=False)
    assert producer.stopped
    assert [event["log_failure"].type for event in log] == [RuntimeError]
    assert client.codes == [500] if code else client.aborted
