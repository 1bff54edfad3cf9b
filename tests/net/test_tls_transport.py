"""The TLS of a server's connection: both halves, what waits, and every kind of end."""

import queue
import select
import socket
import ssl
import threading
from contextlib import suppress
from types import SimpleNamespace

import pytest
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IPullProducer, IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import globalLogPublisher
from zope.interface import implementer

from certificates import Identity
from skitai.net.certificates import Source
from skitai.net.pem import load_identity
from skitai.net.server_tls import ServerTLS, with_tls
from wire import PATIENCE

SERVER = Identity("a.org", "127.0.0.1")
BIG = bytes(range(256)) * 40_000


class Inside(Protocol):
    """Does with the connection what the test says, and puts what it learns into ``told``."""

    def __init__(self, world):
        self.world = world

    def connectionMade(self):
        self.world.connections.put(self.transport)

    def dataReceived(self, data):
        self.world.received += data
        self.world.on_data(self.transport, data)

    def connectionLost(self, reason):
        self.world.ends.put(reason.value)


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Inside):
    """Is told of the end of each half, too."""

    def readConnectionLost(self):
        self.world.ends.put("read")

    def writeConnectionLost(self):
        self.world.ends.put("write")


@pytest.fixture
def world(reactor_thread, tmp_path):
    """A server; ``client(...)`` returns a TLS socket and the transport at the server's end."""
    pem = tmp_path / "server.pem"
    pem.write_bytes(SERVER.pem + SERVER.key_pem())
    tls = ServerTLS(Source((), (pem,), lambda: load_identity(pem, None, None)).read())
    found = SimpleNamespace(
        connections=queue.Queue(), ends=queue.Queue(), received=b"", on_data=lambda transport, data: None
    )
    ports, clients = [], []

    def connect(inside=Inside, version="TLSv1_3"):
        factory = with_tls(Factory.forProtocol(lambda: inside(found)), tls)
        factory.wrappedFactory.noisy = False
        ports.append(reactor_thread.call(reactor_thread.reactor.listenTCP, 0, factory, interface="127.0.0.1"))
        context = ssl.create_default_context(cadata=SERVER.pem.decode())
        context.maximum_version = ssl.TLSVersion[version]
        plain = socket.create_connection(("127.0.0.1", ports[-1].getHost().port), PATIENCE)
        clients.append(context.wrap_socket(plain, server_hostname="127.0.0.1"))
        return clients[-1], found.connections.get(timeout=PATIENCE)

    found.tls = tls
    found.client = connect
    found.call = reactor_thread.call
    found.end = lambda: found.ends.get(timeout=PATIENCE)
    yield found
    for client in clients:
        client.close()
    for port in ports:
        reactor_thread.call(port.stopListening)


def read_all(client):
    return b"".join(iter(lambda: client.recv(65_536), b""))


def say_goodbye(client):
    """Send close_notify, and nothing else."""
    client.settimeout(0)
    with suppress(ssl.SSLWantReadError):
        while True:
            try:
                client.unwrap()
            except ssl.SSLWantWriteError:  # what was sent before fills the socket still
                select.select([], [client], [], PATIENCE)
            else:
                break
    client.settimeout(PATIENCE)


def test_written_at_once_and_closed(world):
    """All of it comes, then the end of TLS, though the client is slow."""
    client, transport = world.client()

    def answer():
        transport.write(BIG)
        transport.writeSequence([b"a", b"b"])
        transport.write(b"")
        transport.loseConnection()
        transport.loseConnection()
        transport.write(b"c")

    world.call(answer)
    assert read_all(client) == BIG + b"abc"
    assert isinstance(world.end(), ConnectionDone)


def test_tickets_come_with_the_first_answer(world):
    """Nothing comes between the handshake and that: there are clients that this would confuse."""
    client, transport = world.client()
    client.settimeout(0.05)
    with pytest.raises(TimeoutError):
        socket.socket.recv(client, 1, socket.MSG_PEEK)
    client.settimeout(PATIENCE)
    assert client.session is None or not client.session.has_ticket
    world.call(transport.write, b"x")
    assert client.recv(1) == b"x"
    assert client.session.has_ticket


def test_a_request_that_comes_during_the_handshake_takes_no_turn_of_its_own(
    world, reactor_thread, monkeypatch
):
    sent, turns, seen = threading.Event(), [], []

    class Slow:
        """The TLS of a server that is slow to see that the handshake is over."""

        def __init__(self, tls):
            self.tls = tls

        def __getattr__(self, name):
            return getattr(self.tls, name)

        def do_handshake(self):
            self.tls.do_handshake()
            sent.wait(PATIENCE)
            reactor_thread.reactor.callLater(0, turns.append, "next turn")

    wrap = world.tls.wrap
    monkeypatch.setattr(world.tls, "wrap", lambda *buffers: Slow(wrap(*buffers)))
    world.on_data = lambda transport, data: seen.append((data, *turns)) or transport.write(b"answer")
    client, _ = world.client()
    client.sendall(b"question")
    sent.set()
    assert client.recv(10) == b"answer"
    assert seen == [(b"question",)]


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_the_client_closes_its_half(world, version):
    """A protocol that can handle that still answers."""
    client, transport = world.client(HalfCloseable, version)
    client.sendall(b"question")
    say_goodbye(client)
    assert world.end() == "read"
    assert world.received == b"question"
    raw = socket.socket(fileno=client.detach())
    raw.settimeout(PATIENCE)
    world.call(transport.write, b"answer")
    world.call(transport.loseConnection)
    assert len(b"".join(iter(lambda: raw.recv(1000), b""))) > len(b"answer")
    raw.close()
    assert isinstance(world.end(), ConnectionDone)


def test_the_client_leaves(world):
    """One that says goodbye and closes TCP, too, waits for no answer."""
    client, _ = world.client(HalfCloseable)
    say_goodbye(client)
    assert world.end() == "read"
    socket.socket(fileno=client.detach()).close()
    assert isinstance(world.end(), ConnectionDone)


def test_the_client_reads_what_was_sent(world):
    """What was sent before that still arrives."""
    client, transport = world.client(HalfCloseable)
    world.call(transport.write, BIG)
    with suppress(ssl.SSLError):  # it reads, too
        say_goodbye(client)
    assert world.end() == "read"
    with socket.socket(fileno=client.detach()) as raw:
        raw.shutdown(socket.SHUT_WR)
        raw.settimeout(PATIENCE)
        world.call(transport.loseConnection)
        size = 0
        while data := raw.recv(1 << 20):
            size += len(data)
    assert size > len(BIG) - 100_000  # some of which was read before
    assert isinstance(world.end(), ConnectionDone)


def test_the_client_closes_its_half_for_nobody(world):
    """One that cannot is told of the end, and the client gets its goodbye."""
    client, _ = world.client()
    say_goodbye(client)
    with suppress(ssl.SSLError):
        assert client.recv(10) == b""
    assert isinstance(world.end(), ConnectionDone)


def test_the_server_closes_its_half(world):
    """What the client sends after that still comes, until it closes its own half."""
    client, transport = world.client(HalfCloseable)
    world.call(transport.write, b"answer")
    world.call(transport.loseWriteConnection)
    assert read_all(client) == b"answer"
    assert world.end() == "write"
    client.sendall(b"late")
    say_goodbye(client)
    assert world.end() == "read"
    assert world.received == b"late"
    world.call(transport.loseConnection)
    assert isinstance(world.end(), ConnectionDone)


def test_input_at_the_end(world):
    """A half that is closed in the middle of the input stops nothing of it."""
    client, _ = world.client(HalfCloseable)
    world.on_data = lambda transport, data: transport.loseWriteConnection()
    client.sendall(BIG[:200_000])
    say_goodbye(client)
    ends = {world.end(), world.end()}
    assert ends == {"read", "write"}
    assert world.received == BIG[:200_000]
    with suppress(ssl.SSLZeroReturnError):  # what is unread when it closes makes a reset
        read_all(client)
    client.close()
    assert isinstance(world.end(), ConnectionDone)


def test_cut_off(world):
    """The end of TCP alone is no end of TLS."""
    client, _ = world.client()
    socket.socket.shutdown(client, socket.SHUT_WR)
    assert isinstance(world.end(), ConnectionLost)


def test_abort(world):
    """The client sees that something is missing."""
    client, transport = world.client()
    world.call(transport.abortConnection)
    assert isinstance(world.end(), ConnectionAborted)
    with pytest.raises(ConnectionResetError):
        socket.socket.recv(client, 10)
    world.call(transport.abortConnection)
    world.call(transport.loseConnection)
    world.call(transport.write, b"x")
    world.call(transport.pauseProducing)
    assert transport.send(b"x") == 0


@implementer(IPushProducer)
class Push:
    """Writes while it may, at most ``left`` pieces."""

    def __init__(self, transport, left):
        self.transport, self.left = transport, left
        self.paused = self.stopped = False
        self.pauses = 0

    def go_on(self):
        while self.left and not self.paused:
            self.left -= 1
            self.transport.write(BIG[:100_000])
        if not self.left:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def pauseProducing(self):
        self.paused = True
        self.pauses += 1

    def resumeProducing(self):
        self.paused = False
        self.go_on()

    def stopProducing(self):
        self.stopped = True


@implementer(IPullProducer)
class Pull(Push):
    """Writes a piece whenever it is asked to."""

    def resumeProducing(self):
        self.left -= 1
        self.transport.write(BIG[:100_000])
        if not self.left:
            self.transport.unregisterProducer()


def test_push_producer(world):
    """It is paused while the client takes nothing, so that little waits, and goes on when it does."""
    client, transport = world.client()
    push = Push(transport, 300)

    def start():
        transport.registerProducer(push, True)
        push.go_on()

    world.call(start)
    assert push.left > 100
    assert push.paused
    assert len(read_all(client)) == 30_000_000
    assert push.pauses > 1
    assert isinstance(world.end(), ConnectionDone)


def test_pull_producer(world):
    """It is asked for as much as the client takes; the connection closes when it is done."""
    client, transport = world.client()
    pull = Pull(transport, 300)

    def start():
        transport.registerProducer(pull, False)
        transport.loseConnection()

    world.call(start)
    assert pull.left > 100
    assert len(read_all(client)) == 30_000_000
    assert isinstance(world.end(), ConnectionDone)


@implementer(IPullProducer)
class Again(Push):
    """Registers itself anew as soon as it is asked for more than a piece, as an output does."""

    piece = b""

    def begin(self):
        if self.left:
            self.left -= 1
            self.piece = BIG[: 64 * 1024]
            self.transport.registerProducer(self, False)
        else:
            self.transport.loseConnection()

    def resumeProducing(self):
        piece, self.piece = self.piece, b""
        if piece:
            self.transport.write(piece)
        else:
            self.transport.unregisterProducer()
            self.begin()


def test_a_pull_producer_that_comes_as_another_is_asked(world):
    """It is asked, too, though nothing else waits."""
    client, transport = world.client()
    world.call(transport.write, b"x")
    assert client.recv(1) == b"x"
    world.call(Again(transport, 10).begin)
    assert len(read_all(client)) == 10 * 64 * 1024
    assert isinstance(world.end(), ConnectionDone)


def test_producers(world):
    """There is one at a time, and it is told when nobody needs it any more."""
    client, transport = world.client()
    push = Push(transport, 300)
    world.call(transport.registerProducer, push, True)
    with pytest.raises(RuntimeError, match="cannot produce"):
        world.call(transport.registerProducer, Push(transport, 1), True)
    client.close()
    assert isinstance(world.end(), ConnectionLost)
    assert push.stopped
    late = Push(transport, 1)
    world.call(transport.registerProducer, late, True)
    assert late.stopped


def test_closed_with_a_producer(world):
    """One that has sent all that it had does not keep the connection open; it is told of the end."""
    client, transport = world.client()
    push = Push(transport, 0)

    def close(transport, data):
        transport.registerProducer(push, True)
        transport.write(b"x")
        transport.loseConnection()

    world.on_data = close  # the handshake is over then at this end, too, and the write pauses nobody
    client.sendall(b"go")
    assert read_all(client) == b"x"
    assert isinstance(world.end(), ConnectionDone)
    assert push.stopped


def test_before_the_handshake(world):
    """What is written before it is over comes when it is; a close waits for that."""

    class Early(Inside):
        def connectionMade(self):
            super().connectionMade()
            self.transport.write(BIG)
            self.transport.loseConnection()

    client, _ = world.client(Early)
    assert read_all(client) == BIG


def test_known_of_the_connection(world):
    """What is asked of a transport of TCP is answered by the one below."""
    client, transport = world.client()

    def ask():
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        return [
            transport.getTcpNoDelay(), transport.getTcpKeepAlive(), transport.getHost().port,
            transport.getPeer().port, transport.getPeerCertificate(), transport.negotiatedProtocol,
            transport.fileno() > 0,
        ]  # fmt: skip

    ours, theirs = client.getpeername()[1], client.getsockname()[1]
    assert world.call(ask) == [True, True, ours, theirs, None, None, True]
    world.call(transport.stopProducing)
    assert read_all(client) == b""


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize(
    "sent", [b"\x17\x03\x03\x00\x20" + b"z" * 32, b"\x15\x03\x03\x00\x02\x02\x28"], ids=["record", "alert"]
)
def test_broken_while_something_waits(world, version, sent):
    """A client that breaks TLS before it has read everything is gone at once, and its producer with it."""
    client, transport = world.client(version=version)
    push = Push(transport, 300)

    def start():
        transport.registerProducer(push, True)
        push.go_on()

    world.call(start)
    with socket.socket(fileno=client.detach()) as bare:
        bare.sendall(sent)
        assert isinstance(world.end(), ssl.SSLError)
        assert push.stopped


def test_broken_while_something_waits_leaves_no_traceback(world):
    """What is left cannot be encrypted, and nobody tries to."""
    client, transport = world.client()
    events = []
    globalLogPublisher.addObserver(events.append)
    world.call(transport.write, BIG)
    with socket.socket(fileno=client.detach()) as bare:
        bare.sendall(b"\x17\x03\x03\x00\x20" + b"z" * 32)
        with suppress(OSError):
            while bare.recv(65_536):
                pass
    assert isinstance(world.end(), ssl.SSLError)
    globalLogPublisher.removeObserver(events.append)
    assert [event["log_failure"] for event in events if "log_failure" in event] == []


def test_failed_handshake(world):
    """Who fails is told, and not reset by what it still sends; the protocol inside can end it."""
    client, _ = world.client()
    with socket.create_connection(client.getpeername(), PATIENCE) as bare:
        transport = world.connections.get(timeout=PATIENCE)
        bare.sendall(b"POST / HTTP/1.1\r\n\r\n" + bytes(3_000_000))
        assert bare.recv(1 << 16).startswith(b"HTTP/1.1 400 ")
        world.call(transport.write, b"never sent")
        world.call(transport.loseConnection)
        assert isinstance(world.end(), ssl.SSLError)
