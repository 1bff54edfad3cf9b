"""The time-outs of all websockets of an instance, with one timer."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any, Protocol

from twisted.logger import Logger

_log = Logger()

#: Seconds to which time-outs are rounded up.
_STEP = 0.25
#: Seconds that a timer is late if the reactor was blocked.
_LATE = 1.0


class Watched(Protocol):
    """Who asks to be called."""

    #: Where it stands in the watch; 0: nowhere. Only the watch sets it.
    slot: int

    def check(self, now: float) -> None:
        """See what is due at ``now``, and ask again."""


class Watch:
    """Calls ``check`` of websockets when they ask for it. All methods are called in the reactor thread.

    ``clock`` is the reactor. There is a timer only while something is asked for.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        #: Returns the time that ``check`` is given.
        self.seconds: Callable[[], float] = clock.seconds
        self._slots: dict[int, set[Watched]] = {}
        self._timer: Any = None
        self._next = 0

    def call(self, watched: Watched, when: float) -> None:
        """Have ``watched`` called at ``when``, in the place of what it asked for before."""
        self.forget(watched)
        watched.slot = slot = ceil(when / _STEP)
        self._slots.setdefault(slot, set()).add(watched)
        if self._timer is None or slot < self._next:
            self._set_timer(slot)

    def forget(self, watched: Watched) -> None:
        """Do not call ``watched`` any more."""
        if watched.slot:
            self._slots[watched.slot].discard(watched)
            watched.slot = 0

    def next_turn(self, function: Callable[[], None]) -> None:
        """Call ``function`` in the next turn of the reactor."""
        self._clock.callLater(0, function)

    def stop(self) -> None:
        """Forget everything: no time-out runs any more."""
        for slot in self._slots.values():
            for watched in slot:
                watched.slot = 0
        self._slots.clear()
        self._cancel()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, slot: int) -> None:
        self._cancel()
        self._next = slot
        self._timer = self._clock.callLater(max(slot * _STEP - self.seconds(), 0.0), self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        now = self.seconds()
        if now - self._next * _STEP > _LATE:
            # The reactor was blocked, and has not yet read what peers have sent meanwhile.
            self._set_timer(ceil(now / _STEP) + 1)
            return
        for slot in sorted(slot for slot in self._slots if slot * _STEP <= now):
            for watched in self._slots.pop(slot):
                watched.slot = 0
                try:
                    watched.check(now)
                except Exception:  # noqa: BLE001 - the time-outs of all others must go on
                    _log.failure("a time-out of a websocket failed")
        self._slots = {slot: watched for slot, watched in self._slots.items() if watched}
        if self._slots:
            self._set_timer(min(self._slots))
