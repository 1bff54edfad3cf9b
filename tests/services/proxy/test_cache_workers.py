"""Several workers, each with a memory of its own: what one removes, all forget."""

import msgpack
import pytest
from cache_world import reply
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from skitai.errors import OperationError, stopping
from skitai.messaging.words import Published
from skitai.services.proxy.cache.keeper import Keeper
from skitai.services.proxy.plugin import _cache_of

LOOKUP = "X-Cache-Lookup"
FRESH = "Cache-Control: max-age=60"


class SharedBus:
    """A bus that several keepers share; with ``broken``, which says why, it reaches nobody."""

    shared = True

    def __init__(self, broken=None):
        self.broken = broken
        self.subscribers = []

    def _done(self):
        return fail(Failure(self.broken)) if self.broken else succeed(None)

    def subscribe(self, channel, subscriber):
        self.subscribers.append(subscriber)
        return self._done()

    def publish(self, channel, data):
        if not self.broken:
            for each in self.subscribers:
                each.published(Published(channel, data))
        return self._done()


@pytest.fixture
def workers(caching):
    """Return ``workers(bus)``: two proxies whose caches share it."""

    def start(bus):
        made = [caching(), caching()]
        for each in made:
            cache = _cache_of(each.server.instance)
            cache.keeper._get_bus = lambda: bus
            each.server.loop.call(cache.keeper.start)
        return made

    return start


def test_removed_everywhere(workers):
    """What a POST at one worker outdates, the others do not use any more."""
    one, two = workers(SharedBus())
    one.put(FRESH)
    two.put(FRESH)
    one.member.replies.append(reply())
    one.ask(method="POST")
    for each in (one, two):
        assert each.put(FRESH)[LOOKUP] == "MISS"


def test_bus_is_away(workers, log_lines):
    """Without the bus the worker itself forgets, and says what is wrong."""
    one, two = workers(SharedBus(broken=OperationError("gone")))
    one.put(FRESH)
    two.put(FRESH)
    one.member.replies.append(reply())
    assert one.ask(method="POST").code == 200
    assert one.put(FRESH)[LOOKUP] == "MISS"
    assert two.ask()[LOOKUP] == "MEM_HIT"
    told = [line for line in log_lines if "do not hear" in line]
    # Of two that want to hear, and one that tells.
    assert told == 3 * ["other workers do not hear what is removed from the cache: [701] gone (status: 2)"]


def test_a_server_that_stops_does_not_say_that_it_hears_nothing(workers, log_lines):
    """The bus may still be starting then, and fails what waits for it."""
    workers(SharedBus(broken=stopping(OperationError)))
    assert not any("do not hear" in line for line in log_lines)


def test_bus_was_away(workers):
    """When it is back, nothing is known of what was removed meanwhile."""
    one, _ = workers(SharedBus())
    one.put(FRESH)
    one.server.loop.call(_cache_of(one.server.instance).keeper.interrupted, "channel")
    assert one.put(FRESH)[LOOKUP] == "MISS"


def test_bus_comes_late(workers):
    """A worker that answers before it hears the others then forgets what it has: they may have removed it."""
    bus = SharedBus()
    starting = Deferred()
    bus.subscribe = lambda channel, subscriber: starting
    one, _ = workers(bus)
    one.put(FRESH)
    assert one.ask()[LOOKUP] == "MEM_HIT"
    one.server.loop.call(lambda: starting.callback(None))
    assert one.put(FRESH)[LOOKUP] == "MISS"
    assert one.ask()[LOOKUP] == "MEM_HIT"


def test_bus_was_away_while_a_reply_came(workers):
    """What is under way then may be outdated, too: it is passed on and not kept."""
    one, _ = workers(SharedBus())
    keeper = _cache_of(one.server.instance).keeper

    def answer(connection):
        one.server.loop.call(keeper.interrupted, "channel")
        connection.send(reply(b"ok", FRESH))

    one.member.replies.append(answer)
    assert one.ask()[LOOKUP] == "MISS"
    assert one.put(FRESH)[LOOKUP] == "MISS"


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", msgpack.packb(5), msgpack.packb([[b"a"]]), msgpack.packb([["a", 1.5]])]
)
def test_strange_messages(workers, data):
    """What is no message of a cache changes nothing."""
    bus = SharedBus()
    one, _ = workers(bus)
    one.put(FRESH)
    keeper = _cache_of(one.server.instance).keeper
    assert isinstance(keeper, Keeper)
    one.server.loop.call(keeper.published, Published("channel", data))
    assert one.ask()[LOOKUP] == "MEM_HIT"
