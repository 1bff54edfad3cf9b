"""A bridge to a clock that stands still unless somebody waits."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock

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
        """Advance the clock, timer by timer, until ``pending`` is over or ``timeout`` has passed."""
        clock = self._clock
        deadline = clock.seconds() + timeout
        while not pending.over and clock.seconds() < deadline:
            due = min((timer.getTime() for timer in clock.getDelayedCalls()), default=deadline)
            clock.advance(max(min(due, deadline) - clock.seconds(), 0))
        return pending.over
