"""Output to a plain socket and to a transport, neither of which makes its writer wait."""

import contextlib
import random
import socket

import pytest
from http_channel import TEXT, Later, MemoryTransport
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from skitai.loop.sending import SendQueue
from skitai.server.http1.output import PIECE, SocketOutput, TransportOutput, output_for
from skitai.server.request.storage import Storage

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
NOISE = random.Random(1).randbytes(1 << 20)


# -- to a transport that does the sending -------------------------------------------------------------------


class Told:
    """A writer: ``told`` is a list of what it was told."""

    def __init__(self, told):
        self.told = told

    def output_progressed(self):
        self.told.append("progress")

    def output_drained(self):
        self.told.append("drained")


class Watched:
    """A TransportOutput, its transport, and what it has told."""

    def __init__(self):
        self.told = []
        self.transport = MemoryTransport(Clock(), None)
        self.transport.stalled = True
        self.output = TransportOutput(
            self.transport,
            Told(self.told),
            Storage(1 << 30),
        )


def test_transport_output_provides_its_interface():
    """It is the push producer of its transport."""
    verifyObject(IPushProducer, Watched().output)


def test_what_the_transport_takes_does_not_wait():
    """Nothing is held back from a transport that has room."""
    watched = Watched()
    watched.transport.stalled = False
    watched.output.write(NOISE)
    assert watched.transport.sent == NOISE
    assert not watched.output.blocked
    assert watched.told == []


def test_what_the_transport_does_not_take_waits():
    """A transport that is full gets no more; the rest waits, and follows in order."""
    watched = Watched()
    watched.output.write(NOISE[:500_000])
    watched.output.write(NOISE[500_000:])
    held = len(watched.transport.held)
    assert held <= watched.transport.capacity + PIECE
    assert watched.output.waiting == len(NOISE) - held
    assert watched.told == ["progress"]
    while watched.output.blocked:
        watched.transport.take(1 << 30)
    assert watched.transport.sent == NOISE
    assert watched.told[-1] == "drained"
    assert watched.told.count("drained") == 1


def test_full_transport_counts_as_waiting():
    """What the transport holds has not been sent: the writer hears when it is."""
    watched = Watched()
    watched.output.write(NOISE[:PIECE] * 2)
    watched.output.write(b"x")
    assert watched.output.blocked
    assert watched.output.waiting == 0
    watched.transport.take(1 << 30)
    assert watched.told == ["progress", "drained"]
    assert not watched.output.blocked


def test_discard():
    """What waits for a client that is gone is dropped."""
    watched = Watched()
    watched.output.write(NOISE * 3)
    file = watched.output._backlog._file
    watched.output.stopProducing()
    assert watched.output.waiting == 0
    assert file.closed


class Full:
    """A transport with TLS whose socket is full: it asks a producer when that takes something."""

    def send(self, data):
        return 0

    def registerProducer(self, producer, streaming):
        """Ask it later."""

    def unregisterProducer(self):
        """Do not."""


def test_the_writer_is_told_when_something_begins_to_wait():
    """A time-out begins then, though nobody asks for a piece."""
    told = []
    output = output_for(Full(), Told(told), SendQueue(Clock()), Storage(1 << 30))
    output.write(NOISE)
    assert output.blocked
    assert told == ["progress"]
    output.discard()


# -- to a socket --------------------------------------------------------------------------------------------


class SocketTransport(MemoryTransport):
    """A transport over a real socket, whose reactor is the test."""

    def __init__(self, sock):
        super().__init__(Clock(), None)
        self.socket = sock
        self.written = []

    def getHandle(self):
        return self.socket

    def write(self, data):
        self.written.append(data)

    def loseConnection(self):
        """As a transport, it would close when all it was given is sent."""

    loseWriteConnection = loseConnection

    def registerProducer(self, producer, streaming):
        verifyObject(IPullProducer, producer)
        assert not streaming
        self.producer = producer
        producer.resumeProducing()


@pytest.fixture
def sockets():
    """A pair of connected sockets, the first of which never blocks."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def test_socket_output_without_room(sockets, log_text):
    """What finds no room when the turn ends cuts the connection, instead of leaving it to wait for ever."""
    transport = SocketTransport(sockets[0])
    clock = Clock()
    output = output_for(transport, Told([]), SendQueue(clock), Storage(10))
    with contextlib.suppress(BlockingIOError):
        while True:
            sockets[0].send(NOISE)
    output.write(b"x" * 1000)
    clock.advance(0)
    assert transport.aborted
    assert not output.blocked
    assert " a response: its client does not read, and the response cannot be kept" in log_text()
    assert "buffers_max" in log_text()


def test_socket_output_tries_itself(sockets):
    """What the socket takes leaves when the turn ends, in one piece; the transport is spared."""
    transport = SocketTransport(sockets[0])
    clock = Clock()
    output = output_for(transport, Told([]), SendQueue(clock), Storage(1 << 30))
    assert type(output) is SocketOutput
    output.write(b"hel")
    output.write(b"lo")
    clock.advance(0)
    assert sockets[1].recv(10) == b"hello"
    assert (transport.written, transport.producer, output.blocked) == ([], None, False)


def test_socket_output_keeps_the_rest(sockets):
    """What the socket does not take is sent by the transport piece by piece, before what is written later."""
    transport = SocketTransport(sockets[0])
    told = []
    output = output_for(
        transport,
        Told(told),
        SendQueue(Clock()),
        Storage(1 << 30),
    )
    output.write(NOISE)
    output.write(b"the end")
    assert output.blocked
    assert len(transport.written) == 1
    assert set(told) == {"progress"}
    while output.blocked:
        transport.producer.resumeProducing()
    assert told[-1] == "drained"
    assert transport.producer is None
    sockets[0].close()
    received = b""
    while data := sockets[1].recv(1 << 20):
        received += data
    assert max(map(len, transport.written)) <= PIECE
    assert received + b"".join(transport.written) == NOISE + b"the end"


def test_socket_output_leaves_errors_to_the_transport(sockets):
    """A broken connection is met by the transport, which reports it; until then nothing counts as sent."""
    transport = SocketTransport(sockets[0])
    output = output_for(transport, Told([]), SendQueue(Clock()), Storage(1 << 30))
    sockets[1].close()
    output.write(b"hello")
    output.flush()
    assert transport.written == [b"hello"]
    assert output.blocked
    transport.producer.stopProducing()
    assert not output.blocked


def test_socket_output_discard(sockets):
    """What waits for a client that is gone is dropped, and the transport asked for nothing more."""
    transport = SocketTransport(sockets[0])
    output = output_for(transport, Told([]), SendQueue(Clock()), Storage(1 << 30))
    output.write(NOISE * 3)
    output.stopProducing()
    assert (output.waiting, output.blocked, transport.producer) == (0, False, None)


@pytest.mark.parametrize(
    "leave",
    [
        lambda output: output.close(read_on=True),
        lambda output: output.hang_up(),
        lambda output: output.detach(),
        lambda output: output.write(bytes(200_000)),
    ],
)
def test_socket_output_sends_before(sockets, leave):
    """What waits for the end of the turn leaves before the connection is closed or handed on, or is much."""
    transport = SocketTransport(sockets[0])
    output = output_for(transport, Told([]), SendQueue(Clock()), Storage(1 << 30))
    output.write(b"hello")
    leave(output)
    assert sockets[1].recv(5) == b"hello"


def test_socket_output_discards_what_is_held(sockets):
    """A client that went away before the turn ended gets nothing."""
    clock = Clock()
    output = output_for(SocketTransport(sockets[0]), Told([]), SendQueue(clock), Storage(1 << 30))
    output.write(b"hello")
    output.discard()
    clock.advance(0)
    sockets[0].close()
    assert sockets[1].recv(5) == b""


def test_tls_is_left_to_its_transport():
    """The socket below TLS must not be written to."""
    transport = MemoryTransport(Clock(), None)
    transport.getHandle = transport.getPeerCertificate = lambda: None
    assert type(output_for(transport, Told([]), SendQueue(Clock()), Storage(1 << 30))) is TransportOutput


# -- slow readers hold nothing ------------------------------------------------------------------------------


def test_slow_reader_holds_little_memory(memory_server):
    """A large answer that nobody reads lies on the disk; the app has long ended."""
    server = memory_server(lambda request: request.respond("200 OK", TEXT, NOISE * 16))
    client = server.connect()
    client.transport.stalled = True
    client.send(GET)
    assert server.requests[0].written
    backlog = client.channel.output._backlog
    assert backlog._in_memory <= 1 << 20
    assert backlog._file.seek(0, 2) > 14 << 20
    while client.transport.held:
        client.transport.take(1 << 20)
    assert client.answers()[0].body == NOISE * 16
    assert client.channel.current is None


def test_app_is_told_when_little_waits(memory_server):
    """An app that makes more than its client takes can wait until little of it is left."""
    app, told = Later(), []
    client = memory_server(app).connect()
    client.transport.stalled = True
    client.send(GET)
    request = app.waiting[0]
    request.start("200 OK", TEXT)
    request.when_below(1, lambda: told.append("empty"))
    request.send(NOISE)
    request.when_below(200_000, lambda: told.append(request.waiting))
    assert told == ["empty"]
    while len(told) == 1:
        client.transport.take(1 << 20)
    assert 100_000 < told[1] < 200_000
    request.send(NOISE)
    request.when_below(10, lambda: told.append("gone"))
    client.disconnect()
    assert told[2:] == ["gone"]


def test_full_disk_cuts_the_connection(memory_server, monkeypatch, log_text):
    """An answer that cannot be buffered is broken off: its client must see that it is incomplete."""

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("skitai.server.http1.backlog.tempfile.TemporaryFile", full)
    client = memory_server(lambda request: request.respond("200 OK", TEXT, NOISE * 2)).connect()
    client.transport.stalled = True
    client.send(GET)
    assert client.aborted
    assert "192.0.2.7 GET /: its client does not read, " in log_text()
    assert "No space left" in log_text()
