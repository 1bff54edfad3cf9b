"""Apps are loaded in order, and one that takes long holds up its own directory only."""

from functools import partial

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from skitai.server.apps.queue import LoadQueue


class Loads:
    """A queue of loads that go on until the test ends them."""

    def __init__(self):
        self.clock = Clock()
        self.queue = LoadQueue(self.clock.callLater)
        self.under_way = {}
        self.loaded = {}

    def run(self, load):
        deferred = self.under_way[load] = Deferred()
        return deferred

    def add(self, directory, name):
        self.queue.add(directory, partial(self.run, name)).addBoth(
            lambda outcome: self.loaded.update({name: outcome})
        )

    def end(self, name, outcome=None):
        self.under_way.pop(name).callback(outcome)


@pytest.fixture
def loads():
    loads = Loads()
    yield loads
    while loads.under_way:
        loads.end(next(iter(loads.under_way)))
    assert not loads.clock.getDelayedCalls()


def test_one_after_the_other(loads):
    """Loads are under way one at a time, in the order in which they were added."""
    for name in "abc":
        loads.add(name, name)
    assert list(loads.under_way) == ["a"]
    loads.end("a", "app")
    assert loads.loaded == {"a": "app"}
    assert list(loads.under_way) == ["b"]
    loads.end("b")
    assert list(loads.under_way) == ["c"]


def test_a_long_load_makes_way(loads):
    """After a second the loads of other directories go on without it, those of its own wait for its end."""
    for directory, name in [("slow", "a"), ("slow", "b"), ("quick", "c"), ("other", "d")]:
        loads.add(directory, name)
    loads.clock.advance(0.9)
    assert list(loads.under_way) == ["a"]
    loads.clock.advance(0.2)
    assert list(loads.under_way) == ["a", "c"]
    loads.end("c")
    assert list(loads.under_way) == ["a", "d"]
    loads.end("a")
    assert list(loads.under_way) == ["d"]  # which has its second to itself
    loads.end("d")
    assert list(loads.under_way) == ["b"]


def test_the_end_of_a_long_load_begins_what_waited(loads):
    """Where only loads of one directory are left, the end of the long one begins the next."""
    loads.add("slow", "a")
    loads.add("slow", "b")
    loads.clock.advance(2)
    assert list(loads.under_way) == ["a"]
    loads.end("a")
    assert list(loads.under_way) == ["b"]


def test_a_load_that_fails(loads):
    """What a load raises is for who added it; the next one begins."""
    loads.add("one", "a")
    loads.add("one", "b")
    loads.end("a", Failure(ValueError("broken")))
    assert loads.loaded["a"].check(ValueError)
    assert list(loads.under_way) == ["b"]
