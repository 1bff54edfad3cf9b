"""Runs an app's filter over a result."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from skitai.calls.raising import fresh
from skitai.loop.bridge import Pending

if TYPE_CHECKING:
    from skitai.calls.result import Result


class Filtering(Pending):
    """One run of a filter over ``original``, which is not changed, because the cache may keep it."""

    __slots__ = ("_error", "_result", "_traceback", "original")

    def __init__(self, original: Result) -> None:
        super().__init__()
        self.original = original
        self._result: Result | None = None
        self._error: BaseException | None = None
        #: Where the filter has raised, without those who waited.
        self._traceback: TracebackType | None = None

    def run(self, function: Callable[[Result], Result]) -> Result:
        """Return what ``function`` makes of the result, or raise what it raises. Called once."""
        try:
            self._result = self._apply(function)
        except BaseException as error:
            self._error, self._traceback = error, error.__traceback__
            raise
        finally:
            self.end()
        return self._result

    def result(self) -> Result:
        """Return or raise what ``run`` did. Called in any thread, when that is over."""
        if self._error is not None:
            raise fresh(self._error, self._traceback)  # another thread may see the first one's frames
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
