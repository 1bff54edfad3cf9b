"""The bus over a real Redis: what every bus must do."""

import itertools
import time

import pytest
from bus_contract import SharedBusContract
from redis_world import Buses

from serving import eventually

_prefixes = itertools.count()


class World:
    """Two buses on one Redis, as good as two processes."""

    def __init__(self, loop, server):
        prefix = f"tests{next(_prefixes)}:"
        self._buses = Buses(loop, server, prefix=prefix, timeout=30)
        self.bus, self.other = self._buses.start(), self._buses.start()
        self.call = loop.call
        self.eventually = eventually
        self.pass_time = time.sleep

    def settle(self):
        """A message of each takes the way of all that were before it."""
        self._buses.settle()

    def close(self):
        self._buses.close()


@pytest.fixture
def world(reactor_thread, redis_server):
    world = World(reactor_thread, redis_server)
    yield world
    world.close()


class TestRedisBus(SharedBusContract):
    def test_it_reaches_others(self, world):
        """What asks whether others hear it is told that they do."""
        assert world.bus.shared
