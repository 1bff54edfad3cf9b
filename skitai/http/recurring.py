"""A memory for what comes again."""

from __future__ import annotations

from typing import TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")

#: How many keys that came once are known, for each value that may be remembered.
_SEEN = 4


class Recurring(dict[_K, _V]):
    """Remembers up to ``most`` values, each when its key comes for the second time.

    A response may have a field of its own, such as the cookie of a new session. What is made for it is not
    needed again, and would drive out what is. Used in any thread.
    """

    __slots__ = ("_most", "_seen")

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        #: The hashes of keys that came once.
        self._seen: set[int] = set()

    def remember(self, key: _K, value: _V) -> None:
        """Note that ``key`` has come, and remember ``value`` if that was not the first time."""
        digest = hash(key)
        if digest in self._seen:
            if len(self) >= self._most:
                self.clear()
            self[key] = value
            return
        if len(self._seen) >= _SEEN * self._most:
            self._seen.clear()
        self._seen.add(digest)
