"""The bus of the workers of one machine, over a real Unix socket."""

import pytest
from bus_contract import Listener, SharedBusContract

from serving import eventually
from skitai.errors import OperationError
from skitai.messaging import Published
from skitai.messaging.hub import Hub
from skitai.messaging.hubbus import HubBus
from skitai.net.addresses import UnixNode
from skitai.net.connector import Connector


class World:
    """A hub and two workers."""

    def __init__(self, loop, path):
        self.loop = loop
        self.path = str(path)
        self.connector = loop.call(Connector, loop.reactor)
        self.now = 0.0
        self.port = None
        self.open()
        self.bus, self.other = self.worker(), self.worker()

    def open(self):
        self.hub = Hub(lambda: self.loop.reactor.seconds() + self.now)
        self.port = self.loop.call(self.loop.reactor.listenUNIX, self.path, self.hub)

    def worker(self):
        bus = self.loop.call(
            HubBus, self.loop.reactor, lambda factory: self.connector.connect(UnixNode(self.path), factory)
        )
        self.loop.call(bus.start)
        return bus

    def kill(self):
        """End the hub, and with it all connections."""
        self.loop.call(self.port.stopListening)
        for bus in (self.bus, self.other):
            if bus.is_up:
                self.loop.call(bus._wire.transport.abortConnection)

    def until_up(self, *buses):
        eventually(lambda: all(bus.is_up for bus in buses or (self.bus, self.other)), "the connections")

    def call(self, function, *args, **kwargs):
        return self.loop.call(function, *args, **kwargs)

    def eventually(self, condition):
        eventually(condition, "it")

    def pass_time(self, seconds):
        self.now += seconds

    def settle(self):
        for bus in (self.bus, self.other):
            self.call(bus.members, "nobody")

    def close(self):
        for bus in (self.bus, self.other):
            self.call(bus.stop)
        self.call(self.port.stopListening)
        self.call(self.connector.close)


@pytest.fixture
def world(reactor_thread, tmp_path):
    world = World(reactor_thread, tmp_path / "hub")
    yield world
    world.close()


class TestHubBus(SharedBusContract):
    pass


def listen(world, bus, channel="a"):
    listener = Listener()
    world.call(bus.subscribe, channel, listener)
    return listener


def test_a_hub_that_is_gone(world):
    """Those of one worker still hear each other, and who publishes is told."""
    here, there = listen(world, world.bus), listen(world, world.other)
    world.kill()
    eventually(lambda: not world.bus.is_up, "the loss")
    with pytest.raises(OperationError, match="hub of the rooms is not there"):
        world.call(world.bus.publish, "a", b"local", history=5, seconds=60)
    assert (here.messages, there.messages) == ([Published("a", b"local")], [])


def test_a_hub_that_comes_back(world):
    """Subscriptions and members are there again, and everybody learns that something may be missing."""
    here, there = listen(world, world.bus), listen(world, world.other)
    before = world.call(world.bus.publish, "a", b"one", history=5, seconds=60)
    world.call(world.bus.enter, "a", "ann", b"x")
    world.kill()
    eventually(lambda: not world.bus.is_up and not world.other.is_up, "the loss")
    world.open()
    world.until_up()
    eventually(lambda: here.interruptions == there.interruptions == ["a"], "the interruption")
    world.call(world.bus.publish, "a", b"two", history=5, seconds=60)
    eventually(lambda: there.data == [b"one", b"two"], "the message")
    assert world.call(world.other.members, "a") == {"ann": b"x"}
    assert not world.call(world.bus.recent, "a", before).complete


def test_a_worker_that_dies(world):
    """Its members are gone, and its subscriptions."""
    world.call(world.other.enter, "a", "ben", b"y")
    listen(world, world.other)
    world.call(world.other.stop)
    eventually(lambda: world.call(world.bus.members, "a") == {}, "the leave")
    world.call(world.bus.publish, "a", b"one")


def test_what_is_under_way_when_the_hub_dies(world):
    """A message that has not come back is given here, once, and who published it is told."""
    here = listen(world, world.bus)

    def publish():
        done = world.bus.publish("a", b"one")
        world.bus._wire.transport.abortConnection()
        return done

    with pytest.raises(OperationError, match="hub of the rooms is gone"):
        world.call(publish)
    world.until_up()
    assert here.data == [b"one"]


def test_before_the_first_connection(world, reactor_thread, tmp_path):
    """The first question connects; it waits for that, and no longer."""
    path = str(tmp_path / "later")
    early = world.call(
        HubBus, reactor_thread.reactor, lambda factory: world.connector.connect(UnixNode(path), factory)
    )
    asked = []
    world.call(lambda: early.members("a").addBoth(asked.append) and None)
    eventually(lambda: asked, "the failure")
    assert asked[0].check(OperationError)
    port = world.call(reactor_thread.reactor.listenUNIX, path, Hub(reactor_thread.reactor.seconds))
    world.until_up(early)
    assert world.call(early.members, "a") == {}
    world.call(early.stop)
    world.call(port.stopListening)


def test_a_worker_that_reads_nothing(world, monkeypatch):
    """It is cut off, and comes back; the others are served meanwhile."""
    monkeypatch.setattr("skitai.messaging.hubwire.WAITING_MAX", 1_000_000)
    here, there = listen(world, world.bus), listen(world, world.other)
    slow = world.other._wire.transport
    world.call(slow.pauseProducing)
    for _ in range(60):
        world.call(world.bus.publish, "a", bytes(100_000))
    assert len(here.messages) == 60
    world.call(slow.resumeProducing)
    eventually(lambda: world.other._wire is None or world.other._wire.transport is not slow, "the loss")
    world.until_up()
    eventually(lambda: there.interruptions, "the interruption")


def test_what_is_no_value(world):
    """A stranger who has found the socket is cut off."""
    stopped = []

    def talk():
        connecting = world.connector.connect(UnixNode(world.path), _Stranger.factory(stopped))
        return connecting.addCallback(lambda _: None)

    world.call(talk)
    eventually(lambda: stopped, "the end")
    world.call(world.bus.publish, "a", b"one")


def test_names_that_are_no_unicode(world):
    """They are refused, and nothing else is."""
    with pytest.raises(ValueError, match="plain"):
        world.call(world.bus.publish, "\ud800", b"")
    assert world.call(world.bus.recent, "a").position.offset == 0


class _Stranger:
    @staticmethod
    def factory(stopped):
        from twisted.internet.protocol import Factory, Protocol

        class Stranger(Protocol):
            def connectionMade(self):
                self.transport.write(b"\0\0\0\1\xc1")

            def connectionLost(self, reason):
                stopped.append(reason)

        return Factory.forProtocol(Stranger)
