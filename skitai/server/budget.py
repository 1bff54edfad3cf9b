"""A limit on the bytes of a ``functools.lru_cache``, which itself only counts entries."""

from __future__ import annotations

from collections.abc import Callable

# Bytes of a pair of name and value besides its characters: a tuple and two strings.
_BYTES_PER_FIELD = 200


class Budget:
    """Empties a cache with ``clear()`` before its entries take more than ``size_max`` bytes.

    Only new entries are counted, so a hit costs nothing. Entries that the cache has dropped still count: it
    may be emptied early, which does no harm.
    """

    __slots__ = ("_clear", "_size_max", "_spent")

    def __init__(self, size_max: int, clear: Callable[[], None]) -> None:
        self._size_max = size_max
        self._clear = clear
        self._spent = 0

    def spend(self, characters: int, fields: int) -> None:
        """Count a new entry with these numbers of characters and header fields. Called in any thread."""
        size = characters + fields * _BYTES_PER_FIELD
        self._spent += size
        if self._spent > self._size_max:
            self._spent = size
            self._clear()
