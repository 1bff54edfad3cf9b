"""Rooms over a fake clock and buses that a test can break."""

import json

from twisted.internet.defer import Deferred, fail
from twisted.internet.testing import MemoryReactorClock
from wires import FakeWire

from skitai.errors import OperationError
from skitai.messaging.local import LocalBus
from skitai.services.rooms import plugin
from skitai.services.rooms.house import House, Settings
from skitai.services.rooms.service import RoomService
from skitai.testing import ServiceHarness
from skitai.testing.clockbridge import ClockBridge
from skitai.websocket.conversation import WebSocket

DEFAULTS = {name: key.default for name, key in plugin.skitai_config_sections()["rooms"].items()}


class FrameWire(FakeWire):
    """A wire whose peer reads the frames; ``then()`` is called when it gets one."""

    def __init__(self):
        super().__init__()
        self.given = 0
        self.then = lambda: None

    def send_frame(self, frame):
        super().send_frame(frame)
        self.given += 1
        self.then()

    def abort(self):
        super().abort()
        self.ws.ended(1006, "")

    @property
    def messages(self):
        return [payload_of(frame) for frame in self.sent]

    @property
    def envelopes(self):
        return [json.loads(message) for message in self.messages]


def payload_of(frame):
    """Return the message in a short or medium frame of a server."""
    start = {126: 4, 127: 10}.get(frame[1], 2)
    return frame[start:].decode() if frame[0] == 0x81 else frame[start:]


class BreakableBus(LocalBus):
    """A bus that is lost and comes back; what others send meanwhile is missed."""

    shared = True

    def __init__(self, seconds):
        super().__init__(seconds)
        self.lost = False
        self.log = []
        self.held = {}

    def hold(self, name):
        """Have the next calls of ``name`` wait for the Deferred that is returned."""
        self.held[name] = Deferred()
        return self.held[name]

    def _do(self, name, do):
        self.log.append(name)
        if self.lost:
            return fail(OperationError("the bus is lost"))
        if name in self.held:
            return self.held[name].addCallback(lambda _: do())
        return do()

    def publish(self, channel, data, **options):
        return self._do("publish", lambda: super(BreakableBus, self).publish(channel, data, **options))

    def subscribe(self, channel, subscriber):
        if self.lost:
            super().subscribe(channel, subscriber)  # it hears what is sent when the bus is back
        return self._do("subscribe", lambda: super(BreakableBus, self).subscribe(channel, subscriber))

    def recent(self, channel, since=None):
        return self._do("recent", lambda: super(BreakableBus, self).recent(channel, since))

    def enter(self, channel, member, data):
        return self._do("enter", lambda: super(BreakableBus, self).enter(channel, member, data))

    def leave(self, channel, member):
        return self._do("leave", lambda: super(BreakableBus, self).leave(channel, member))

    def members(self, channel):
        return self._do("members", lambda: super(BreakableBus, self).members(channel))

    def unsubscribe(self, channel, subscriber):
        self.log.append("unsubscribe")
        super().unsubscribe(channel, subscriber)

    def publish_unheard(self, channel, data, most=100):
        """Have somebody else publish what the subscribers here miss."""
        self._histories.keep(channel, data, most, 300)

    def forget(self):
        """Lose all histories, as a server that starts anew does."""
        self._histories = type(self._histories)(self._histories._seconds)

    def come_back(self):
        self.lost = False
        self._subscribers.interrupt()


class World:
    def __init__(self, **settings):
        self.clock = MemoryReactorClock()
        self.sockets = []
        self.bus = BreakableBus(self.clock.seconds)
        self.bridge = ClockBridge(self.clock)
        self.bridge.start()
        self.house = House(lambda: self.bus, self.bridge, Settings(**{**DEFAULTS, **settings}))
        self.harness = ServiceHarness(RoomService(self.house), self.clock)

    def room(self, name="a"):
        return self.harness.call(name)

    def socket(self):
        wire = FrameWire()
        wire.ws = ws = WebSocket(self.bridge, wire)
        self.sockets.append(ws)
        return ws

    def member(self, *args, room="a", **options):
        """Return a websocket that is in the room."""
        ws = self.socket()
        self.room(room).join(ws, *args, **options).wait()
        return ws
