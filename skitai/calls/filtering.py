"""Runs an app's filter over a result."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

from skitai.loop.bridge import Pending

if TYPE_CHECKING:
    from skitai.calls.result import Result


class Filtering(Pending):
    """One run of a filter over ``original``, which is not changed, because the cache may keep it."""

    __slots__ = ("_error", "_result", "original")

    def __init__(self, original: Result) -> None:
        super().__init__()
        self.original = original
        self._result: Result | None = None
        self._error: BaseException | None = None

    def run(self, function: Callable[[Result], Result]) -> Result:
        """Return what ``function`` makes of the result, or raise what it raises. Called once."""
        try:
            self._result = self._apply(function)
        except BaseException as error:
            self._error = error
            raise
        finally:
            self.end()
        return self._result

    def result(self) -> Result:
        """Return or raise what ``run`` did. Called in any thread, when that is over."""
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def _apply(self, function: Callable[[Result], Result]) -> Result:
        original = self.original
        result = function(copy.copy(original))
        if not hasattr(result, "cache_place"):
            raise TypeError(f"a filter must return a result, such as the one that it takes, not {result!r}")
        if result.cache_place is not None and result.cache_place is not original.cache_place:
            result = copy.copy(result)  # it belongs to another call, which has its own place
        if original.cache_place is not None:
            result.cache_place = original.cache_place.of_filtered(original)
        result.is_cached = original.is_cached
        return result
