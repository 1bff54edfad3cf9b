"""What the board of a server says of it, and how fast it changes."""

from __future__ import annotations

from collections import deque
from typing import Any

from skitai.processes import Board, State

#: Seconds over which requests are counted.
_SPAN_SECONDS = 5.0


class Rates:
    """Counts the requests of all workers of ``board``; ``look`` is called about once a second."""

    def __init__(self, board: Board) -> None:
        self._board = board
        #: The requests when it was last looked: a server that begins anew counts from 0.
        self._seen = 0
        self._total = 0
        self._counts: deque[tuple[float, int]] = deque()

    def look(self, now: float) -> None:
        """Take note of what was counted until ``now``, in seconds of a clock that is never set."""
        seen = self._board.requests()
        self._total += seen - self._seen if seen >= self._seen else seen
        self._seen = seen
        self._counts.append((now, self._total))
        while now - self._counts[0][0] > _SPAN_SECONDS and len(self._counts) > 2:
            self._counts.popleft()

    def figures(self) -> dict[str, Any]:
        """Return what ``skitaid status`` shows of the workers: bytes of memory, requests a second."""
        slots = self._board.taken()
        (first, before), (last, now) = self._ends()
        return {
            "workers": sum(slot.state == State.READY for slot in slots),
            "memory": sum(slot.memory for slot in slots),
            "connections": sum(slot.connections for slot in slots),
            "in_flight": sum(slot.in_flight for slot in slots),
            "queued": sum(slot.queued for slot in slots),
            "requests": self._total,
            "requests_per_second": round((now - before) / (last - first), 1) if last > first else 0.0,
        }

    def _ends(self) -> tuple[tuple[float, int], tuple[float, int]]:
        return (self._counts[0], self._counts[-1]) if self._counts else ((0.0, 0), (0.0, 0))
