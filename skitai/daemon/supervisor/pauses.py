"""How long to wait before the next worker or agent, where they keep dying at their start."""

from __future__ import annotations

from collections.abc import Callable

import attrs

#: Seconds that a worker must have served to count as one that has started.
STARTED_SECONDS = 1.0
_FIRST_SECONDS, _LONGEST_SECONDS = 0.5, 30.0
#: The doubling stops here, long after the longest pause is reached.
_STEPS_MAX = 16


@attrs.define
class Pauses:
    """The first failure costs no pause; each further one doubles it. One worker that has started ends it.

    ``random`` returns numbers from 0 to 1: servers that fail for one reason must not all try at once.
    """

    random: Callable[[], float]
    first_seconds: float = _FIRST_SECONDS
    longest_seconds: float = _LONGEST_SECONDS
    started_seconds: float = STARTED_SECONDS
    until: float = 0.0
    failures: int = 0
    _last: float = 0.0

    def failed(self, now: float) -> float:
        """Take note that a worker died at its start; return the seconds until the next one may be forked."""
        self.failures += 1
        self._last = now
        seconds = 0.0
        if self.failures > 1:
            doubled = self.first_seconds * 2 ** min(self.failures - 2, _STEPS_MAX)
            seconds = min(doubled, self.longest_seconds)
            seconds *= 0.75 + self.random() / 2
        self.until = now + seconds
        return seconds

    def ended(self, began: float, now: float) -> float:
        """Take note of the end of what began at the time ``began``; return the seconds until the next one.

        It died at its start if it has not lived for ``started_seconds``.
        """
        if now - began >= self.started_seconds:
            self.started(began)
        return self.failed(now)

    def reset(self) -> None:
        """Forget all failures: what begins next is something else."""
        self.failures, self.until, self._last = 0, 0.0, 0.0

    def started(self, began: float) -> None:
        """Take note that a worker has started which began at the time ``began``."""
        if began >= self._last:
            self.failures, self.until = 0, 0.0


def in_words(seconds: float) -> str:
    """Return when the next one begins, as a log says it."""
    return f"in {seconds:.0f} s" if seconds else "at once"
