"""Results that are kept for the next request: where they are, and what an app can do with one."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from skitai.calls.deadline import checked_seconds

if TYPE_CHECKING:
    from skitai.interfaces import IResultCache

#: Seconds that ``cache()`` keeps a result unless told otherwise.
DEFAULT_SECONDS = 300.0


class CachePlace:
    """Where the answer to one operation is kept: a key in a cache. Used in any thread.

    ``original`` is what to keep instead of the result that the app has: a filter made that one from it, and
    will make its own of what is kept.
    """

    __slots__ = ("_cache", "key", "original")

    def __init__(self, cache: IResultCache, key: Hashable, original: Any = None) -> None:
        self._cache = cache
        self.key = key
        self.original = original

    def of_filtered(self, original: Any) -> CachePlace:
        """Return the same place for what a filter made of ``original``."""
        return CachePlace(self._cache, self.key, original)

    def look_up(self) -> Any:
        """Return the result or results that are kept there, or None."""
        kept = self._cache.get(self.key)
        if kept is not None and kept.cache_place is None:
            kept.cache_place = self
        return kept

    def keep(self, result: Cacheable, seconds: float) -> None:
        """Keep ``result`` for ``seconds`` in the place of what is there."""
        kept = (result if self.original is None else self.original).as_kept()
        kept.cache_place = None  # else it would hold what it was made from
        self._cache.put(self.key, kept, seconds)

    def expire(self) -> None:
        """Forget what is kept there."""
        self._cache.expire(self.key)


class Cacheable:
    """What ``Result`` and ``Results`` share: an app may have them kept."""

    #: Whether the cache gave it.
    is_cached = False
    #: Where it would be kept; None where it cannot be.
    cache_place: CachePlace | None = None

    @property
    def is_keepable(self) -> bool:
        """Whether the cache may keep it."""
        raise NotImplementedError

    def as_kept(self) -> Any:
        """Return the copy that the cache keeps."""
        raise NotImplementedError

    def cache(self, seconds: float = DEFAULT_SECONDS) -> None:
        """Have the same request answered with this for ``seconds``; 0 or less: no longer.

        Nothing happens where the status is not 3, where the service does not say which requests are the
        same, and to what the cache gave itself: that does not live longer. Raises TypeError or ValueError
        for what is no number. Called in any thread.
        """
        place, seconds = self.cache_place, checked_seconds("seconds", seconds)
        if place is None:
            return
        if seconds <= 0:
            place.expire()
        elif not self.is_cached and self.is_keepable:
            place.keep(self, seconds)

    def expire(self) -> None:
        """Have the cache forget the answer to this request. Called in any thread."""
        if self.cache_place is not None:
            self.cache_place.expire()
