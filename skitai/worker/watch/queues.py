"""When all threads count as busy: a task has waited for one of them for a while."""

from __future__ import annotations

import attrs

#: Seconds that a task waits before it is said that all threads are busy.
WAIT_SECONDS = 1.0
#: Seconds without such a wait after which it may be said again.
_QUIET_SECONDS = 30.0


@attrs.define
class QueueWatch:
    """Measures how long tasks wait for a thread, without a clock for each of them.

    Tasks begin in the order in which they were handed out. So a task has begun when as many have begun as
    were handed out up to it.
    """

    #: How many had been handed out at ``_noted_at``, for a task that had not begun then.
    _noted: int | None = None
    _noted_at: float = 0.0
    _last_said: float | None = None

    def look(self, begun: int, handed_out: int, now: float) -> bool:
        """Return whether to say that all threads are busy: once, until that has been over for a while.

        ``begun`` and ``handed_out`` count tasks since the start; ``now`` is in seconds.
        """
        if self._noted is not None and begun >= self._noted:
            self._noted = None
        if self._noted is None and begun < handed_out:
            self._noted, self._noted_at = handed_out, now
        if self._noted is None or now - self._noted_at < WAIT_SECONDS:
            return False
        is_new = self._last_said is None or now - self._last_said > _QUIET_SECONDS
        self._last_said = now
        return is_new
