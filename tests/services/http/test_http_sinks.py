"""Replies that go into a sink as they come, and connections that another protocol takes over."""

import gzip
import tracemalloc
from pathlib import Path

import attrs
from http_servers import OK, HTTPTestCase, Peer, sending
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IConsumer, IPullProducer
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from zope.interface import implementer
from zope.interface.verify import verifyObject

from certificates import Identity
from clocks import OnClock
from skitai.errors import OperationError, OperationTimeout
from skitai.net.client_tls import TLSProfile
from skitai.services.http import HTTPService
from skitai.services.http.sink import IReplySink

LOOPBACK = Identity("127.0.0.1", authority=True)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-A: b\r\n\r\n"
MB = 1 << 20


@implementer(IReplySink)
class Sink:
    """Notes what it is told; ``taking(data)`` is called for each piece."""

    def __init__(self, taking=lambda data: None):
        self.told = []
        self.size = 0
        self.taking = taking
        self.begun = Deferred()

    def begin(self, reply):
        self.told.append(("begin", reply.code, reply.get_header("x-a"), reply.data))

    def registerProducer(self, producer, streaming):
        self.told.append(("register", streaming))
        self.producer = producer
        self.begun.callback(None)

    def write(self, data):
        self.size += len(data)
        if self.told[-1] != "write":
            self.told.append("write")
        self.taking(data)

    def wait(self):
        """Nothing is held back."""

    def unregisterProducer(self):
        self.told.append("unregister")

    def end(self, error):
        self.told.append(("end", error))


@implementer(IPullProducer)
class Flood:
    """Sends ``size`` bytes as fast as they are taken."""

    def __init__(self, peer, size):
        self.peer = peer
        self.left = size
        peer.write(HEAD % size)
        peer.transport.registerProducer(self, False)

    def resumeProducing(self):
        piece = memoryview(bytes(MB // 4))[: self.left]
        self.left -= len(piece)
        self.peer.write(bytes(piece))
        if not self.left:
            self.peer.transport.unregisterProducer()

    def stopProducing(self):
        """Stop."""


class SinkTests(HTTPTestCase):
    def ask_into(self, pool, url, sink=None, **fields):
        """Return the Deferred of a GET whose reply goes into ``sink``."""
        service = HTTPService("GET", pool)
        request = attrs.evolve(service.operation(url).request, sink=sink, **fields)
        return pool.ask(service.node(url), request)

    def test_interface(self):
        """A sink is a consumer as Twisted has them."""
        assert verifyObject(IConsumer, Sink())
        assert verifyObject(IReplySink, Sink())

    async def test_large_reply_in_bounded_memory(self):
        """200 MB pass through to a slow consumer, past response_max, with a few MB in memory at most."""
        size, came_in_pause = 200 * MB, []

        def take(data):
            if sink.size // MB != (sink.size - len(data)) // MB:  # a pause after each MB
                sink.producer.pauseProducing()
                reactor.callLater(0, go_on, sink.size)

        def go_on(before):
            came_in_pause.append(sink.size - before)
            sink.producer.resumeProducing()

        sink = Sink(take)
        server = self.serve(lambda peer: Flood(peer, size))
        pool = self.pool(response_max=MB)
        tracemalloc.start()
        try:
            result = await self.ask_into(pool, server.url, sink)
            await deferLater(reactor, 0)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert (sink.size, result.code, result.data) == (size, 200, b"")
        assert peak < 8 * MB
        assert came_in_pause == [0] * 200

    async def test_what_a_sink_is_told(self):
        """First the head, then the producer, the pieces, and the end; the connection is used again."""
        server = self.serve(sending(HEAD % 4 + b"data"))
        pool = self.pool()
        for _ in range(2):
            sink = Sink()
            result = await self.ask_into(pool, server.url, sink)
            assert (result.code, result.url) == (200, server.url)
            head = ("begin", 200, "b", b"")
            assert sink.told == [head, ("register", True), "write", "unregister", ("end", None)]
        assert len(server.peers) == 1

    async def test_coding_is_left_alone(self):
        """A coded body goes on as it came."""
        body, pieces = gzip.compress(b"data" * 1000), []
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
        server = self.serve(sending(head + body))
        await self.ask_into(self.pool(), server.url, Sink(pieces.append))
        assert b"".join(pieces) == body

    async def test_pause(self):
        """While the sink pauses nothing is read, which is no silence of the server's; then it is."""
        on = OnClock()
        sink = Sink(lambda data: sink.producer.pauseProducing())
        server = self.serve(sending(HEAD % 9 + b"part"))
        asked = self.ask_into(self.pool(on=on), server.url, sink)
        while not sink.size:
            await deferLater(reactor, 0.005)
        server.peers[0].write(b"more")
        await deferLater(reactor, 0.02)
        on.clock.pump([5] * 30)
        assert (sink.size, asked.called) == (4, False)
        sink.taking = lambda data: None
        sink.producer.resumeProducing()
        while sink.size < 8:
            await deferLater(reactor, 0.005)
        on.clock.pump([5] * 13)
        error = await self.error_of(asked, OperationTimeout)
        assert sink.told[-2:] == ["unregister", ("end", error)]

    async def test_paused_at_the_end(self):
        """A sink that pauses with the last byte holds up no later request of the connection."""
        server = self.serve(sending(HEAD % 4 + b"data"))
        pool = self.pool()
        sink = Sink(lambda data: sink.producer.pauseProducing())
        await self.ask_into(pool, server.url, sink)
        assert (await self.ask(pool, server.url)).data == b"data"
        assert len(server.peers) == 1
        sink.producer.pauseProducing()  # too late: it is not its connection any more
        assert (await self.ask(pool, server.url)).data == b"data"

    async def test_stopped(self):
        """A sink that wants no more has the socket closed at once, and is told nothing more."""
        sink = Sink(lambda data: sink.producer.stopProducing())
        server = self.serve(sending(HEAD % 9 + b"part"))
        pool = self.pool()
        error = await self.error_of(self.ask_into(pool, server.url, sink), OperationError)
        assert (error.code, error.message) == (700, "nobody wants the rest of the reply")
        await server.peers[0].lost
        assert sink.told == [("begin", 200, "b", b""), ("register", True), "write"]
        assert pool.statistics()["open"] == 0

    async def test_stopped_with_the_last_byte(self):
        """A sink that stops when all is there already has stopped all the same."""
        sink = Sink(lambda data: sink.producer.stopProducing())
        server = self.serve(sending(HEAD % 4 + b"data"))
        assert (await self.error_of(self.ask_into(self.pool(), server.url, sink), OperationError)).code == 700
        await server.peers[0].lost

    async def test_broken_off(self):
        """A reply that breaks off ends with the error that the request fails with."""
        for tail, code in ((b"part", 700), (b"", 700)):
            server, sink = self.serve(sending(HEAD % 9 + tail, close=True)), Sink()
            error = await self.error_of(self.ask_into(self.pool(), server.url, sink), OperationError)
            assert error.code == code
            assert sink.told[-2:] == ["unregister", ("end", error)]

    async def test_no_reply(self):
        """Where no reply comes the sink is told nothing."""
        server, sink = self.serve(Peer.close), Sink()
        await self.error_of(self.ask_into(self.pool(), server.url, sink), OperationError)
        assert sink.told == []

    async def test_cancel(self):
        """Cancelling closes the socket and ends the reply for the sink, too."""
        server, sink = self.serve(sending(HEAD % 9 + b"part")), Sink()
        asked = self.ask_into(self.pool(), server.url, sink)
        await sink.begun
        asked.cancel()
        await self.error_of(asked, CancelledError)
        await server.peers[0].lost
        assert sink.told[-2] == "unregister"
        assert isinstance(sink.told[-1][1], CancelledError)

    async def test_until_the_connection_ends(self):
        """A body without a length ends with the connection."""
        sink = Sink()
        server = self.serve(sending(b"HTTP/1.1 200 OK\r\n\r\ndata", close=True))
        await self.ask_into(self.pool(), server.url, sink)
        assert (sink.size, sink.told[-1]) == (4, ("end", None))

    async def test_a_sink_that_fails(self):
        """What a sink raises is logged, and fails its own request only."""
        for name in ("begin", "registerProducer", "write", "unregisterProducer", "end"):
            for close in (False, True):
                sink = Sink()
                setattr(sink, name, lambda *args: 1 / 0)
                head = b"HTTP/1.1 200 OK\r\n\r\n" if close else HEAD % 4
                server = self.serve(sending(head + b"data", close=close))
                pool = self.pool(total=1)
                error = await self.error_of(self.ask_into(pool, server.url, sink), OperationError)
                assert (error.code, error.node.port) == (701, server.port)
                assert error.message.startswith("the sink of the reply failed: ZeroDivisionError")
                assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
                assert (await self.ask(pool, server.url)).data == b"data"
                await pool.close()

    async def test_a_sink_that_fails_at_a_failure(self):
        """Where the reply broke off, that is the error, whatever the sink raises then."""
        sink = Sink()
        sink.end = lambda error: 1 / 0
        server = self.serve(sending(HEAD % 9 + b"part", close=True))
        error = await self.error_of(self.ask_into(self.pool(), server.url, sink), OperationError)
        assert error.code == 700
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1

    async def test_a_sink_that_cancels(self):
        """A sink may cancel its own request in every call; nothing comes after the end."""
        for name in ("begin", "registerProducer", "write", "unregisterProducer", "end"):
            sink = Sink()
            server = self.serve(sending(HEAD % 4 + b"data"))
            pool = self.pool(connections=1)
            asked = self.ask_into(pool, server.url, sink)
            setattr(sink, name, lambda *args, asked=asked: asked.cancel())
            waiting = self.ask(pool, server.url)
            await self.error_of(asked, CancelledError)
            assert (await waiting).data == b"data"
            if name in ("begin", "registerProducer", "write"):
                assert sink.told[-2] == "unregister"
                assert isinstance(sink.told[-1][1], CancelledError)


class Echoed(Protocol):
    """A protocol that took a connection over: says hello, and notes what comes."""

    def connectionMade(self):
        self.received = b""
        self.lost = Deferred()
        self.transport.write(b"hello")

    def dataReceived(self, data):
        self.received += data

    def connectionLost(self, reason):
        self.lost.callback(None)


SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX-A: b\r\n\r\n"


class SwitchTests(HTTPTestCase):
    ask_into = SinkTests.ask_into

    def switching(self, peer):
        peer.in_body = True
        peer.write(SWITCHING + b"early")

    async def check(self, server, pool):
        """Switch, talk, and see that the pool no longer knows of the connection."""
        heads, protocol = [], Echoed()

        def switch(reply):
            heads.append((reply.code, reply.get_header("x-a")))
            return protocol

        fields = "Connection: Upgrade\r\nUpgrade: echo\r\n"
        result = await self.ask_into(pool, server.url, fields=fields, switch=switch)
        assert (result.code, heads) == (101, [(101, "b")])
        while not server.everything.endswith(b"hello"):
            await deferLater(reactor, 0.005)
        server.peers[-1].write(b" and late")
        while protocol.received != b"early and late":
            await deferLater(reactor, 0.005)
        assert pool.statistics()["open"] == 0
        await pool.close()
        assert not protocol.lost.called
        protocol.transport.loseConnection()
        await protocol.lost

    async def test_switch(self):
        """The protocol gets the connection, and the bytes that came behind the reply."""
        server = self.serve(self.switching)
        await self.check(server, self.pool())

    async def test_switch_over_tls(self):
        """It gets a connection over TLS as well."""
        server = self.serve(self.switching, listen=reactor.listenSSL, extra=(LOOPBACK.server(),))
        server.url = server.url.replace("http://", "https://")
        path = Path(self.mktemp())
        path.write_bytes(LOOPBACK.pem)
        await self.check(server, self.pool(profile=TLSProfile(ca=path)))

    async def test_a_protocol_that_fails(self):
        """What a protocol raises when it begins is logged, and fails its own request only."""
        failing, deaf = Protocol(), Protocol()
        failing.connectionMade = lambda: 1 / 0
        deaf.dataReceived = lambda data: 1 / 0
        for switch in (lambda _: failing, lambda _: deaf, lambda _: 1 / 0, lambda _: None):
            server, pool = self.serve(self.switching), self.pool(total=1)
            error = await self.error_of(self.ask_into(pool, server.url, switch=switch), OperationError)
            assert (error.code, error.node.port) == (701, server.port)
            assert error.message.startswith("switching to another protocol failed: ")
            assert len(self.flushLoggedErrors()) == 1
            await server.peers[0].lost
            other = self.serve(sending(OK))
            assert (await self.ask(pool, other.url)).data == b"ok"
            assert pool.open == 1
            await pool.close()

    async def test_a_reply_that_is_refused(self):
        """What is wrong with the reply fails the request, and is no failure to log."""
        server, pool = self.serve(self.switching), self.pool()

        def switch(_reply):
            raise OperationError("no such protocol", code=708)

        error = await self.error_of(self.ask_into(pool, server.url, switch=switch), OperationError)
        assert (error.code, error.message, error.node.port) == (708, "no such protocol", server.port)
        await server.peers[0].lost
        assert pool.open == 0

    async def test_a_protocol_that_cancels(self):
        """A request that is cancelled while the connection changes hands closes it."""
        for name in ("switch", "connectionMade", "dataReceived"):
            server, pool, protocol = self.serve(self.switching), self.pool(), Protocol()
            protocol.switch = lambda protocol=protocol: protocol
            asked = self.ask_into(pool, server.url, switch=lambda _, protocol=protocol: protocol.switch())
            setattr(protocol, name, lambda *_, asked=asked, protocol=protocol: asked.cancel() or protocol)
            await self.error_of(asked, CancelledError)
            await server.peers[0].lost
            await pool.close()
            assert pool.open == 0

    async def test_declined(self):
        """A server that declines has answered, and the connection is used again."""
        server = self.serve(sending(OK))
        pool = self.pool()
        for _ in range(2):
            result = await self.ask_into(pool, server.url, switch=lambda reply: 1 / 0)
            assert (result.code, result.data) == (200, b"ok")
        assert len(server.peers) == 1

    async def test_nobody_asked(self):
        """A 101 that nobody asked for is not HTTP."""
        server = self.serve(self.switching)
        error = await self.error_of(self.ask_into(self.pool(), server.url), OperationError)
        assert error.code == 708
