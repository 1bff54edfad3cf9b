"""A bound on the bytes that a cache of ``functools.lru_cache`` takes, which itself counts only entries."""

from __future__ import annotations

from collections.abc import Callable

# What a pair of name and value takes besides its characters: a tuple and two strings.
_BYTES_PER_FIELD = 200


class Budget:
    """Empties a cache, by ``clear()``, before all that it was given takes more than ``size_max`` bytes.

    Only what the cache does not know yet costs something. What it has dropped meanwhile is counted, too:
    then it is emptied early, which does no harm.
    """

    __slots__ = ("_clear", "_size_max", "_spent")

    def __init__(self, size_max: int, clear: Callable[[], None]) -> None:
        self._size_max = size_max
        self._clear = clear
        self._spent = 0

    def spend(self, characters: int, fields: int) -> None:
        """Note that an entry of so many characters and header fields comes in. Called in any thread."""
        size = characters + fields * _BYTES_PER_FIELD
        self._spent += size
        if self._spent > self._size_max:
            self._spent = size
            self._clear()
