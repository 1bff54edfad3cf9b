"""Results that are kept for the next request: ``cache()`` and ``expire()``."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from skitai.calls.deadline import checked_seconds

if TYPE_CHECKING:
    from skitai.interfaces import IResultCache

#: Seconds for which ``cache()`` keeps a result by default.
DEFAULT_SECONDS = 300.0


class CachePlace:
    """Where the result of one operation is kept: a key in a cache. Used in any thread.

    ``original`` is the result before the app's filter, None without one. It is kept in place of the filtered
    result, because the filter runs again over what is kept.
    """

    __slots__ = ("_cache", "key", "original")

    def __init__(self, cache: IResultCache, key: Hashable, original: Any = None) -> None:
        self._cache = cache
        self.key = key
        self.original = original

    def of_filtered(self, original: Any) -> CachePlace:
        """Return the same place for the result that a filter made of ``original``."""
        return CachePlace(self._cache, self.key, original)

    def look_up(self) -> Any:
        """Return the result or results that are kept here, or None."""
        kept = self._cache.get(self.key)
        if kept is not None and kept.cache_place is None:
            kept.cache_place = self
        return kept

    def keep(self, result: Cacheable, seconds: float) -> None:
        """Keep ``result`` for ``seconds``; it replaces what is kept here."""
        kept = (result if self.original is None else self.original).as_kept()
        kept.cache_place = None  # or it would keep the original alive
        self._cache.put(self.key, kept, seconds)

    def expire(self) -> None:
        """Forget what is kept here."""
        self._cache.expire(self.key)


class Cacheable:
    """What ``Result`` and ``Results`` have in common: an app may have them kept."""

    #: Whether it came from the cache.
    is_cached = False
    #: Where it can be kept; None if it cannot.
    cache_place: CachePlace | None = None

    @property
    def is_keepable(self) -> bool:
        """Whether the cache may keep it."""
        raise NotImplementedError

    def as_kept(self) -> Any:
        """Return the copy that the cache keeps."""
        raise NotImplementedError

    def cache(self, seconds: float = DEFAULT_SECONDS) -> None:
        """Use this result for the same request for ``seconds``; with 0 or less, stop using it.

        Does nothing if the status is not 3, if the service cannot tell which requests are the same, or if the
        result came from the cache: its time is not extended. Raises TypeError or ValueError if ``seconds`` is
        no number. Called in any thread.
        """
        place, seconds = self.cache_place, checked_seconds("seconds", seconds)
        if place is None:
            return
        if seconds <= 0:
            place.expire()
        elif not self.is_cached and self.is_keepable:
            place.keep(self, seconds)

    def expire(self) -> None:
        """Have the cache forget the result of this request. Called in any thread."""
        if self.cache_place is not None:
            self.cache_place.expire()
