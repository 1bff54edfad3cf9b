"""Waiting for several calls: ``was.gather`` and ``was.as_completed``."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any

from twisted.internet.defer import Deferred

from skitai.calls.call import Call, awaited, collecting
from skitai.calls.deadline import check_timeout
from skitai.calls.group import CallGroup
from skitai.calls.result import Result, Results
from skitai.formats.spelling import Keywords
from skitai.loop.awaiting import in_asyncio, until_over
from skitai.loop.bridge import Bridge, Pending
from skitai.loop.contexts import current_context, start_in

#: What users of asyncio and concurrent.futures write.
GATHER = Keywords(
    {
        "return_exceptions": "results have their errors, and result.reraise() raises them",
        "return_when": "was.as_completed(calls) gives each result as it comes",
    },
    frozenset({"timeout"}),
)


def gather(bridge: Bridge, calls: Sequence[Any], timeout: float | None) -> Results | Deferred[Results]:
    """Wait for all ``calls`` and return their results in the order of the calls.

    A group gives the results of its members, in its place. Each call has until ``timeout`` seconds after its
    own creation; without ``timeout``, as long as its own ``getwait()`` would wait. In a thread or a greenlet
    this waits; in the reactor, outside a greenlet, it returns a Deferred. In a coroutine of asyncio, it
    returns results that wait when they are awaited, or looked at.
    Raises TypeError or ValueError if an item is no call or ``timeout`` no number.
    """
    check_timeout(timeout)
    items = [_call_of(item) for item in calls]
    if in_asyncio(bridge):
        return _ResultsToAwait(items, timeout)
    if bridge.may_wait():
        return _wait_for_all(items, timeout)
    return start_in(current_context(), _gathered(items, timeout))


class _ResultsToAwait(Results):
    """The results of ``items``: to be awaited; whoever looks at them before waits in the thread."""

    def __init__(self, items: Sequence[Call | CallGroup], timeout: float | None) -> None:
        self._items = items
        self._timeout = timeout

    @cached_property
    def _results(self) -> tuple[Result, ...]:  # type: ignore[override]
        return tuple(_wait_for_all(self._items, self._timeout))

    def __await__(self) -> Generator[Any, Any, Results]:
        return _gathered(self._items, self._timeout).__await__()


def _wait_for_all(items: Sequence[Call | CallGroup], timeout: float | None) -> Results:
    with collecting(_single(items)):
        return _flat([item.getswait(timeout) for item in items])


async def _gathered(items: Sequence[Call | CallGroup], timeout: float | None) -> Results:
    return _flat(await awaited(items, _single(items), timeout))


def _flat(found: Iterable[Result | Results]) -> Results:
    results: list[Result] = []
    for item in found:
        if isinstance(item, Results):
            results += item
        else:
            results.append(item)
    return Results(results)


def as_completed(bridge: Bridge, calls: Iterable[Any], timeout: float | None) -> Completions:
    """Return an iterable of the results of ``calls``, each as it comes; a group gives one per member.

    A call that has no result ``timeout`` seconds after its creation is cancelled and gives a failed one. A
    call that is given twice gives one result. Raises as ``gather`` does.
    """
    check_timeout(timeout)
    if isinstance(calls, Call | CallGroup) or hasattr(type(calls), "__was_call__"):
        raise TypeError("calls must be a list of calls, such as [was.get(url), was.get(other)]")
    return Completions(bridge, _single([_call_of(item) for item in calls]), timeout)


class Completions:
    """Results as they come: ``for`` in a thread or a greenlet, ``async for`` in a coroutine.

    What a filter raises is raised in place of its result; the iteration can go on after it.
    """

    def __init__(self, bridge: Bridge, calls: list[Call], timeout: float | None) -> None:
        self._bridge = bridge
        # Sorted by age: the oldest is the first to time out.
        self._calls = dict.fromkeys(sorted(calls, key=lambda call: call.created))
        self._timeout = timeout

    def __iter__(self) -> Iterator[Result]:
        return _Arriving(self._bridge, dict(self._calls), self._timeout)

    def __aiter__(self) -> AsyncIterator[Result]:
        return _ArrivingLater(self._bridge, dict(self._calls), self._timeout)


# Iterators, not generators: a generator ends with the first exception, and an asynchronous generator goes on
# waiting when a loop is left early.


class _Arriving(Iterator[Result]):
    """The results of the calls ``left``, for code that may wait."""

    def __init__(self, bridge: Bridge, left: dict[Call, None], timeout: float | None) -> None:
        self._bridge = bridge
        self._arrivals = _Arrivals(left)
        self._timeout = timeout

    def __next__(self) -> Result:
        while oldest := self._arrivals.oldest():
            if arrived := self._arrivals.take():
                return arrived.getwait(self._timeout)
            if not self._bridge.wait(self._arrivals.bell, oldest.remaining(self._timeout)):
                oldest.time_out(self._timeout)  # that ends it, so it arrives
        raise StopIteration


class _ArrivingLater(AsyncIterator[Result]):
    """The results of the calls ``left``, for a coroutine."""

    def __init__(self, bridge: Bridge, left: dict[Call, None], timeout: float | None) -> None:
        self._bridge = bridge
        self._arrivals = _Arrivals(left)
        self._timeout = timeout

    async def __anext__(self) -> Result:
        while oldest := self._arrivals.oldest():
            if arrived := self._arrivals.take():
                return await arrived.awaitable(self._timeout)
            if not await until_over(self._bridge, self._arrivals.bell, oldest.remaining(self._timeout)):
                oldest.time_out(self._timeout)
        raise StopAsyncIteration


class _Arrivals:
    """The calls ``left``, in the order of their ends. ``bell`` is over when the next one has ended."""

    def __init__(self, left: dict[Call, None]) -> None:
        self.bell = Pending()
        self._left = left
        self._over: deque[Call] = deque()
        for call in left:
            call.on_end(partial(self._add, call))

    def oldest(self) -> Call | None:
        """Return the first one to time out; None if all have been taken."""
        return next(iter(self._left), None)

    def take(self) -> Call | None:
        """Return the next one that is over, or None: then the bell rings for it."""
        # First, so that a call that ends from here on is either seen below or rings the bell.
        self.bell = Pending()
        if not self._over:
            return None
        arrived = self._over.popleft()
        del self._left[arrived]
        return arrived

    def _add(self, call: Call) -> None:
        self._over.append(call)
        self.bell.end()


def _call_of(item: Any) -> Call | CallGroup:
    """Return the call that an app's object stands for.

    ``__was_call__`` is looked up on the class: the proxy of ``was.rpc`` takes any name for a remote method.
    """
    if isinstance(item, Call | CallGroup):
        return item
    unwrap = getattr(type(item), "__was_call__", None)
    if isinstance(item, list | tuple):
        raise TypeError("a list is no call: give its calls one by one, gather(*calls)")
    if unwrap is None:
        raise TypeError(f"{item!r} is no call: give what was.get(...) and the like returned")
    call: Call | CallGroup = unwrap(item)
    return call


def _single(items: Sequence[Call | CallGroup]) -> list[Call]:
    calls: list[Call] = []
    for item in items:
        calls += item.calls if isinstance(item, CallGroup) else (item,)
    return calls
