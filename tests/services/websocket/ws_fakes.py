"""Websockets without a network: a dial and wires that a test answers for."""

from __future__ import annotations

from types import SimpleNamespace

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock

from skitai.services.http import ConnectionPool, HTTPService, PoolLimits
from skitai.services.websocket.pool import SocketPool
from skitai.services.websocket.service import WebSocketService
from skitai.testing import ServiceHarness

URL = "ws://search.test/find"


class FakeWire:
    """Notes what is sent; ``come`` and ``end`` are what the peer does."""

    def __init__(self, socket=None):
        self.sent = []
        self.closed = None
        self.aborted = False
        self.subprotocol = None
        self.waiting = 0
        self.transport = SimpleNamespace(socket=socket)
        self.listener = None
        self.reactor = None

    def send(self, message):
        self.sent.append(message)

    def send_frame(self, frame):
        raise AssertionError("only servers send frames")

    def close(self, code=1000, reason=""):
        self.closed = self.closed or code

    def abort(self):
        self.aborted = True

    def read_on(self, wanted):
        """Do nothing."""

    def come(self, *messages):
        """Have the messages come in one read; then the turn of the reactor ends."""
        for message in messages:
            self.listener.received(message)
        self.reactor.advance(0)

    def end(self, code=1006, reason=""):
        self.listener.ended(code, reason)


class Dialed:
    """One attempt to open a websocket."""

    def __init__(self, reactor, node, opening, listen):
        self.reactor = reactor
        self.node = node
        self.opening = opening
        self.listen = listen
        self.cancelled = False
        self.fired = Deferred(self._cancel)

    def _cancel(self, _):
        self.cancelled = True

    def open(self, wire=None, early=lambda wire: None):
        """Succeed; ``early(wire)`` is what comes in one packet with the end of the handshake."""
        wire = wire or FakeWire()
        wire.reactor = self.reactor
        wire.listener = self.listen(wire)
        early(wire)
        self.fired.callback(wire.listener)
        return wire

    def fail(self, error):
        self.fired.errback(error)


class Client:
    """``was.ws`` over a fake dial and a fake clock: ``dialed`` are the attempts, in order."""

    def __init__(self, clusters=None, **limits):
        self.reactor = MemoryReactorClock()
        self.dialed = []
        self.pool = SocketPool(self.reactor, PoolLimits(**limits), self._dial)
        handshakes = HTTPService("GET", ConnectionPool(self.reactor))
        self.service = WebSocketService(self.pool, handshakes)
        self.harness = ServiceHarness(self.service, self.reactor, clusters=clusters)
        self.ws = self.harness.call

    def _dial(self, node, opening, listen):
        self.dialed.append(Dialed(self.reactor, node, opening, listen))
        return self.dialed[-1].fired

    def exchanged(self, url=URL, **options):
        """Return the wire of a new websocket that has carried one message."""
        call = self.ws(url, "first", **options)
        wire = self.dialed[-1].open()
        wire.come("reply")
        assert call.getwait().data == "reply"
        return wire

    def counts(self):
        found = self.pool.statistics()
        return {name: found[name] for name in ("open", "idle", "in_use", "waiting")}
