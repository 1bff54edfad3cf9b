"""Wires over a transport in memory, with a fake clock, and frames to feed them."""

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from skitai.loop.sending import SendQueue
from skitai.websocket.frames import payload_span
from skitai.websocket.masks import unmask
from skitai.websocket.protocol import ServerWire
from skitai.websocket.settings import WebSocketSettings
from skitai.websocket.watch import Watch

MASK = b"\x11\x82\xf3\x40"


class Recorder:
    """A listener that keeps what it is told; with ``echo`` it sends every message back."""

    def __init__(self, echo=False):
        self.echo = echo
        self.messages = []
        self.end = None
        self.drains = 0
        self.wire = None

    def received(self, message):
        assert self.end is None, "a message after the end"
        self.messages.append(message)
        if self.echo:
            self.wire.send(message)

    def drained(self):
        assert self.end is None, "drained after the end"
        assert self.wire.waiting == 0
        self.drains += 1

    def ended(self, code, reason):
        assert self.end is None, "a second end"
        self.end = (code, reason)


class Transport(StringTransport):
    """Remembers how it was closed."""

    aborted = False

    def abortConnection(self):
        self.aborted = True
        self.disconnecting = True


class Endpoint:
    """One wire; ``feed`` gives it bytes, ``sent`` takes what it sent, as frames."""

    def __init__(self, kind=ServerWire, echo=False, settings=None, deflate=None, keep_alive=0, **changes):
        self.clock = Clock()
        self.watch = Watch(self.clock)
        self.transport = Transport()
        self.listener = Recorder(echo)
        self.wire = kind(
            settings or WebSocketSettings(**changes),
            self.watch,
            SendQueue(self.clock, self.clock.seconds),
            deflate=deflate,
            keep_alive=keep_alive,
        )
        self.wire.listener = self.listener
        self.listener.wire = self.wire
        self.wire.makeConnection(self.transport)

    def feed(self, *chunks):
        for chunk in chunks:
            self.wire.dataReceived(chunk)
        self.clock.advance(0)
        return self

    def lose(self):
        self.wire.connectionLost(Failure(ConnectionDone()))

    def sent_bytes(self):
        self.clock.advance(0)
        data = self.transport.value()
        self.transport.clear()
        return data

    def sent(self):
        return frames_in(self.sent_bytes())

    @property
    def end(self):
        return self.listener.end

    @property
    def messages(self):
        return self.listener.messages

    @property
    def hung_up(self):
        return self.transport.disconnecting and not self.transport.aborted


def frame(opcode, payload=b"", *, fin=True, rsv=0, mask=MASK, length=None):
    """Return one frame, masked as a client does; ``mask=None`` gives that of a server."""
    if isinstance(payload, str):
        payload = payload.encode()
    size = len(payload) if length is None else length
    bit = 0x80 if mask else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += bytes([bit | 126]) + size.to_bytes(2)
    else:
        head += bytes([bit | 127]) + size.to_bytes(8)
    if mask:
        return head + mask + unmask(payload, mask)
    return head + payload


def text(message, **options):
    return frame(1, message, **options)


def binary(message, **options):
    return frame(2, message, **options)


def ping(payload=b"", **options):
    return frame(9, payload, **options)


def pong(payload=b"", **options):
    return frame(10, payload, **options)


def close(code=None, reason="", **options):
    if isinstance(reason, str):
        reason = reason.encode()
    return frame(8, b"" if code is None else code.to_bytes(2) + reason, **options)


def frames_in(data):
    """Return the frames in ``data`` as (first byte, payload), unmasked."""
    found = []
    at = 0
    while at < len(data):
        start, end = payload_span(data, at)
        assert end <= len(data), "half a frame"
        payload = data[start:end]
        if data[at + 1] & 0x80:
            payload = unmask(payload, data[start - 4 : start])
        found.append((data[at], payload))
        at = end
    return found
