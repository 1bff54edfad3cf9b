"""The history of a room, for a member that has missed some of it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from skitai.loop.awaiting import until_over
from skitai.loop.bridge import Bridge, Pending
from skitai.messaging import Position, Recent

if TYPE_CHECKING:
    from skitai.services.rooms.members import Member
    from skitai.services.rooms.messages import Outgoing

#: Bytes that a member has to take before it gets more, and seconds between two looks.
_PACE_BYTES, _PACE_SECONDS = 64 * 1024, 0.05
#: How many messages may come while a member reads the history.
_BACKLOG_MAX = 1000


def start_of(recent: Recent) -> Position:
    """Return the position after which the messages of ``recent`` come."""
    first = recent.messages[0].position if recent.messages else None
    return recent.position if first is None else Position(first.epoch, first.offset - 1)


async def caught_up(member: Member, history: deque[Outgoing], bridge: Bridge) -> bool:
    """Give ``history`` no faster than ``member`` reads it, and then its backlog: what came meanwhile.

    Returns True when it has all, and False if it has ended, or was cut off because the backlog became too
    long. Reactor thread.
    """
    came = member.backlog
    assert came is not None
    while member.active:
        while history and member.waiting <= _PACE_BYTES:
            member.send(history.popleft())
        while came and not history and member.waiting <= _PACE_BYTES:
            member.give(came.popleft())
        if not (history or came):
            return True
        if len(came) > _BACKLOG_MAX:
            member.cut_off()
            break
        await until_over(bridge, Pending(), _PACE_SECONDS)
    return False
