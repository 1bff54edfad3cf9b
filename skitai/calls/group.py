"""The calls of one operation on all members of a cluster: what ``was.get.map(...)`` returns."""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Iterator, Sequence
from operator import is_not
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from skitai.calls.cache import DEFAULT_SECONDS
from skitai.calls.call import awaited, collecting
from skitai.calls.deadline import check_timeout, checked_seconds
from skitai.calls.raising import not_iterable
from skitai.calls.result import Result, Results, together
from skitai.loop.awaiting import in_asyncio
from skitai.loop.contexts import current_context, start_in

if TYPE_CHECKING:
    from skitai.calls.cache import CachePlace
    from skitai.calls.call import Call


class CallGroup:
    """The same operation on every member of a cluster.

    ``place`` is where the results can be kept together, None if they cannot.
    """

    def __init__(self, calls: Sequence[Call], place: CachePlace | None = None) -> None:
        self.calls = tuple(calls)
        self._place = place
        self._results: Results | None = None

    def getswait(self, timeout: float | None = None, reraise: bool = False) -> Results:
        """Wait until ``timeout`` seconds after creation and return the results in the order of the members.

        A member that does not answer in time gives a result with status 1; with ``reraise`` the first failure
        raises OperationError. Each wait gives the same results. Called in a thread or a greenlet.
        """
        with collecting(self.calls):
            results = self._together([call.getwait(timeout) for call in self.calls])
        if reraise:
            results.reraise()
        return results

    def getwait(self, timeout: float | None = None, reraise: bool = False) -> Result:
        """Wait for the result if the cluster has one member; raise ValueError if it has several."""
        if len(self.calls) != 1:
            raise ValueError(f"{len(self.calls)} results: use getswait")
        return self.calls[0].getwait(timeout, reraise)

    def wait(self, timeout: float | None = None, reraise: bool = True) -> None:
        """Wait for all; raise OperationError for the first whose status is not 3."""
        self.getswait(timeout, reraise)

    def cache(self, seconds: float = DEFAULT_SECONDS) -> Results:
        """Wait as long as ``getswait()`` does, have the results kept for ``seconds`` and return them."""
        checked_seconds("seconds", seconds)
        results = self.getswait()
        results.cache(seconds)
        return results

    def awaitable(self, timeout: float | None = None) -> Awaitable[Results]:
        """Return what a coroutine awaits to get what ``getswait(timeout)`` would return; see ``Call``."""
        if in_asyncio(self.calls[0].bridge):
            check_timeout(timeout)
            return self._wait_for_each(timeout)
        return self.deferred(timeout)

    def deferred(self, timeout: float | None = None) -> Deferred[Results]:
        """Return a Deferred that fires with what ``getswait(timeout)`` would return, or raise.

        Cancelling it cancels the calls. Called in the reactor thread.
        """
        check_timeout(timeout)
        return start_in(current_context(), self._wait_for_each(timeout))

    async def _wait_for_each(self, timeout: float | None) -> Results:
        return self._together(await awaited(self.calls, self.calls, timeout))

    def __await__(self) -> Generator[Any, Any, Results]:
        """``await`` all results in a coroutine, with the time-out of ``getswait()``."""
        return self.awaitable().__await__()

    if not TYPE_CHECKING:

        def __iter__(self) -> Iterator[Any]:
            raise not_iterable("getswait")

    def _together(self, found: Sequence[Result]) -> Results:
        if self._results is None:
            results = together(found)
            results.is_cached = all(result.is_cached for result in found)
            originals = [call.original for call in self.calls]
            if self._place is not None and any(map(is_not, found, originals)):
                results.cache_place = self._place.of_filtered(together(originals))
            else:
                results.cache_place = self._place
            self._results = results
        return self._results

    def cancel(self) -> None:
        """Cancel the calls that are still under way. Called in any thread."""
        for call in self.calls:
            call.cancel()

    @property
    def status(self) -> list[int]:
        """The status of each member's call, 0 if it is under way."""
        return [call.status for call in self.calls]

    @property
    def code(self) -> list[int]:
        """The code of each member's call, 0 if it is under way."""
        return [call.code for call in self.calls]

    def __repr__(self) -> str:
        return f"<CallGroup {list(self.calls)!r}>"
