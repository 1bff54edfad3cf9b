"""Gives each message to all members of a room, and leaves the reactor time for everything else."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twisted.logger import Logger

if TYPE_CHECKING:
    from skitai.loop.bridge import Bridge
    from skitai.services.rooms.members import Member
    from skitai.services.rooms.messages import Outgoing

_log = Logger()

#: How many members get something in one turn of the reactor: what they get leaves when the turn ends, which
#: takes longer than the giving.
_PER_TURN = 500
#: How many members get something before another room has its turn.
_PER_ROOM = 100
#: How many messages of one room may wait for its members.
_LINE_MAX = 1000


class Line:
    """What waits for the members of one room, in order; ``drained`` is called where that ends a long wait."""

    __slots__ = ("_drained", "_index", "_items", "has_turn", "is_full")

    def __init__(self, drained: Callable[[], None]) -> None:
        self._drained = drained
        self._items: deque[tuple[Outgoing, Sequence[Member]]] = deque()
        #: How many members have got the first message.
        self._index = 0
        #: Whether too much waits: nothing more is taken until all is given.
        self.is_full = False
        #: Whether its turn will come.
        self.has_turn = False

    def __bool__(self) -> bool:
        return bool(self._items)

    def append(self, outgoing: Outgoing, members: Sequence[Member]) -> None:
        """Have ``members`` get ``outgoing`` after all that waits."""
        self._items.append((outgoing, members))
        self.is_full = len(self._items) >= _LINE_MAX

    def give(self, most: int) -> int:
        """Give what waits to at most ``most`` members; return to how many."""
        outgoing, members = self._items[0]
        end = min(self._index + most, len(members))
        given = end - self._index
        for index in range(self._index, end):
            member = members[index]
            if member.active:
                try:
                    member.give(outgoing)
                except Exception:  # noqa: BLE001 - the others have nothing to do with it
                    _log.failure("a member of a room cannot be given a message")
        self._index = end
        if end == len(members):
            self._items.popleft()
            self._index = 0
        return given

    def emptied(self) -> None:
        """Note that nothing waits any more."""
        self.has_turn = False
        if self.is_full:
            self.is_full = False
            self._drained()


class FanOut:
    """Empties the lines of all rooms of a worker, in turns. Reactor thread."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        #: Those in which something waits, in the order of their turns.
        self._ready: deque[Line] = deque()
        self._running = False

    def add(self, line: Line, outgoing: Outgoing, members: Sequence[Member]) -> None:
        """Give ``outgoing`` to ``members``, now or after what waits in ``line``."""
        if not members:
            return
        line.append(outgoing, members)
        if not line.has_turn:
            line.has_turn = True
            self._ready.append(line)
        if not self._running:
            self._run()

    def _run(self) -> None:
        self._running = True
        left = _PER_TURN
        while self._ready:
            if left <= 0:
                self._bridge.call_later(0, self._run)
                return
            line = self._ready.popleft()
            left -= line.give(min(_PER_ROOM, left))
            if line:
                self._ready.append(line)
            else:
                line.emptied()
        self._running = False
