"""Equal calls at the same time share one request to the other machine."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING

from skitai.errors import TIMEOUT, OperationTimeout

if TYPE_CHECKING:
    from skitai.calls.call import Call


class Flights:
    """The shared requests under way, by key. All methods are called in the reactor thread."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight] = {}
        #: How many calls joined a request that was under way.
        self.joined = 0

    def join(self, key: Hashable, call: Call, upstream: Call, start: Callable[[], None]) -> None:
        """Have ``call`` share the request for ``key``; if none is under way, ``upstream``'s is started."""
        if call.over:
            return
        flight = self._flights.get(key)
        if flight is not None:
            self.joined += 1
            flight.board(call)
            return
        flight = self._flights[key] = _Flight(upstream, partial(self._flights.pop, key, None))
        flight.board(call)
        start()
        call.node = upstream.node


class _Flight:
    """One request, ``upstream``, and the calls that wait for it; after ``remove()`` no others can join."""

    def __init__(self, upstream: Call, remove: partial[object]) -> None:
        self._upstream = upstream
        self._remove = remove
        self._passengers: dict[Call, None] = {}
        upstream.on_end(self._land)

    def board(self, call: Call) -> None:
        self._passengers[call] = None
        call.node = self._upstream.node
        call.on_cancel(partial(self._leave, call))

    def _leave(self, call: Call) -> None:
        self._passengers.pop(call, None)
        if self._passengers:
            return
        if call.status == TIMEOUT:  # a time-out counts for the member, as without sharing
            self._upstream.give_up(OperationTimeout("nobody waits any longer"))
        else:
            self._upstream.cancel()

    def _land(self) -> None:
        # Before the calls end: an app that asks again then wants a newer reply.
        self._remove()
        result, passengers = self._upstream.original, list(self._passengers)
        self._passengers.clear()
        for call in passengers:
            call.settle(copy.copy(result))  # each app may change its own
