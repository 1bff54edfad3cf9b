"""When a mail is tried again, and when it is given up."""

from __future__ import annotations

from collections.abc import Callable
from random import random

import attrs

_GROWS_UNTIL = 7
_LONGEST_SECONDS = 6 * 3600.0
_JITTER_MIN, _JITTER_MAX = 0.75, 1.25


def plain_delay(tries: int) -> float:
    """Return the seconds after the ``tries``-th failure: 4, 16, 64, ... up to 4.5 hours, then 6 hours."""
    return 4.0**tries if tries <= _GROWS_UNTIL else _LONGEST_SECONDS


def due_at(next_at: float | None, now: float) -> float:
    """Return when a try is due that was planned for ``next_at``; None means now.

    A time further away than any delay is of a clock that was wrong: then it is now, too.
    """
    return now if next_at is None or next_at > now + _LONGEST_SECONDS * _JITTER_MAX else next_at


@attrs.frozen
class Policy:
    """``max_retry`` tries follow the first. ``random`` returns numbers from 0 to 1, for the jitter."""

    max_retry: int
    random: Callable[[], float] = random

    def delay(self, tries: int) -> float:
        """Return the seconds to wait after the ``tries``-th failure: mails must not all come back at once."""
        return plain_delay(tries) * (_JITTER_MIN + self.random() * (_JITTER_MAX - _JITTER_MIN))

    def is_last(self, tries: int) -> bool:
        """Return whether nothing follows the ``tries``-th failure."""
        return tries > self.max_retry

    @property
    def patience(self) -> float:
        """The seconds within which a mail is tried as often as it may be.

        While a server takes nothing at all, one mail after the other is tried for the rest. So none counts
        its own failures, and what has waited this long is given up.
        """
        return sum(plain_delay(tries) for tries in range(1, self.max_retry + 1))
