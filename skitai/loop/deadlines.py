"""Greenlets that wait, and the deadlines of their waits.

A timer of the reactor for each wait would cost more than all the rest of the wait.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any

from skitai.loop.switching import switch_to

if TYPE_CHECKING:
    import greenlet
    from twisted.internet.interfaces import IDelayedCall

#: So many waits that are over may stay in the heap, and as many as there are others.
_OVER_MAX = 64


class Sleeper:
    """``me``, a greenlet that waits for the hub to switch back; ``rouse`` has the hub call a function."""

    __slots__ = ("_greenlet", "_rouse", "awake", "called")

    def __init__(self, me: greenlet.greenlet, rouse: Callable[[Callable[[], None]], None]) -> None:
        self._greenlet: greenlet.greenlet | None = me
        self._rouse = rouse
        # Two flags, not one state: any thread sets ``called``, and only the reactor's sets ``awake``.
        self.awake = self.called = False

    def wake(self) -> None:
        """Have the greenlet go on soon. Called in any thread."""
        if not self.called:
            self.called = True
            self._rouse(self._go_on)

    def _go_on(self) -> None:
        if not self.awake:
            self.awake = True
            assert self._greenlet is not None
            switch_to(self._greenlet)

    def end(self) -> None:
        """Note that the greenlet goes on, and let go of it. Called in the greenlet."""
        self.awake = True
        self._greenlet = None


class Deadlines:
    """Wakes those who have waited long enough, with one timer of ``reactor``, that of the next deadline.

    All methods are called in the reactor thread.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        #: A heap. The number decides between equal deadlines.
        self._waits: list[tuple[float, int, Sleeper]] = []
        self._numbers = count()
        #: How many of these waits are over.
        self._over = 0
        self._timer: IDelayedCall | None = None
        self._due = 0.0

    def add(self, sleeper: Sleeper, seconds: float) -> None:
        """Wake ``sleeper`` in ``seconds``, in the next turn if that is not more than 0."""
        due = self._reactor.seconds() + max(seconds, 0)
        heappush(self._waits, (due, next(self._numbers), sleeper))
        if self._timer is None or due < self._due:
            self._keep_timer()

    def discard_one(self) -> None:
        """Note that one of the sleepers waits no more."""
        self._over += 1
        if self._over > _OVER_MAX and self._over > len(self._waits) // 2:
            self._waits = [wait for wait in self._waits if not wait[2].awake]
            heapify(self._waits)
            self._over = 0

    def __len__(self) -> int:
        """How many waits it remembers, some of which may be over."""
        return len(self._waits)

    def _wake(self) -> None:
        self._timer = None
        now = self._reactor.seconds()
        while self._waits and (self._waits[0][0] <= now or self._waits[0][2].awake):
            _, _, sleeper = heappop(self._waits)
            self._over -= 1  # it is, or will be soon
            if not sleeper.awake:
                sleeper.wake()
        self._keep_timer()

    def _keep_timer(self) -> None:
        """Have the timer run until the first deadline."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waits:
            self._due = self._waits[0][0]
            self._timer = self._reactor.callLater(max(self._due - self._reactor.seconds(), 0), self._wake)
