"""A connection to the server without a socket: what the client sends is fed, what it gets is looked at."""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from skitai.server.http1.factory import HTTPFactory
from skitai.server.http1.limits import ServerLimits

TEXT = [("Content-Type", "text/plain")]


class MemoryTransport:
    """A transport with no socket below, so that the channel must leave the sending to it, as with TLS.

    ``capacity`` is how many bytes it holds before it pauses its producer; the client takes them at once
    unless ``stalled``. Ends of the connection are told in the reactor's next turn, as real ones are.
    """

    capacity = 65536
    #: Bytes that are read from the client at a time.
    read_size = 65536

    def __init__(self, reactor, protocol):
        self.reactor = reactor
        self.protocol = protocol
        self.sent = bytearray()
        self.held = bytearray()
        self.stalled = self.closing = self.aborted = self.lost = self.reading_paused = False
        self.producer = None
        self.inbox = b""

    # -- what the channel uses --

    def getHost(self):
        return IPv4Address("TCP", "192.0.2.1", 80)

    def getPeer(self):
        return IPv4Address("TCP", "192.0.2.7", 40122)

    def write(self, data):
        assert type(data) is bytes
        assert not self.closing, "written after the end"
        self.held += data
        self._flush()
        if self.stalled and len(self.held) > self.capacity and self.producer is not None:
            self.producer.pauseProducing()

    def registerProducer(self, producer, streaming):
        assert streaming
        assert self.producer is None
        self.producer = producer

    def unregisterProducer(self):
        self.producer = None

    def pauseProducing(self):
        assert not self.lost
        self.reading_paused = True

    def resumeProducing(self):
        assert not self.lost
        self.reading_paused = False
        if self.inbox:
            self.reactor.callLater(0, self._feed)

    def loseConnection(self):
        self.closing = True
        self._flush()

    def abortConnection(self):
        if not self.aborted:
            self.aborted = True
            self.reactor.callLater(0, self.lose, ConnectionAborted())

    # -- what the test does --

    def feed(self, data):
        self.inbox += data
        self._feed()

    def _feed(self):
        while self.inbox and not self.reading_paused and not self.lost:
            data, self.inbox = self.inbox[: self.read_size], self.inbox[self.read_size :]
            self.protocol.dataReceived(data)

    def take(self, size):
        """Let a stalled client take ``size`` bytes."""
        self.sent += self.held[:size]
        del self.held[:size]
        self._emptied()

    def _flush(self):
        if not self.stalled:
            self.sent += self.held
            self.held.clear()
        self._emptied()

    def _emptied(self):
        if self.held:
            return
        if self.closing and not self.lost and not self.stalled:
            self.reactor.callLater(0, self.lose, ConnectionDone())
        elif self.stalled and self.producer is not None:
            self.producer.resumeProducing()

    def lose(self, reason=None):
        if not self.lost:
            self.lost = True
            if self.producer is not None:
                self.producer.stopProducing()
            self.protocol.connectionLost(Failure(reason or ConnectionLost()))


@dataclass
class Answer:
    """One response as the client reads it."""

    code: int
    fields: dict[str, str]
    body: bytes


def read_answers(data, methods=()):
    """Return the responses in ``data`` (1xx included) and what follows the last complete one.

    ``methods`` are those of the requests, where one of them is HEAD.
    """
    answers, methods = [], list(methods)
    data = bytes(data)
    while b"\r\n\r\n" in data:
        head, _, rest = data.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        version, code = status.split(" ", 2)[:2]
        assert version == "HTTP/1.1"
        fields = {}
        for line in lines:
            name, colon, value = line.partition(": ")
            assert colon, f"not a field: {line!r}"
            assert name.lower() not in fields or name == "Set-Cookie", f"{name} stands twice"
            fields[name.lower()] = value
        interim = code.startswith("1")
        method = "GET" if interim or not methods else methods.pop(0)
        bodyless = interim or method == "HEAD" or code in ("204", "304")
        body, rest = (b"", rest) if bodyless else _read_body(fields, rest)
        if body is None:
            break
        answers.append(Answer(int(code), fields, body))
        data = rest
    return answers, data


def _read_body(fields, rest):
    if fields.get("transfer-encoding") == "chunked":
        body = b""
        while b"\r\n" in rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            chunk, rest = rest[:length], rest[length:]
            if rest[:2] != b"\r\n":
                break
            rest = rest[2:]
            body += chunk
            if length == 0:
                return body, rest
        return None, rest
    if "content-length" not in fields:
        return rest, b""
    length = int(fields["content-length"])
    return (rest[:length], rest[length:]) if len(rest) >= length else (None, rest)


class Connection:
    """One in-memory connection, as its client sees it."""

    def __init__(self, server):
        self.server = server
        self.channel = server.factory.buildProtocol(None)
        self.transport = MemoryTransport(server.clock, self.channel)
        self.channel.makeConnection(self.transport)

    def send(self, data, piece=None):
        """Send ``data``, in pieces of ``piece`` bytes each if given."""
        for start in range(0, len(data), piece or max(len(data), 1)):
            self.transport.feed(data[start : start + piece] if piece else data)
        self.server.clock.advance(0)

    def end_sending(self):
        """Close the client's half of the connection."""
        self.channel.readConnectionLost()
        self.server.clock.advance(0)

    def disconnect(self):
        """Let the connection break."""
        self.transport.lose()

    @property
    def received(self):
        """All that the client got."""
        return bytes(self.transport.sent)

    def answers(self, *methods):
        """The responses, which must be complete unless the connection is closed."""
        answers, rest = read_answers(self.transport.sent, methods)
        assert not rest, f"an incomplete response: {rest[:200]!r}"
        return answers

    @property
    def codes(self):
        """The status codes of the responses."""
        return [answer.code for answer in self.answers()]

    @property
    def closed(self):
        """Whether the server has closed the connection, in good order."""
        return self.transport.closing and not self.transport.aborted

    @property
    def aborted(self):
        """Whether the server has cut the connection."""
        return self.transport.aborted


class MemoryServer:
    """A factory on a fake clock. ``requests`` have reached the app, and ``observed`` have ended.

    ``app(request)`` answers them. Without it, they are answered with their method, target and body.
    ``judge(request)`` is called at the end of the head, as by the factory.
    """

    def __init__(self, app=None, judge=None, **limits):
        self.clock = Clock()
        self.requests = []
        self.observed = []
        self.factory = HTTPFactory(
            self.clock,
            self._handle,
            ServerLimits(**limits),
            judge=judge,
            observers=[self.observed.append],
            wall_clock=lambda: 784111777,
        )
        self.factory.doStart()
        self._app = app or echo

    def _handle(self, request):
        self.requests.append(request)
        self._app(request)

    def connect(self):
        """Return a new connection."""
        return Connection(self)

    def wait(self, seconds):
        """Let time pass, second by second."""
        for _ in range(int(seconds)):
            self.clock.advance(1)

    def stop_listening(self):
        """Close the listening socket."""
        self.factory.doStop()


def echo(request):
    """Answer with method, target and body, and close the body."""
    body = request.take_body()
    content = b""
    if body is not None:
        with body:
            content = body.read()
    request.respond("200 OK", TEXT, b" ".join(filter(None, [request.method, request.uri, content])))


class Later:
    """An app that answers when the test says so."""

    def __init__(self):
        self.waiting = []

    def __call__(self, request):
        self.waiting.append(request)

    def answer(self, body=None):
        """Answer the oldest request, with its target unless another body is given."""
        request = self.waiting.pop(0)
        request.respond("200 OK", TEXT, request.uri if body is None else body)


class Pushed:
    """A push producer that notes what it was told."""

    def __init__(self):
        self.told = []

    def pauseProducing(self):
        self.told.append("pause")

    def resumeProducing(self):
        self.told.append("resume")

    def stopProducing(self):
        self.told.append("stop")
