"""The second level of the result cache: what one process keeps, another finds."""

from datetime import date

import attrs
import pytest
from call_fakes import FakeReactor, ManualService, World
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from skitai.calls.result import Result
from skitai.calls.sharing import shared_key
from skitai.interfaces import ISharedResults
from skitai.net.addresses import HTTPNode, UnixNode
from skitai.services.cache import MemoryCache


class Store:
    """What both processes see."""

    def __init__(self):
        self.kept = {}
        self.fetched = 0

    def fetch(self, key):
        self.fetched += 1
        return succeed(self.kept.get(key))


@implementer(ISharedResults)
class TwoLevels(MemoryCache):
    def __init__(self, store, seconds):
        super().__init__(100, seconds)
        self.store_of_all = store

    def fetch(self, key):
        return self.store_of_all.fetch(key)

    def store(self, key, value, seconds):
        self.store_of_all.kept[key] = (value, seconds)

    def forget(self, key):
        self.store_of_all.kept.pop(key, None)


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def process(store):
    """Return a function that makes a world like another process; its nodes answer at once, with ``data``."""

    def make(data=b"data", **options):
        reactor = FakeReactor()
        service = ManualService(lambda asked: Result(data))
        return World(reactor, service, cache=TwoLevels(store, reactor.seconds), **options)

    return make


def test_another_process_finds_it(process):
    """What one process keeps is the answer in another, which asks nobody."""
    one, other = process([{"a": date(2026, 1, 1)}]), process()
    one.ask("a", key="k").getwait().cache(60)
    found = other.ask("a", key="k").getwait()
    assert (found.data, found.is_cached, found.node.label) == ([{"a": date(2026, 1, 1)}], True, "a:80")
    assert other.asked == []
    assert other.in_flight() == [0, 0, 0, 0]


def test_the_first_level_then_has_it(process, store):
    """A result that was found is kept for the rest of its life, without asking the store again."""
    one, other = process(), process()
    one.ask("a", key="k").getwait().cache(60)
    other.ask("a", key="k").getwait()
    fetched = store.fetched
    assert other.ask("a", key="k").getwait().is_cached
    assert store.fetched == fetched
    other.reactor.advance(60)
    store.kept.clear()
    assert not other.ask("a", key="k").getwait().is_cached


def test_a_found_result_is_not_kept_for_longer(process, store):
    """To have it kept again changes nothing: its time goes on."""
    one, other = process(), process()
    one.ask("a", key="k").getwait().cache(60)
    other.ask("a", key="k").getwait().cache(3600)
    assert [seconds for _, seconds in store.kept.values()] == [60]


def test_expiry_for_all(process, store):
    """Who has a result forgotten has it forgotten by all who have not found it yet."""
    one = process()
    result = one.ask("a", key="k").getwait()
    result.cache(60)
    result.expire()
    assert store.kept == {}


def test_use_cache(process, store):
    """A call that wants no kept result does not look for one, and what it brings replaces it."""
    one, other = process(b"old"), process(b"new")
    one.ask("a", key="k").getwait().cache(60)
    result = other.ask("a", key="k", use_cache=False).getwait()
    assert (result.data, store.fetched) == (b"new", 1)
    result.cache(60)
    assert process().ask("a", key="k").getwait().data == b"new"


def test_all_members(process):
    """The results of a map are kept and found together, in the order of the members."""
    one, other = process(), process()
    one.ask.map("@c", key="k").getswait().cache(60)
    found = other.ask.map("@c", key="k").getswait()
    assert [result.data for result in found] == [b"data"] * 3
    assert (found.is_cached, other.asked) == (True, [])
    assert other.ask.map("@c", key="k").getswait().is_cached
    assert not process(members=("a", "b")).ask.map("@c", key="k").getswait().is_cached


def test_a_map_over_one_member(process):
    """It stays a map."""
    one, other = process(members=("a",)), process(members=("a",))
    one.ask.map("@c", key="k").getswait().cache(60)
    for _ in range(2):
        assert len(other.ask.map("@c", key="k").getswait()) == 1


def test_a_filter(process):
    """The result before the filter is kept, and the filter runs over what is found."""

    def double(result):
        return Result(result.data * 2)

    one, other = process(), process()
    one.ask("a", key="k", filter=double).getwait().cache(60)
    assert other.ask("a", key="k", filter=double).getwait().data == b"datadata"
    assert process().ask("a", key="k").getwait().data == b"data"


def test_equal_calls_at_once(process, store):
    """With ``coalesce`` they look for one result, too."""
    one, other = process(coalesce=True), process(coalesce=True)
    one.ask("a", key="k").getwait().cache(60)
    waiting = Deferred()
    store.fetch = lambda key: waiting
    calls = [other.ask("a", key="k") for _ in range(3)]
    waiting.callback(next(iter(store.kept.values())))
    assert [call.getwait().data for call in calls] == [b"data"] * 3
    assert other.asked == []


def test_while_the_store_is_asked(process, store):
    """A call whose time is over meanwhile asks nobody."""
    world, waiting = process(), Deferred()
    store.fetch = lambda key: waiting
    call = world.ask("a", key="k")
    call.cancel()
    waiting.callback(None)
    assert (call.code, world.asked, world.in_flight()) == (705, [], [0, 0, 0, 0])


@pytest.mark.parametrize("kept", [(b"\xc1", 60), (b"\x90", 60), (b"\x91\x01", 60), (b"\x91\x80", 60)])
def test_a_store_with_something_else(process, store, kept, caplog):
    """What is no result of ours is not used, and does no harm."""
    store.fetch = lambda key: succeed(kept)
    assert not process().ask("a", key="k").getwait().is_cached


def test_a_store_that_fails(process, store):
    """The call is made as if there were no store."""
    store.fetch = lambda key: fail(OSError("gone"))
    assert process().ask("a", key="k").getwait().data == b"data"


def test_what_is_no_plain_data(process, store):
    """A result with objects is kept in its own process alone."""
    world = process(object())
    world.ask("a", key="k").getwait().cache(60)
    assert store.kept == {}
    assert world.ask("a", key="k").getwait().is_cached


class TestKeys:
    def test_equal_keys(self):
        """The same request has the same key in every process, which tells nothing of it."""
        key = ("get", False, "a", ("GET", HTTPNode("a", 80), b"", (("x", "secret"),), None, int, 1.5))
        assert shared_key(key) == shared_key(key)
        assert len(shared_key(key)) == 32
        assert b"secret" not in shared_key(key)

    def test_kinds_are_told_apart(self):
        """1, True, 1.0 and their texts are other keys; so is a tuple that is nested otherwise."""
        keys = [(1,), (True,), (1.0,), ("1",), (b"1",), ((1,),), (1, ()), (int,), (str,)]
        assert len({shared_key(key) for key in keys}) == len(keys)

    def test_what_only_this_process_knows(self):
        """An object that other processes cannot have gives no key."""
        assert shared_key((object(),)) is None

    @pytest.mark.parametrize("node", [HTTPNode("localhost", 80), HTTPNode("127.0.0.1", 80), UnixNode("/s")])
    def test_nodes_of_this_machine(self, node, monkeypatch):
        """Another machine's localhost is another node."""
        here = shared_key((node,))
        far = shared_key((HTTPNode("far", 80),))
        monkeypatch.setattr("socket.gethostname", lambda: "other")
        assert shared_key((node,)) != here
        assert shared_key((HTTPNode("far", 80),)) == far

    def test_nodes_of_this_process(self):
        """What lives in the memory of the process is shared with nobody."""

        @attrs.frozen
        class Memory:
            reach = "process"

        assert shared_key((Memory(),)) is None
