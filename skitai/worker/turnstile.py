"""Who of several workers accepts a connection: the one that has the fewest.

The system wakes whichever worker it likes, often the same one. With few long connections, one worker would
have them all. So a worker that has more than another one looks away for a moment; if nobody else comes, it
accepts after all, because the other one may be busy.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from skitai.processes import State

if TYPE_CHECKING:
    from skitai.processes import Board, Slot

#: Seconds until a worker looks again that has more connections than another one.
_LOOK_AWAY_SECONDS = 0.002
#: Seconds after which it accepts in any case, if the others have done nothing meanwhile. Next time it waits
#: half as long; below the time of one look it does not wait for them any more.
_PATIENCE_SECONDS = 0.016
#: One in so many connections more than another worker has is not worth a wait.
_SLACK = 16
#: An event that comes so many seconds after the last one is about another connection.
_SAME_EVENT_SECONDS = 0.04
#: Seconds between two looks at who the others are: to read the whole board costs as much as a request.
_REFRESH_SECONDS = 0.2
#: Seconds without a heartbeat after which a worker does not count.
_ALIVE_SECONDS = 3.0


class Turnstile:
    """Lets the worker of ``slot`` accept if none of the others on ``board`` has fewer connections.

    One that has fewer, and does not come, is busy: it does not count until its number of connections changes.
    All methods are called in the reactor thread.
    """

    def __init__(self, board: Board, slot: Slot, seconds: Callable[[], float] = monotonic) -> None:
        self._board = board
        self._slot = slot
        self._seconds = seconds
        self._others: list[Slot] = []
        self._seen_at = -_REFRESH_SECONDS
        #: Those that did not come, with the connections that they had.
        self._busy: dict[Slot, int] = {}
        #: Those that this worker waits for, with the connections that they had; since when, and until when.
        self._awaited: dict[Slot, int] = {}
        self._since = 0.0
        self._patience = _PATIENCE_SECONDS

    def _refresh(self, now: float) -> None:
        """See who the others are."""
        self._seen_at = now
        self._others = [
            slot
            for slot in self._board.taken()
            if slot.number != self._slot.number and now - slot.heartbeat < _ALIVE_SECONDS
        ]

    def wait(self) -> float:
        """Return the seconds until the worker may ask again; 0: it accepts a connection now."""
        now = self._seconds()
        if now - self._seen_at >= _REFRESH_SECONDS:
            self._refresh(now)
        mine = self._slot.connections
        mine -= mine // _SLACK
        fewer = {
            other: count
            for other in self._others
            if (count := other.connections) < mine
            and self._busy.get(other) != count
            and other.state == State.READY
        }
        if not fewer:
            self._awaited, self._patience = {}, _PATIENCE_SECONDS
            return 0.0
        waited = now - self._since
        if not self._awaited or waited >= _SAME_EVENT_SECONDS:
            self._since, self._awaited = now, fewer
        elif waited >= self._patience:
            if fewer.items() <= self._awaited.items():
                self._give_up(fewer)
                return 0.0
            self._since, self._awaited, self._patience = now, fewer, _PATIENCE_SECONDS
        return _LOOK_AWAY_SECONDS

    def _give_up(self, idle: dict[Slot, int]) -> None:
        """Accept one that those who are ``idle`` have left."""
        self._awaited = {}
        self._patience /= 2
        if self._patience < _LOOK_AWAY_SECONDS:
            self._busy.update(idle)
            self._patience = _PATIENCE_SECONDS
