"""A bridge to a clock that stands still unless somebody waits."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from twisted.internet.task import Clock

from skitai.errors import DeadlockError
from skitai.loop.bridge import Bridge, Pending


class ClockBridge(Bridge):
    """Lets one thread be app and reactor at once: waiting moves the clock instead of taking time."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._clock = clock

    def may_wait(self) -> bool:
        """Say that code may wait anywhere."""
        return True

    def submit_to_reactor(self, function: Callable[[], object]) -> None:
        """Run ``function`` now: there are no greenlets that it must keep out of."""
        self.submit(function)

    def wait(self, pending: Pending, timeout: float) -> bool:
        """Advance the clock, timer by timer, until ``pending`` is over or ``timeout`` has passed.

        Raises DeadlockError for a wait without a limit which nothing that is due can end.
        """
        clock = self._clock
        deadline = clock.seconds() + timeout
        while not pending.over and clock.seconds() < deadline:
            due = min((timer.getTime() for timer in clock.getDelayedCalls()), default=deadline)
            if min(due, deadline) == inf:
                raise DeadlockError("nothing that the test has prepared ends this wait")
            clock.advance(max(min(due, deadline) - clock.seconds(), 0))
        return pending.over
