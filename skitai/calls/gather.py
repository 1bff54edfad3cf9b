"""Several calls waited for together: ``was.gather`` and ``was.as_completed``."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from skitai.calls.bridge import Bridge, Pending
from skitai.calls.call import Call
from skitai.calls.deadline import number_of_seconds
from skitai.calls.group import CallGroup
from skitai.calls.result import Result, Results


def gather(bridge: Bridge, calls: Sequence[Any], timeout: float) -> Results | Deferred[Results]:
    """Wait for all ``calls`` and return their results in the order of the calls.

    A group gives the results of its members, in its place. Each call has until ``timeout`` seconds after its
    own creation. In a thread or a greenlet this waits; in the reactor, outside a greenlet, it returns a
    Deferred. Raises TypeError or ValueError for what is no call or no number of seconds.
    """
    number_of_seconds("timeout", timeout)
    begun = [_begun(item) for item in calls]
    for call in _single(begun):
        call.collected = True
    if bridge.may_wait():
        return _flat([item.getswait(timeout) for item in begun])
    return Deferred.fromCoroutine(_gathered(begun, timeout))


async def _gathered(begun: Sequence[Call | CallGroup], timeout: float) -> Results:
    try:
        return _flat([await item.deferred(timeout) for item in begun])
    except CancelledError:
        for item in begun:
            item.cancel()
        raise


def _flat(found: Iterable[Result | Results]) -> Results:
    results: list[Result] = []
    for item in found:
        if isinstance(item, Results):
            results += item
        else:
            results.append(item)
    return Results(results)


def as_completed(bridge: Bridge, calls: Iterable[Any], timeout: float) -> Iterator[Result]:
    """Return an iterator over the results of ``calls``, each as it comes; a group gives one for each member.

    What has not come ``timeout`` seconds after its creation is cancelled and comes as a failed result.
    Raises as ``gather`` does; its iterator waits, in a thread or a greenlet.
    """
    number_of_seconds("timeout", timeout)
    if isinstance(calls, Call | CallGroup) or hasattr(type(calls), "__was_call__"):
        raise TypeError("calls must be a list of calls, such as [was.get(url), was.get(other)]")
    return _each_as_it_comes(bridge, _single([_begun(item) for item in calls]), timeout)


def _each_as_it_comes(bridge: Bridge, calls: list[Call], timeout: float) -> Iterator[Result]:
    arrivals = _Arrivals(bridge)
    # By age, which is the order in which their time runs out.
    left = dict.fromkeys(sorted(calls, key=lambda call: call.created))
    for call in left:
        call.on_end(partial(arrivals.add, call))
    while left:
        oldest = next(iter(left))
        arrived = arrivals.next(oldest.remaining(timeout))
        if arrived is None:
            oldest.getwait(timeout)  # its time is over: now it arrives, too
        else:
            del left[arrived]
            yield arrived.getwait(timeout)


class _Arrivals:
    """The calls that are over, in the order of their ends."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._over: deque[Call] = deque()
        self._bell = Pending()

    def add(self, call: Call) -> None:
        """Note that ``call`` is over. Called in any thread."""
        self._over.append(call)
        self._bell.end()

    def next(self, timeout: float) -> Call | None:
        """Wait at most ``timeout`` seconds for the next one; None if there was none."""
        # The bell first: what comes from here on either is seen below or rings it.
        self._bell = Pending()
        if not self._over:
            self._bridge.wait(self._bell, timeout)
        return self._over.popleft() if self._over else None


def _begun(item: Any) -> Call | CallGroup:
    """Return the call that an app's object stands for.

    Looked up on its class: an object like that of ``was.rpc`` takes any other name for a remote method.
    """
    if isinstance(item, Call | CallGroup):
        return item
    unwrap = getattr(type(item), "__was_call__", None)
    if unwrap is None:
        raise TypeError(f"{item!r} is no call: give what was.get(...) and the like returned")
    begun: Call | CallGroup = unwrap(item)
    return begun


def _single(begun: Sequence[Call | CallGroup]) -> list[Call]:
    calls: list[Call] = []
    for item in begun:
        calls += item.calls if isinstance(item, CallGroup) else (item,)
    return calls
