"""When an executor counts as overloaded: requests wait long for their turn, or are refused."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Self

import attrs

from skitai.loop.lines import Line

#: Seconds that a task waits before it is said that all threads are busy.
WAIT_SECONDS = 1.0
#: Seconds without such a wait or a refusal after which that is over.
_QUIET_SECONDS = 30.0


@attrs.frozen
class Refusals:
    """How many requests were not begun: too many waited, they waited too long, or their clients left."""

    full: int = 0
    late: int = 0
    left: int = 0

    @classmethod
    def of(cls, lines: Iterable[Line]) -> Self:
        """Return those of ``lines`` since the start."""
        counts = [(line.full, line.late, line.left) for line in lines]
        return cls(*map(sum, zip(*counts, strict=True))) if counts else cls()

    def since(self, before: Refusals) -> Refusals:
        """Return how many have come after ``before``."""
        return Refusals(self.full - before.full, self.late - before.late, self.left - before.left)

    @property
    def refused(self) -> int:
        """How many were answered with 503."""
        return self.full + self.late


class News(Enum):
    """What there is to say."""

    NONE = 0
    BEGUN = 1
    OVER = 2


@attrs.define
class QueueWatch:
    """Tells when requests begin to wait too long, and when that has been over for a while."""

    #: Since when that is so; None if it is not.
    began: float | None = None
    #: The refusals before it began, and at the last look.
    before: Refusals = Refusals()
    last: Refusals = Refusals()
    _last_at: float = 0.0

    def look(self, waited: float, refusals: Refusals, now: float) -> News:
        """Return what is new: each begin and each end once.

        ``waited`` is for how many seconds the first in the line has waited, ``refusals`` are those since the
        start; ``now`` is in seconds.
        """
        before, self.last = self.last, refusals
        if waited >= WAIT_SECONDS or refusals.refused > before.refused:
            self._last_at = now
            if self.began is None:
                self.began, self.before = now, before
                return News.BEGUN
        elif self.began is not None and now - self._last_at > _QUIET_SECONDS:
            self.began = None
            return News.OVER
        return News.NONE
