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
#: Seconds after which it accepts in any case, if the others have done nothing meanwhile. An event that comes
#: long after that is about another connection.
_PATIENCE_SECONDS, _SAME_EVENT_SECONDS = 0.005, 0.02
#: Seconds without a heartbeat after which a worker does not count.
_ALIVE_SECONDS = 3.0


class Turnstile:
    """Lets the worker of ``slot`` accept if none of the others on ``board`` has fewer connections.

    One that has fewer, and does not come, is busy: it does not count until its number of connections changes.
    ``refresh`` is called with each heartbeat. All methods are called in the reactor thread.
    """

    def __init__(self, board: Board, slot: Slot, seconds: Callable[[], float] = monotonic) -> None:
        self._board = board
        self._slot = slot
        self._seconds = seconds
        self._others: list[Slot] = []
        #: Those that did not come, with the connections that they had.
        self._busy: dict[Slot, int] = {}
        #: Those that this worker waits for, with the connections that they had, and since when it waits.
        self._awaited: dict[Slot, int] = {}
        self._since = 0.0

    def refresh(self) -> None:
        """See who the others are."""
        now = self._seconds()
        self._others = [
            slot
            for slot in self._board.taken()
            if slot.number != self._slot.number and now - slot.heartbeat < _ALIVE_SECONDS
        ]

    def wait(self) -> float:
        """Return the seconds until the worker may ask again; 0: it accepts a connection now."""
        mine = self._slot.connections
        fewer = {
            other: count
            for other in self._others
            if (count := other.connections) < mine
            and self._busy.get(other) != count
            and other.state == State.READY
        }
        if fewer:
            now = self._seconds()
            if now - self._since >= _SAME_EVENT_SECONDS or not self._awaited:
                self._since, self._awaited = now, fewer
            elif now - self._since >= _PATIENCE_SECONDS:
                idle = fewer.items() & self._awaited.items()
                self._busy.update(idle)
                self._since, self._awaited = now, fewer
                if len(idle) == len(fewer):
                    fewer = {}
        if not fewer:
            self._awaited = {}
            return 0.0
        return _LOOK_AWAY_SECONDS
