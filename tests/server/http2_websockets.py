"""A client of websockets over HTTP/2 (RFC 8441): h2 for the frames of HTTP/2, websockets for those inside."""

import socket
import ssl

import h2.config
import h2.connection
import h2.events
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Opcode
from websockets.protocol import OPEN, Protocol, Side

from wire import PATIENCE

DEFLATE = "permessage-deflate"


class Connection:
    """A connection of HTTP/2 with any number of websockets and other requests."""

    def __init__(self, port, *, tls=False, settings=None):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(self.socket)
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False)
        )
        if settings:
            self.h2.local_settings.update(settings)
        self.h2.initiate_connection()
        # No stream that is not read holds up the others on our side.
        self.h2.increment_flow_control_window(1 << 24)
        self.streams = {}
        self._unread = b""
        self.flush()
        #: Whether the server has said that it knows RFC 8441.
        self.until(lambda: h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL in self.h2.remote_settings)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def flush(self):
        """Send what h2 has to say."""
        self.socket.sendall(self.h2.data_to_send())

    def begin(self, path, *, headers=(), method="CONNECT", protocol="websocket", ends=False):
        """Begin a stream."""
        stream = Stream(self, self.h2.get_next_available_stream_id())
        self.streams[stream.id] = stream
        fields = [(":method", method), (":scheme", "http"), (":authority", "localhost"), (":path", path)]
        if protocol:
            fields += [(":protocol", protocol), ("sec-websocket-version", "13")]
        self.h2.send_headers(stream.id, [*fields, *headers], end_stream=ends)
        self.flush()
        return stream

    def get(self, path):
        """Return the response to a plain request."""
        stream = self.begin(path, method="GET", protocol=None, ends=True)
        self.until(lambda: stream.over)
        return stream

    def connect(self, path, *, headers=(), deflate=False):
        """Return a websocket that the server has accepted."""
        if deflate:
            headers = [*headers, ("sec-websocket-extensions", DEFLATE)]
        stream = self.begin(path, headers=headers)
        self.until(lambda: stream.fields or stream.over)
        assert stream.fields[":status"] == "200", stream.fields
        assert "sec-websocket-accept" not in stream.fields
        assert "content-length" not in stream.fields
        stream.open(deflate)
        return stream

    def ended(self):
        """Read until the server has ended the connection, and close it."""
        while self.socket.recv(65536):
            pass
        self.socket.close()

    def until(self, ready):
        """Take what comes until ``ready()``."""
        while not ready():
            data = self.socket.recv(65536)
            assert data, "the connection was closed"
            for event in self.h2.receive_data(self._without_goaway(data)):
                stream = self.streams.get(getattr(event, "stream_id", 0))
                if stream is not None:
                    stream.note(event)
            self.flush()

    def _without_goaway(self, data):
        """Return whole frames, without those after which h2 says that the connection is over."""
        data, kept = self._unread + data, b""
        while len(data) >= 9 and len(data) >= (size := 9 + int.from_bytes(data[:3])):
            if data[3] != 7:
                kept += data[:size]
            data = data[size:]
        self._unread = data
        return kept


class Stream:
    """One stream. ``taking``: its window is opened as bytes come."""

    def __init__(self, connection, number):
        self.connection = connection
        self.id = number
        self.taking = True
        self.fields = {}
        self.body = b""
        self.untaken = 0
        self.ended = False
        self.reset = None
        self.protocol = None
        self.events = []

    @property
    def over(self):
        return self.ended or self.reset is not None

    def note(self, event):
        """Take an event of h2."""
        if isinstance(event, h2.events.ResponseReceived):
            self.fields = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            if self.protocol is None:
                self.body += event.data
            else:
                self.protocol.receive_data(event.data)
                self.events += self.protocol.events_received()
                self._send_protocol()
            if self.taking:
                self.connection.h2.acknowledge_received_data(event.flow_controlled_length, self.id)
            else:
                self.untaken += event.flow_controlled_length
        elif isinstance(event, h2.events.StreamEnded):
            self.ended = True
        elif isinstance(event, h2.events.StreamReset):
            self.reset = int(event.error_code)

    def open(self, deflate=False):
        """Speak the protocol of websockets from now on."""
        self.protocol = Protocol(Side.CLIENT, state=OPEN, max_size=None)
        if deflate:
            factory = ClientPerMessageDeflateFactory()
            chosen = self.fields["sec-websocket-extensions"]
            assert chosen.startswith(DEFLATE)
            parameters = [part.strip().partition("=") for part in chosen.split(";")[1:]]
            pairs = [(name, value or None) for name, _, value in parameters]
            self.protocol.extensions = [factory.process_response_params(pairs, [])]
        if self.body:
            self.protocol.receive_data(self.body)
            self.events += self.protocol.events_received()

    def raw(self, data, *, ends=False):
        """Send bytes as the windows allow."""
        h2_connection = self.connection.h2
        while data:
            self.connection.until(lambda: h2_connection.local_flow_control_window(self.id) > 0)
            size = min(h2_connection.local_flow_control_window(self.id), 16384, len(data))
            h2_connection.send_data(self.id, data[:size])
            data = data[size:]
            self.connection.flush()
        if ends:
            h2_connection.end_stream(self.id)
            self.connection.flush()

    def _send_protocol(self):
        data = b"".join(self.protocol.data_to_send())
        if data and not self.over:
            self.raw(data)

    def send(self, message):
        """Send a message."""
        if isinstance(message, str):
            self.protocol.send_text(message.encode())
        else:
            self.protocol.send_binary(message)
        self._send_protocol()

    def receive(self):
        """Return the next message, or None when the websocket is closed."""
        message, kind = b"", None
        while True:
            self.connection.until(lambda: self.events or self.over)
            if not self.events:
                return None
            frame = self.events.pop(0)
            if frame.opcode is Opcode.CLOSE:
                return None
            if frame.opcode in (Opcode.PING, Opcode.PONG):
                continue
            kind = kind or frame.opcode
            message += frame.data
            if frame.fin:
                return message.decode() if kind is Opcode.TEXT else message

    def close(self, code=1000):
        """Close in good order, and return the code of the server's close."""
        self.protocol.send_close(code)
        self._send_protocol()
        return self.closed()

    def closed(self):
        """Return the code of the server's close when the stream has ended; we end our half, too."""
        self.connection.until(lambda: self.over)
        if self.reset is None:
            self.raw(b"", ends=True)
        return self.protocol.close_rcvd.code if self.protocol.close_rcvd else None

    def cut(self):
        """Reset the stream."""
        self.connection.h2.reset_stream(self.id, 8)
        self.connection.flush()
