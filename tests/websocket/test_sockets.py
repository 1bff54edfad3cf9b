"""Wires on real sockets, plain and with TLS: slow peers, large messages and ends."""

import contextlib
import socket
import ssl
import threading

import pytest
from endpoints import Recorder, binary, close, frames_in, ping, text
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory

from certificates import Identity
from serving import eventually
from skitai.loop.sending import SendQueue
from skitai.websocket.protocol import ServerWire
from skitai.websocket.sending import SocketOutgoing, TransportOutgoing
from skitai.websocket.settings import WebSocketSettings
from skitai.websocket.watch import Watch
from wire import PATIENCE

LOOPBACK = Identity("localhost", "127.0.0.1")


class Wires(Factory):
    """A server whose connections are open websockets at once, which echo."""

    noisy = False

    def __init__(self, loop, echo=True, **changes):
        self.loop = loop
        self.echo = echo
        self.settings = WebSocketSettings(message_max=1 << 26, **changes)
        self.watch = Watch(loop.reactor)
        self.queue = SendQueue(loop.reactor)
        self.wires = []

    def buildProtocol(self, addr):
        wire = ServerWire(self.settings, self.watch, self.queue)
        wire.listener = Recorder(self.echo)
        wire.listener.wire = wire
        self.wires.append(wire)
        return wire

    def opened(self, client):
        """Return the wire and the listener of the client, which has sent a first message."""
        client.sendall(text("x"))
        wire = eventually(lambda: self.wires and self.wires[0])
        told = wire.listener
        eventually(lambda: told.messages)
        return wire, told


@contextlib.contextmanager
def serving(loop, tls, **settings):
    """Give the factory, and a function that connects to it."""
    server = Wires(loop, **settings)
    factory = server
    if tls:
        factory = TLSMemoryBIOFactory(LOOPBACK.server(), False, server, clock=loop.reactor)
    port = loop.call(loop.reactor.listenTCP, 0, factory, interface="127.0.0.1")

    def connect(receive_buffer=None):
        client = socket.socket()
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", port.getHost().port))
        if tls:
            context = ssl.create_default_context(cadata=LOOPBACK.pem.decode())
            client = context.wrap_socket(client, server_hostname="localhost")
        return client

    try:
        yield server, connect
    finally:
        loop.call(port.stopListening)
        loop.call(server.watch.stop)


def read_all(client):
    """Return what comes until the server ends the connection."""
    data = bytearray()
    while piece := client.recv(1 << 16):
        data += piece
    return bytes(data)


@pytest.fixture
def loop(reactor_thread):
    return reactor_thread


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def tls(request):
    return request.param


def test_messages_and_the_end(loop, tls):
    """A message, a ping, a large message, and a close in one go are answered in order; then comes the end."""
    with serving(loop, tls) as (server, connect), connect() as client:
        large = b"x" * 3_000_000
        client.sendall(text("hello") + ping(b"p") + binary(large) + close(1000))
        frames = frames_in(read_all(client))
        assert frames == [(0x81, b"hello"), (0x8A, b"p"), (0x82, large), (0x88, b"\x03\xe8")]
        wire = server.wires[0]
        assert isinstance(wire._out, TransportOutgoing if tls else SocketOutgoing)


def test_a_peer_that_reads_late(loop, tls):
    """What it has not taken is counted, nothing is lost, and the listener is told when all is gone."""
    with serving(loop, tls, echo=False) as (server, connect), connect(4096) as client:
        wire, told = server.opened(client)
        piece = bytes(range(256)) * 256
        for _ in range(160):
            loop.call(wire.send, piece)
        eventually(lambda: wire._out.blocked)
        waiting = wire.waiting
        assert 1_000_000 < waiting <= 160 * (len(piece) + 10)
        before = told.drains
        loop.call(wire.close, 1000, "done")
        sent = frames_in(read_all_but_close(client))
        assert [payload for _, payload in sent[:-1]] == [piece] * 160
        assert sent[-1] == (0x88, b"\x03\xe8done")
        eventually(lambda: told.drains > before)
        assert wire.waiting == 0
        client.sendall(close(1000))
        eventually(lambda: told.end == (1000, "done"))
        assert client.recv(10) == b""


def read_all_but_close(client):
    """Return all frames up to a close frame, which ends nothing yet."""
    data = bytearray()
    while not data.endswith(b"done"):
        data += client.recv(1 << 16)
    return bytes(data)


def test_a_peer_that_reads_nothing_is_given_up(loop, tls):
    """It answers no ping, and takes nothing."""
    times = {"ping_interval": 0.5, "ping_timeout": 0.5}
    with serving(loop, tls, echo=False, **times) as (server, connect), connect(4096) as client:
        wire, told = server.opened(client)
        loop.call(wire.send, bytes(1 << 23))
        eventually(lambda: told.end)
        assert told.end == (1006, "the peer sent nothing for 0.5 s after a ping")
        assert wire.waiting == 0
        with contextlib.suppress(OSError):
            assert len(read_all(client)) < 1 << 23


def test_a_slow_peer_that_goes_on_reading_lives(loop):
    """It has no time to answer pings, and what it takes is seen though the kernel has all of it."""
    times = {"ping_interval": 0.25, "ping_timeout": 0.25, "close_timeout": 0.25}
    size = 300_000
    with serving(loop, False, echo=False, **times) as (server, connect), connect(4096) as client:
        wire, told = server.opened(client)
        loop.call(wire.send, bytes(size))
        pause = threading.Event()
        data = bytearray()
        while not data.endswith(b"done"):
            data += client.recv(1 << 16)
            if len(data) > size // 2:
                loop.call(wire.close, 1000, "done")
            pause.wait(0.02)
        assert frames_in(data)[0] == (0x82, bytes(size))
        assert told.end is None


def test_a_connection_that_is_cut(loop, tls):
    """The listener is told of 1006."""
    with serving(loop, tls) as (server, connect):
        client = connect()
        _, told = server.opened(client)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        eventually(lambda: told.end)
        assert told.end[0] == 1006


def test_the_peer_cuts_while_we_send(loop, tls):
    """What waits is dropped."""
    with serving(loop, tls, echo=False) as (server, connect):
        client = connect(4096)
        wire, told = server.opened(client)
        loop.call(wire.send, bytes(1 << 23))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        eventually(lambda: told.end)
        assert (told.end[0], wire.waiting) == (1006, 0)
        loop.call(wire.send, "nobody is there")


def test_abort(loop, tls):
    """The connection is cut at once, with all that waits."""
    with serving(loop, tls, echo=False) as (server, connect), connect(4096) as client:
        wire, told = server.opened(client)
        loop.call(wire.send, bytes(1 << 23))
        loop.call(wire.abort)
        assert told.end == (1006, "the connection was cut")
        with contextlib.suppress(OSError):
            assert len(read_all(client)) < 1 << 23


def test_a_paused_peer_is_not_read(loop, tls):
    """The kernel's buffers fill, then the peer has to wait; later, all comes in order."""
    with serving(loop, tls, echo=False) as (server, connect), connect() as client:
        wire, told = server.opened(client)
        loop.call(wire.read_on, False)
        pieces = [bytes([number]) * 65536 for number in range(200)]
        sender = threading.Thread(target=lambda: [client.sendall(binary(piece)) for piece in pieces])
        sender.start()
        sender.join(0.3)
        assert sender.is_alive()
        assert told.messages == ["x"]
        loop.call(wire.read_on, True)
        sender.join(PATIENCE)
        eventually(lambda: len(told.messages) == 201)
        assert told.messages[1:] == pieces
