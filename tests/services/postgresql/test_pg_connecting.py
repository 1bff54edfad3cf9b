"""From a node to a connection: its addresses in turn, and the time for them."""

import pytest
from pg_fakes import FakeServer
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock

from skitai.errors import UnsentError
from skitai.services.postgresql import connecting
from skitai.services.postgresql.connecting import connect
from skitai.services.postgresql.driver import Connection
from skitai.services.postgresql.limits import Limits
from skitai.services.postgresql.node import PGNode, node_of

LIMITS = Limits(10, 1000)
NODE = PGNode("h")


class World:
    """``connector`` of the instance, with the addresses of one name."""

    timeout = 3.0

    def __init__(self, monkeypatch):
        self.clock = Clock()
        self.server = FakeServer()
        self.asked = []
        self.addresses = succeed(["::1", "127.0.0.1"])
        monkeypatch.setattr(Connection, "connect", self._connect)

    def _connect(self, reactor, parameters, limits):
        self.asked.append(parameters.get("hostaddr"))
        return self.server.connect()

    def resolve(self, host):
        return self.addresses

    def connect(self, node=NODE):
        """Begin, and return a Deferred whose failure is its result."""
        connecting = connect(self.clock, self, node, LIMITS)
        connecting.addErrback(lambda failure: failure.value)
        return connecting


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


def test_addresses_in_turn(world):
    """The next address is asked when one refuses."""
    connecting = world.connect()
    assert world.asked == ["::1"]
    world.server.refuse()
    connection = world.server.accept()
    assert connecting.result is connection
    assert world.asked == ["::1", "127.0.0.1"]
    assert world.clock.getDelayedCalls() == []


def test_all_fail(world):
    """If none can be connected to, the message has what each of them said, once."""
    connecting = world.connect()
    world.server.refuse("refused")
    world.server.refuse("wrong password")
    assert (connecting.result.message, connecting.result.code) == ("refused; wrong password", 701)
    again = world.connect()
    world.server.refuse("refused")
    world.server.refuse("refused")
    assert again.result.message == "refused"


@pytest.mark.parametrize(("url", "seconds"), [("postgresql://h", 3), ("postgresql://h?connect_timeout=8", 8)])
def test_too_late(world, url, seconds):
    """An address that does not answer leaves time for the next; none lasts longer than the time-out."""
    connecting = world.connect(node_of(url, None, None, None))
    world.clock.advance(seconds / 2)
    assert world.asked == ["::1", "127.0.0.1"]
    world.clock.advance(seconds / 2)
    assert (connecting.result.status, connecting.result.code) == (1, 702)
    assert connecting.result.message == "no connection to h:5432 in time"
    assert world.clock.getDelayedCalls() == []


@pytest.mark.parametrize("stage", ["resolving", "connecting"])
def test_cancelled(world, stage):
    """Who gives up ends the attempt."""
    if stage == "resolving":
        world.addresses = Deferred()
    connecting = world.connect()
    connecting.cancel()
    assert isinstance(connecting.result, CancelledError)
    assert world.clock.getDelayedCalls() == []
    assert world.asked == ([] if stage == "resolving" else ["::1"])


def test_socket(world):
    """A Unix socket has no address."""
    connecting = world.connect(PGNode("/run/pg"))
    assert world.asked == [None]
    world.server.refuse("no socket")
    assert connecting.result.message == "no socket"


def test_no_driver(world, monkeypatch):
    """Without the packages each call says how to install them."""
    monkeypatch.setattr(connecting, "find_spec", lambda name: None)
    assert isinstance(world.connect().result, UnsentError)
    assert "pip install 'skitai[postgresql]'" in world.connect().result.message
