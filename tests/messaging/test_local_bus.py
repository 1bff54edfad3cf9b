"""The bus of one process: what every bus does, and how it forgets."""

import pytest
from bus_contract import LIFE, LONG, LONGER, BusContract
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock

from skitai.messaging import Position, histories
from skitai.messaging.local import LocalBus


class World:
    """This thread is the reactor's, on a fake clock."""

    def __init__(self):
        self.clock = Clock()
        self.bus = LocalBus(self.clock.seconds)

    def call(self, function, *args, **kwargs):
        outcomes = []
        maybeDeferred(function, *args, **kwargs).addBoth(outcomes.append)
        return outcomes[0]

    def eventually(self, condition):
        assert condition()

    def pass_time(self, seconds):
        self.clock.advance(seconds)

    def settle(self):
        pass


@pytest.fixture
def world():
    return World()


class TestLocalBus(BusContract):
    def test_it_reaches_this_process_alone(self, world):
        """What asks whether others hear it is told that they do not."""
        assert not world.bus.shared

    def test_dead_messages_take_no_memory(self, world):
        """What is too old is let go by the next messages, wherever they are; the positions stay."""
        for number in range(100):
            self.publish(world, f"room {number}", bytes(1000), seconds=LIFE)
        positions = self.publish(world, "lives", b"one", seconds=LONG)
        assert world.bus.statistics() == {"channels": 101, "messages": 101, "bytes": 100_003}
        world.pass_time(LONGER)
        positions += self.publish(world, "lives", b"two", seconds=LONG)
        assert world.bus.statistics() == {"channels": 101, "messages": 2, "bytes": 6}
        assert self.data(world.call(world.bus.recent, "lives", positions[0])) == [b"two"]
        assert world.call(world.bus.recent, "room 7").position.offset == 1

    def test_histories_together_have_a_limit(self, world, monkeypatch):
        """Where all histories take too much, those that were used longest ago lose their messages."""
        monkeypatch.setattr(histories, "_BYTES_MAX", 10_000)
        first = self.publish(world, "old", bytes(6000))
        second = self.publish(world, "new", bytes(3000), bytes(3000))
        assert world.bus.statistics()["bytes"] == 6000
        start = Position(first[0].epoch, 0)
        assert not world.call(world.bus.recent, "old", start).complete
        assert world.call(world.bus.recent, "new", Position(second[0].epoch, 0)).complete
        self.publish(world, "huge", bytes(20_000))
        assert world.bus.statistics() == {"channels": 3, "messages": 0, "bytes": 0}

    def test_channels_have_a_limit(self, world, monkeypatch):
        """Of too many histories those that were used longest ago are forgotten, with their epochs."""
        monkeypatch.setattr(histories, "_HISTORIES_MAX", 3)
        positions = {name: self.publish(world, name, b"one")[0] for name in "abcd"}
        assert world.bus.statistics() == {"channels": 3, "messages": 3, "bytes": 9}
        assert world.call(world.bus.recent, "d").position == positions["d"]
        assert world.call(world.bus.recent, "a").position.epoch != positions["a"].epoch
