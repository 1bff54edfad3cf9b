"""Streams that another protocol takes over: the transport that it gets, and every way in which it ends."""

import pytest
from hpack import Encoder
from http2_client import Client, Reply, frame
from http_channel import TEXT, MemoryServer, Pushed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from zope.interface import implementer

from skitai.errors import MisuseError
from skitai.interfaces import ILastingProtocol
from skitai.server.http1.backlog import Backlog

ASKING = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":authority", "example.org"),
    (":path", "/chat"),
]


class Taker(Protocol):
    """Notes what it is told."""

    def __init__(self):
        self.got = b""
        self.told = []
        self.answer = None

    def connectionMade(self):
        self.told.append("made")
        if self.answer is not None:
            self.transport.write(self.answer)

    def dataReceived(self, data):
        self.got += data

    def connectionLost(self, reason):
        self.told.append(reason.type)


@implementer(IHalfCloseableProtocol, ILastingProtocol)
class HalfTaker(Taker):
    """One that knows halves, and that closes by itself when the server stops."""

    def readConnectionLost(self):
        self.told.append("read lost")

    def writeConnectionLost(self):
        self.told.append("write lost")

    def stop(self):
        self.told.append("stop")
        self.transport.loseConnection()


class World:
    """A server that gives each websocket to a taker, at once or when ``take`` is called."""

    def __init__(self, make=HalfTaker, *, at_once=True, headers=(), answer=None, judge=None, **limits):
        self.takers = []
        self.pending = []

        def take(request):
            taker = make()
            taker.answer = answer
            self.takers.append(taker)
            request.take_over(taker, "101 Switching Protocols", headers)

        def ask(request):
            if not request.upgrade:
                return False
            self.pending.append(request)
            if at_once:
                take(request)
            return True

        self.take = lambda: take(self.pending[-1])
        self.server = MemoryServer(
            lambda request: request.respond("200 OK", TEXT, b"x" * 100), judge or ask, **limits
        )
        self.client = Client(self.server)

    def open(self, fields=ASKING):
        """Begin a websocket; return its stream and the taker."""
        stream = self.client.ask(fields=fields, ends=False)
        return stream, self.takers[-1] if self.takers else None

    def reply(self, stream):
        self.client.run()
        return self.client.replies.get(stream, Reply())


def test_the_setting_is_announced():
    assert World().client.h2.remote_settings.get(8) == 1


def test_bytes_in_both_directions():
    world = World(headers=[("Sec-WebSocket-Accept", "x"), ("X-A", "b"), ("Upgrade", "websocket")])
    stream, taker = world.open()
    world.client.send(stream, b"hello", ends=False)
    taker.transport.writeSequence([b"wo", b"rld"])
    reply = world.reply(stream)
    assert (reply.code, reply["x-a"], reply.body, reply.ended) == (200, "b", b"world", False)
    assert not {"sec-websocket-accept", "upgrade", "connection", "content-length"} & set(dict(reply.fields))
    assert taker.got == b"hello"
    assert taker.transport.getPeer() == world.client.channel.client
    assert taker.transport.getHost() == world.client.channel.server
    assert [(request.method, request.status_code) for request in world.server.observed] == [(b"GET", 200)]
    assert world.client.channel.busy == 0
    world.server.wait(300)  # no time-out of HTTP runs
    assert world.client.get().code == 200
    assert not world.reply(stream).ended


def test_what_comes_before_the_decision_waits():
    world = World(at_once=False)
    stream, _ = world.open()
    world.client.send(stream, b"early", ends=True)
    world.take()
    (taker,) = world.takers
    assert taker.told == ["made"]
    world.client.run()
    assert (taker.got, taker.told) == (b"early", ["made", "read lost"])


def test_more_than_the_window_before_the_decision():
    world = World(at_once=False)
    stream, _ = world.open()
    for _ in range(9):
        world.client.raw(frame(0, 0, stream, b"x" * 16_384))
    assert world.client.resets[stream] == 3
    assert world.pending[0].gone
    with pytest.raises(MisuseError):
        world.take()


def test_a_taker_that_pauses():
    world = World()
    stream, taker = world.open()
    taker.transport.pauseProducing()
    for _ in range(8):
        world.client.send(stream, b"x" * 16_000, ends=False)
    assert taker.got == b""
    assert world.client.h2.local_flow_control_window(stream) < 4000
    world.client.send(stream, b"", ends=True)
    assert "read lost" not in taker.told
    taker.transport.resumeProducing()
    assert taker.got == b""  # not within the call
    world.client.run()
    assert (len(taker.got), taker.told) == (128_000, ["made", "read lost"])


def test_a_client_whose_window_is_closed_pauses_the_producer():
    world = World()
    world.client.taking = False
    stream, taker = world.open()
    producer = Pushed()
    taker.transport.registerProducer(producer, True)
    taker.transport.write(b"x" * 60_000)
    assert producer.told == []
    taker.transport.write(b"x" * 60_000)
    taker.transport.write(b"x")
    assert producer.told == ["pause"]
    world.client.run()
    world.client.h2.increment_flow_control_window(1 << 20)
    world.client.h2.increment_flow_control_window(1 << 20, stream)
    world.client.run()
    assert producer.told == ["pause", "resume"]
    assert len(world.reply(stream).body) == 120_001
    world.client.transport.lose()
    assert producer.told == ["pause", "resume", "stop"]
    assert taker.told == ["made", ConnectionLost]


def test_a_close_by_the_taker():
    """It ends our half after all that was sent; the client's half has a few seconds."""
    world = World()
    stream, taker = world.open()
    taker.transport.write(b"last")
    taker.transport.loseConnection()
    taker.transport.loseConnection()
    taker.transport.write(b"too late")
    assert taker.told == ["made"]
    reply = world.reply(stream)
    assert (reply.body, reply.ended, reply.reset) == (b"last", True, None)
    assert taker.told == ["made", ConnectionDone]
    world.client.send(stream, b"dropped", ends=False)
    world.server.wait(5)
    assert world.reply(stream).reset == 0
    assert (taker.got, taker.told) == (b"", ["made", ConnectionDone])
    assert world.client.channel.streams == {}


def test_a_close_by_both():
    world = World()
    stream, taker = world.open()
    taker.transport.loseConnection()
    world.client.send(stream, b"", ends=True)
    assert taker.told == ["made", ConnectionDone]
    assert world.reply(stream).reset is None
    assert world.client.channel.streams == {}


def test_a_close_that_the_client_does_not_take():
    world = World(response_timeout=3)
    world.client.taking = False
    stream, taker = world.open()
    taker.transport.write(b"x" * 100_000)
    world.server.wait(60)
    assert taker.told == ["made"]
    taker.transport.loseConnection()
    world.server.wait(9)
    assert world.reply(stream).reset == 8
    assert taker.told == ["made", ConnectionAborted]
    assert world.server.factory.storage.in_memory == 0


def test_a_close_waits_for_what_the_client_takes():
    world = World()
    world.client.taking = False
    stream, taker = world.open()
    taker.transport.write(b"x" * 100_000)
    taker.transport.loseConnection()
    world.client.run()
    assert not world.reply(stream).ended
    world.client.h2.increment_flow_control_window(1 << 20)
    world.client.h2.increment_flow_control_window(1 << 20, stream)
    reply = world.reply(stream)
    assert (len(reply.body), reply.ended) == (100_000, True)
    assert taker.told == ["made", ConnectionDone]


def test_halves():
    """Each side ends its half, and the taker hears of both; then it is over."""
    world = World()
    stream, taker = world.open()
    taker.transport.loseWriteConnection()
    assert taker.told == ["made", "write lost"]
    world.client.send(stream, b"more", ends=False)
    assert taker.got == b"more"
    assert world.reply(stream).ended
    world.client.send(stream, b"", ends=True)
    assert taker.told[2:] == ["read lost", ConnectionDone]
    _, second = world.open()
    second.transport.loseWriteConnection()
    second.transport.loseConnection()
    world.client.run()
    assert second.told[-1] is ConnectionDone


def test_a_taker_that_knows_no_halves():
    world = World(Taker)
    stream, taker = world.open()
    world.client.send(stream, b"all", ends=True)
    reply = world.reply(stream)
    assert (taker.got, taker.told, reply.ended) == (b"all", ["made", ConnectionDone], True)
    _, second = world.open()
    second.transport.loseWriteConnection()
    assert second.told == ["made"]


def test_an_abort_resets_the_stream():
    world = World()
    stream, taker = world.open()
    taker.transport.abortConnection()
    assert taker.told == ["made"]
    assert world.reply(stream).reset == 8
    assert taker.told == ["made", ConnectionAborted]
    taker.transport.write(b"x")
    taker.transport.stopProducing()
    world.client.run()
    assert taker.told == ["made", ConnectionAborted]


def test_a_reset_by_the_client():
    world = World()
    stream, taker = world.open()
    world.client.h2.reset_stream(stream, 8)
    world.client.run()
    assert taker.told == ["made", ConnectionLost]
    assert len(world.server.observed) == 1
    assert world.client.get().code == 200


def test_trailers_are_an_error_of_the_stream():
    world = World()
    stream, taker = world.open()
    world.client.h2.send_headers(stream, [("x", "y")], end_stream=True)
    assert world.reply(stream).reset == 1
    assert taker.told == ["made", ConnectionAborted]


@pytest.mark.parametrize("method", ["makeConnection", "dataReceived"])
def test_a_taker_that_fails(method):
    def fail(*_):
        raise RuntimeError("on purpose")

    class Failing(Taker):
        pass

    setattr(Failing, method, fail)
    world = World(Failing)
    stream, _ = world.open()
    if method == "dataReceived":
        world.client.send(stream, b"x", ends=False)
    assert world.reply(stream).reset == 8
    assert world.client.get().code == 200


def test_a_taker_that_fails_at_the_end_leaves_the_others_alone():
    class Failing(HalfTaker):
        def connectionLost(self, reason):
            super().connectionLost(reason)
            raise RuntimeError("on purpose")

    world = World(Failing)
    for _ in range(3):
        world.open()
    world.client.transport.lose()
    assert [taker.told for taker in world.takers] == [["made", ConnectionLost]] * 3
    assert world.server.factory.channels == set()


@pytest.mark.parametrize("make", [Taker, HalfTaker])
def test_a_stop_of_the_server(make):
    world = World(make)
    stream, taker = world.open()
    done = []
    world.server.factory.finish().addCallback(done.append)
    reply = world.reply(stream)
    assert reply.ended
    assert taker.told[-1] is ConnectionDone
    world.client.send(stream, b"", ends=True)
    world.server.wait(2)
    world.client.run()
    assert done == [None]


def test_a_stop_before_the_decision():
    world = World(at_once=False)
    stream, _ = world.open()
    world.server.factory.finish()
    world.client.run()
    world.take()
    assert world.takers[0].told == ["made", "stop"]
    assert world.reply(stream).ended


def test_only_a_101_and_sane_fields_hand_over():
    refused = []

    def judge(request):
        for status, headers in (("200 OK", ()), ("101 Switching Protocols", [("x", "a\r\nb: c")])):
            try:
                request.take_over(Taker(), status, headers)
            except ValueError as error:
                refused.append(str(error))
        request.respond("403 Forbidden", TEXT, b"no")
        return True

    world = World(judge=judge)
    stream, _ = world.open()
    assert len(refused) == 2
    world.server.wait(1)
    reply = world.reply(stream)
    assert (reply.code, reply.body, reply.ended, reply.reset) == (403, b"no", True, 0)


def test_plain_requests_cannot_be_taken_over():
    world = World()
    world.client.ask("/up", "POST", body=b"x", ends=False)
    (request,) = [stream.request for stream in world.client.channel.streams.values()]
    request.upgrade = b"websocket"
    with pytest.raises(MisuseError):
        request.take_over(Taker(), "101 Switching Protocols")


SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\nX-A: b\r\n\r\n"
)


def test_a_taker_that_answers_itself():
    world = World(headers=None, answer=SWITCHING[:20])
    stream, taker = world.open()
    assert world.reply(stream).fields == []
    taker.transport.write(SWITCHING[20:] + b"first")
    taker.transport.write(b" second")
    reply = world.reply(stream)
    assert (reply.code, reply["x-a"], reply.body) == (200, "b", b"first second")
    assert "sec-websocket-accept" not in dict(reply.fields)


def test_a_taker_that_declines_itself():
    world = World(headers=None, answer=b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nX-A: b\r\n\r\nno")
    stream, taker = world.open()
    world.server.wait(1)
    reply = world.reply(stream)
    assert (reply.code, reply["x-a"], reply.ended, reply.reset) == (403, "b", True, 0)
    assert taker.told == ["made", ConnectionDone]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 101 x\r\nX: a\rb\r\n\r\n",
        b"HTTP/1.1 101 x\r\nno field\r\n\r\n",
        b"x" * 70_000,
    ],
)
def test_a_taker_whose_answer_is_none(answer):
    world = World(headers=None, answer=answer)
    stream, taker = world.open()
    reply = world.reply(stream)
    assert (reply.fields, reply.reset) == ([], 8)
    assert taker.told == ["made", ConnectionAborted]


def test_a_taker_that_leaves_without_an_answer():
    world = World(headers=None)
    stream, taker = world.open()
    taker.transport.loseConnection()
    assert world.reply(stream).reset == 8
    assert taker.told == ["made", ConnectionAborted]


def test_no_room_for_what_waits(monkeypatch):
    world = World()
    world.client.taking = False
    stream, taker = world.open()

    def full(*_):
        raise OSError("no room")

    monkeypatch.setattr(Backlog, "append", full)
    taker.transport.write(b"x" * 100_000)
    assert world.reply(stream).reset is not None
    assert taker.told == ["made", ConnectionAborted]


@pytest.mark.parametrize(
    "fields",
    [
        [field for field in ASKING if field[0] != name]
        for name in (":scheme", ":path", ":authority", ":method")
    ]
    + [
        [(":method", "GET"), *ASKING[1:]],
        [ASKING[0], (":protocol", ""), *ASKING[2:]],
        [*ASKING, ("upgrade", "websocket")],
        [*ASKING, (":protocol", "websocket")],
    ],
)
def test_malformed(fields):
    world = World()
    reply = world.client.get(fields=fields, ends=False)
    assert (reply.fields, reply.reset) == ([], 1)
    assert world.pending == []
    assert world.client.get().code == 200


def test_what_nobody_decides_on_is_declined():
    """A resource that takes requests as a whole cannot take a websocket."""
    world = World(judge=lambda request: False)
    stream, _ = world.open()
    assert (world.reply(stream).code, world.reply(stream).ended) == (400, True)
    assert world.server.requests == []


def test_another_protocol():
    world = World()
    fields = [ASKING[0], (":protocol", "connect-udp"), *ASKING[2:]]
    assert world.client.get(fields=fields, ends=False).code == 501
    assert world.pending == []


def test_a_client_that_leaves_before_the_decision():
    world = World(at_once=False)
    stream, _ = world.open()
    world.server.wait(100)
    world.client.h2.reset_stream(stream, 8)
    world.client.run()
    assert world.pending[0].gone
    assert len(world.server.observed) == 1


def test_a_plain_connect_stays_what_it_is():
    world = World()
    assert world.client.get(fields=[(":method", "CONNECT"), (":authority", "example.org:443")]).code == 405


def test_too_many_streams():
    world = World(http2_streams=2)
    world.open()
    world.open()
    world.client.raw(frame(1, 4, 5, Encoder().encode(ASKING)))  # h2 itself would not
    assert world.client.resets == {5: 7}


def test_a_response_that_waits_before_it_declines():
    """Data that comes meanwhile is dropped, and the text waits for the window."""
    world = World(at_once=False)
    world.client.h2.update_settings({4: 0})
    world.client.run()
    stream, _ = world.open()
    world.pending[0].respond("200 OK", TEXT, b"x" * 10)
    world.client.send(stream, b"x", ends=False)
    assert (world.reply(stream).code, world.reply(stream).ended) == (400, False)
    world.server.wait(2)
    world.client.h2.increment_flow_control_window(1000, stream)
    reply = world.reply(stream)
    assert (reply.body, reply.ended) == (b"This address takes no websockets.\n", True)
    assert world.server.observed[0].status_code == 400
