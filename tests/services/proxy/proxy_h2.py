"""A client that speaks HTTP/2 over a socket: h2 does what is allowed, and ``raw`` sends what is not."""

from __future__ import annotations

from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events

from wire import Client

H2C = "access_log = off\nh2c = yes"
_PLAIN = [(":scheme", "http"), (":path", "/")]
_DATA, _HEADERS, _END_STREAM, _END_HEADERS = 0x0, 0x1, 0x1, 0x4


@dataclass
class Reply:
    """What came on one stream; ``reset`` is the code of a reset, or -1 where the connection has ended."""

    interim: list = field(default_factory=list)
    fields: list = field(default_factory=list)
    body: bytes = b""
    trailers: list = field(default_factory=list)
    reset: int | None = None

    @property
    def code(self):
        return int(dict(self.fields).get(":status", 0))


class H2Client(Client):
    """One connection without TLS. Streams are numbered 1, 3, 5 ..."""

    def __init__(self, port):
        super().__init__(port)
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._h2.encoder.header_table_size = 0  # so it refers to no block that ``raw`` has dropped
        self._flush()

    def _flush(self):
        self.send(self._h2.data_to_send())

    def get(self, path="/", *headers, method="GET", body=None):
        """Send a request and return its stream."""
        stream = self._h2.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path)]
        self._h2.send_headers(stream, [*pseudo, *headers], end_stream=body is None)
        if body is not None:
            self._h2.send_data(stream, body, end_stream=True)
        self._flush()
        return stream

    def raw(self, stream, fields, *, ends=True):
        """Send a header block with literal ``fields``, whatever they are."""
        if stream == self._h2.get_next_available_stream_id():
            self._h2.send_headers(stream, [(":method", "GET"), (":authority", "a"), *_PLAIN])
            self._h2.data_to_send()
        block = b"".join(_literal(name, value) for name, value in fields)
        self._frame(_HEADERS, _END_HEADERS | (_END_STREAM if ends else 0), stream, block)

    def data(self, stream, data, *, ends=True):
        """Send a piece of a body."""
        self._frame(_DATA, _END_STREAM if ends else 0, stream, data)

    def _frame(self, kind, flags, stream, payload):
        self.send(len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload)

    def settle(self):
        """Wait until the server has read what was sent: it answers a ping in its turn. No reply may come."""
        self._h2.ping(b"settled?")
        self._flush()
        is_read = False
        while not is_read:
            data = self.socket.recv(65536)
            assert data, "the connection has ended"
            events = self._h2.receive_data(data)
            is_read = any(isinstance(event, h2.events.PingAckReceived) for event in events)
            self._flush()

    def reply(self, stream, found=None, size=None):
        """Return what comes on ``stream`` until that or the connection ends, added to ``found``.

        With ``size``, return as soon as the body has so many bytes.
        """
        found = found or Reply()
        while size is None or len(found.body) < size:
            data = self.socket.recv(65536)
            if not data:
                found.reset = -1
                return found
            for event in self._h2.receive_data(data):
                if self._note(event, stream, found):
                    return found
            self._flush()
        return found

    def _note(self, event, stream, found):
        if isinstance(event, h2.events.ConnectionTerminated):
            found.reset = -1
            return True
        if getattr(event, "stream_id", None) != stream:
            return False
        if isinstance(event, h2.events.InformationalResponseReceived):
            found.interim.append(event.headers)
        elif isinstance(event, h2.events.ResponseReceived):
            found.fields = event.headers
        elif isinstance(event, h2.events.TrailersReceived):
            found.trailers = event.headers
        elif isinstance(event, h2.events.DataReceived):
            found.body += event.data
            self._h2.acknowledge_received_data(event.flow_controlled_length, stream)
        elif isinstance(event, h2.events.StreamReset):
            found.reset = int(event.error_code)
        return isinstance(event, (h2.events.StreamReset, h2.events.StreamEnded))


def _literal(name, value):
    return b"\x00" + _string(name) + _string(value)


def _string(text):
    assert len(text) < 127
    return bytes([len(text)]) + text
