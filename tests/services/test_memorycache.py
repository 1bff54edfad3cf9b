import threading

import pytest
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from skitai.interfaces import IResultCache
from skitai.services.cache import MemoryCache


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def cache(clock):
    return MemoryCache(10, clock.seconds)


def test_is_a_result_cache(cache):
    """It does what any backend must."""
    assert verifyObject(IResultCache, cache)


def test_keeps_until_the_time_is_over(cache, clock):
    """A value is there for its seconds, and gone at their end."""
    cache.put("k", "v", 5)
    clock.advance(4.9)
    assert cache.get("k") == "v"
    clock.advance(0.1)
    assert cache.get("k") is None
    assert cache.statistics()["entries"] == 0


def test_a_new_value_takes_the_place_and_its_own_time(cache, clock):
    """Put again, a key has the new value, for as long as that says."""
    cache.put("k", "old", 5)
    cache.put("k", "new", 1)
    assert cache.get("k") == "new"
    clock.advance(1)
    assert cache.get("k") is None


def test_expire_and_clear(cache):
    """Values can be forgotten one by one or all at once; forgetting what is not there is nothing."""
    for key in "abc":
        cache.put(key, key, 5)
    cache.expire("a")
    cache.expire("nothing")
    assert [cache.get(key) for key in "abc"] == [None, "b", "c"]
    cache.clear()
    assert [cache.get(key) for key in "abc"] == [None, None, None]


def test_full_it_drops_a_fifth_that_would_expire_first(cache):
    """Room is made in bulk, by the values nearest to their ends, and the newest always fits."""
    for number in range(10):
        cache.put(number, number, 100 - number)
    cache.put("new", "new", 1)
    assert [key for key in range(10) if cache.get(key) is None] == [8, 9]
    assert cache.get("new") == "new"
    assert cache.statistics()["evictions"] == 2


def test_full_it_replaces_without_dropping(cache):
    """A key that is there needs no room."""
    for number in range(10):
        cache.put(number, number, 100)
    cache.put(3, "three", 100)
    assert cache.statistics()["evictions"] == 0
    assert cache.get(3) == "three"


@pytest.mark.parametrize("maximum", [1, 2, 3])
def test_never_more_than_the_maximum(clock, maximum):
    """Even the smallest cache keeps the newest, and no more than it may."""
    cache = MemoryCache(maximum, clock.seconds)
    for number in range(20):
        cache.put(number, number, 100)
        assert cache.get(number) == number
        assert cache.statistics()["entries"] <= maximum


def test_values_need_not_be_comparable(cache):
    """Neither keys nor values are compared when several expire at the same moment."""
    for number in range(11):
        cache.put((number, object()), object(), 5)
    assert cache.statistics()["entries"] == 9


def test_statistics(cache):
    """It counts what it did."""
    cache.put("k", "v", 5)
    cache.get("k")
    cache.get("nothing")
    assert cache.statistics() == {"entries": 1, "hits": 1, "misses": 1, "stores": 1, "evictions": 0}


def test_needs_room(clock):
    """A cache of none is refused: switch it off instead."""
    with pytest.raises(ValueError, match="keeps nothing"):
        MemoryCache(0, clock.seconds)


def test_threads(cache):
    """Threads that put, look and forget at once neither fail nor overfill it."""
    errors = []

    def work(name):
        try:
            for number in range(500):
                cache.put((name, number % 7), number, 5)
                cache.get((name, number % 5))
                cache.expire((name, number % 3))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert cache.statistics()["entries"] <= 10
