"""A client of HTTP/2 in memory: h2 speaks for it, and ``raw`` sends what h2 would not."""

from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
from http_channel import MemoryServer, MemoryTransport

from skitai.server.http2.opening import OpeningFactory

LARGEST = 2**31 - 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    """Return the bytes of a frame."""
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def open_connection(server, *, secure=False):
    """Return the client's end of a new connection on which nothing was said."""
    protocol = OpeningFactory(server.factory, secure=secure).buildProtocol(None)
    transport = MemoryTransport(server.clock, protocol)
    protocol.makeConnection(transport)
    return transport


@dataclass
class Reply:
    """What came on one stream."""

    fields: list = field(default_factory=list)
    interim: list = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def code(self):
        return int(dict(self.fields)[":status"])

    def __getitem__(self, name):
        return dict(self.fields)[name]


class Client:
    """One connection. ``taking``: the windows are opened as bytes come."""

    def __init__(self, server, *, settings=None, taking=True, secure=False):
        self.server = server
        self.taking = taking
        self.transport = open_connection(server, secure=secure)
        config = h2.config.H2Configuration(
            header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config)
        if settings:
            self.h2.local_settings.update(settings)
        self.replies = {}
        self.events = []
        self.goaways = []
        self.resets = {}
        self._read = 0
        self.h2.initiate_connection()
        self.run()

    @property
    def channel(self):
        """The server's side of the connection."""
        return self.transport.protocol

    def run(self):
        """Let both sides say what they have to say."""
        for _ in range(10_000):
            data = self.h2.data_to_send()
            if data:
                self.transport.feed(data)
            self.server.clock.advance(0)
            received = bytes(self.transport.sent[self._read :])
            self._read += len(received)
            if received:
                self._take(received)
            elif not data:
                return
        raise AssertionError("they do not stop talking")

    def _take(self, data):
        # h2 says that the connection is over when it reads GOAWAY, so that is kept from it.
        for kind, payload, whole in _frames(data):
            if kind == 3:  # h2 does not tell those of streams that ``raw`` began
                self.resets[int.from_bytes(whole[5:9])] = int.from_bytes(payload)
            if kind == 7:
                self.goaways.append((int.from_bytes(payload[:4]), int.from_bytes(payload[4:8]), payload[8:]))
                continue
            for event in self.h2.receive_data(whole):
                self._note(event)

    def _note(self, event):
        self.events.append(event)
        reply = self.replies.setdefault(getattr(event, "stream_id", 0), Reply())
        if isinstance(event, h2.events.ResponseReceived):
            reply.fields = [(str(name), str(value)) for name, value in event.headers]
        elif isinstance(event, h2.events.InformationalResponseReceived):
            reply.interim.append(dict(event.headers)[":status"])
        elif isinstance(event, h2.events.DataReceived):
            reply.body += event.data
            if self.taking and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            reply.ended = True
        elif isinstance(event, h2.events.StreamReset):
            reply.reset = int(event.error_code)

    def ask(self, path="/", method="GET", *, body=None, headers=(), ends=None, fields=None):
        """Begin a request, and return its stream; ``ends``: whether nothing follows what is given."""
        stream = self.h2.get_next_available_stream_id()
        if fields is None:
            fields = [
                (":method", method),
                (":scheme", "http"),
                (":authority", "example.org"),
                (":path", path),
                *headers,
            ]
        ends = ends if ends is not None else True
        self.h2.send_headers(stream, fields, end_stream=ends and body is None)
        if body is not None:
            self.send(stream, body, ends=ends)
        self.run()
        return stream

    def send(self, stream, body, *, ends=True):
        """Send a piece of a body, which must fit into the windows."""
        pieces = [body[start : start + 16384] for start in range(0, len(body), 16384)] or [b""]
        for piece in pieces[:-1]:
            self.h2.send_data(stream, piece)
        self.h2.send_data(stream, pieces[-1], end_stream=ends)
        self.run()

    def get(self, *args, **options):
        """Return the reply to a request."""
        stream = self.ask(*args, **options)
        return self.replies.get(stream, Reply())

    def raw(self, data):
        """Send ``data`` past h2."""
        self.transport.feed(data)
        self.run()

    @property
    def closed(self):
        """Whether the server has closed the connection."""
        return self.transport.closing or self.transport.aborted


def _frames(data):
    while data:
        length = int.from_bytes(data[:3])
        yield data[3], data[9 : 9 + length], data[: 9 + length]
        data = data[9 + length :]


def serve(app=None, judge=None, **limits):
    """Return a server in memory, and a client of it."""
    server = MemoryServer(app, judge, **limits)
    return server, Client(server)
