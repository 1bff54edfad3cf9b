"""How long a server that was asked to stop may take, and what is done then."""

from __future__ import annotations

from enum import Enum, auto

import attrs

#: Seconds that code holds the reactor before it is interrupted, and before it is interrupted again.
_HOLD_SECONDS = 0.25
#: Seconds that code has to end after the first interrupt, and a server after it was asked once more.
_LAST_SECONDS = 1.0
#: Requests, apps and plugins have their time one after the other.
_PARTS = 3


class Step(Enum):
    """What is to be done about a server that stops."""

    WAIT = auto()
    #: Interrupt what holds the reactor.
    INTERRUPT = auto()
    #: End the process as it is.
    END = auto()


@attrs.define
class Patience:
    """Says what to do about a server that was asked to stop at the time ``began``.

    ``seconds`` is what the requests under way get. After that, what holds the reactor is interrupted. If that
    does not help, or all takes too long, the process is ended. Without a reactor (``is_last``), nothing is
    left to interrupt. All times are in seconds by one clock.
    """

    seconds: float
    began: float
    is_last: bool = False
    _hurry: float | None = None
    #: When the present code was interrupted: the first time, and the last.
    _first: float | None = None
    _last: float = 0.0

    @property
    def most(self) -> float:
        """Seconds after which the process ends in any case."""
        return _PARTS * self.seconds + _LAST_SECONDS

    def hurry(self, now: float) -> None:
        """Take note that the server was asked once more."""
        if self._hurry is None:
            self._hurry = now

    def look(self, now: float, held: float) -> Step:
        """Return what to do ``now``, where one and the same has held the reactor for ``held`` seconds."""
        if self._hurry is not None and now - self._hurry >= _LAST_SECONDS:
            return Step.END
        waited = now - self.began
        if waited >= (self.seconds if self.is_last else self.most):
            return Step.END
        if self.is_last or waited < self.seconds:
            return Step.WAIT
        return self._about(now, held)

    def _about(self, now: float, held: float) -> Step:
        """Return what to do about what holds the reactor, once the requests have had their time."""
        if held < _HOLD_SECONDS:
            self._first = None
            return Step.WAIT
        if self._first is None:
            self._first = self._last = now
            return Step.INTERRUPT
        if now - self._first >= _LAST_SECONDS:
            return Step.END
        if now - self._last < _HOLD_SECONDS:
            return Step.WAIT
        self._last = now
        return Step.INTERRUPT
