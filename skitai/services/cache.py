"""``result_cache = memory``: the result cache in the memory of the worker."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from skitai.interfaces import IResultCache
from skitai.loop.native import Lock
from skitai.plugins import hookimpl

if TYPE_CHECKING:
    from skitai.interfaces import IInstance

#: The share of the entries that is dropped when the cache is full: those that would expire first.
_EVICTED_SHARE = 0.2


@hookimpl
def skitai_result_caches(instance: IInstance) -> Mapping[str, IResultCache]:
    """Give ``result_cache = memory``, with the config's ``num_result_cache_max`` entries."""
    maximum = instance.config.server.num_result_cache_max
    return {"memory": MemoryCache(maximum, instance.reactor.seconds)} if maximum else {}


@implementer(IResultCache)
class MemoryCache:
    """Keeps at most ``maximum`` results (at least 1), each until it expires by the clock ``seconds``.

    All methods may be called in any thread; none blocks longer than an eviction takes.
    """

    def __init__(self, maximum: int, seconds: Callable[[], float]) -> None:
        if maximum < 1:
            raise ValueError(f"a cache of {maximum} results keeps nothing")
        self._maximum = maximum
        self._seconds = seconds
        self._entries: dict[Hashable, tuple[float, Any]] = {}
        self._changing = Lock()  # not needed to read: one look-up in a dict is atomic
        self._hits = self._misses = self._stores = self._evictions = 0

    def get(self, key: Hashable) -> Any:
        """Return what is kept under ``key``, or None."""
        entry = self._entries.get(key)
        if entry is None:
            self._misses += 1
            return None
        if entry[0] <= self._seconds():
            self._misses += 1
            self._drop(key, entry)
            return None
        self._hits += 1
        return entry[1]

    def put(self, key: Hashable, value: Any, seconds: float) -> None:
        """Keep ``value`` under ``key`` for ``seconds``."""
        entry = (self._seconds() + seconds, value)
        with self._changing:
            if key not in self._entries and len(self._entries) >= self._maximum:
                self._make_room()
            self._entries[key] = entry
            self._stores += 1

    def expire(self, key: Hashable) -> None:
        """Forget what is kept under ``key``, if anything."""
        with self._changing:
            self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget everything but the statistics."""
        with self._changing:
            self._entries.clear()

    def statistics(self) -> dict[str, int]:
        """Return ``entries`` and, since the start, ``hits``, ``misses``, ``stores`` and ``evictions``."""
        return {
            "entries": len(self._entries),
            "hits": self._hits,
            "misses": self._misses,
            "stores": self._stores,
            "evictions": self._evictions,
        }

    def _drop(self, key: Hashable, entry: tuple[float, Any]) -> None:
        with self._changing:
            if self._entries.get(key) is entry:  # another thread may have put a new one
                del self._entries[key]

    def _make_room(self) -> None:
        # Several at once, because finding the first to expire takes a look at all entries.
        count = max(1, int(self._maximum * _EVICTED_SHARE))
        ends = ((entry[0], number, key) for number, (key, entry) in enumerate(self._entries.items()))
        for _, _, key in heapq.nsmallest(count, ends, key=itemgetter(0, 1)):
            del self._entries[key]
        self._evictions += count
