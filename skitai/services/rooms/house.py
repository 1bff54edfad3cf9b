"""All rooms of one worker in which somebody is."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import attrs

from skitai.errors import CODE_BUSY, OperationError
from skitai.services.rooms.fanout import FanOut
from skitai.services.rooms.heartbeats import Heartbeats
from skitai.services.rooms.liveroom import LiveRoom

if TYPE_CHECKING:
    from skitai.interfaces import IBus
    from skitai.loop.bridge import Bridge
    from skitai.services.rooms.members import Member
    from skitai.services.rooms.streams import EventStream


@attrs.frozen
class Settings:
    """The section ``[rooms]`` of the config; sizes in bytes, times in seconds."""

    history: int
    history_seconds: float
    message_max: int
    data_max: int
    members_max: int
    events_heartbeat: float
    events_waiting_max: int


class House:
    """The rooms of a worker. ``get_bus`` returns the bus once there is one. All methods: reactor thread."""

    def __init__(self, get_bus: Callable[[], IBus], bridge: Bridge, settings: Settings) -> None:
        self.bridge = bridge
        self.settings = settings
        self.fanout = FanOut(bridge)
        self.heartbeats = Heartbeats(bridge, settings.events_heartbeat)
        #: Messages that members of this worker were given, since the start.
        self.messages = 0
        self.streams: dict[EventStream, None] = {}
        self.closing = False
        self._get_bus = get_bus
        self._rooms: dict[str, LiveRoom] = {}
        self._numbers = itertools.count(1)
        self._token = ""

    @property
    def bus(self) -> IBus:
        """The bus of the instance."""
        return self._get_bus()

    def channel(self, name: str) -> str:
        """Return the channel of the room ``name``: no other part of Skitai has it."""
        return f"room:{name}"

    def new_presence(self) -> str:
        """Return a name that no other member has, on any machine."""
        # Not before the first member: a worker that was forked must not have the token of another.
        self._token = self._token or token_hex(8)
        return f"{self._token}-{next(self._numbers)}"

    async def join(self, name: str, member: Member, last: str | None, data: bytes | None) -> None:
        """Let ``member`` into the room ``name``; see ``LiveRoom.join``."""
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = LiveRoom(self, name)
        elif len(room) >= self.settings.members_max and member.owner not in room:
            raise OperationError(
                f"the room {name!r} is full: it has {len(room)} members in this worker"
                " (members_max in the section [rooms] of the config)",
                code=CODE_BUSY,
            )
        await room.join(member, last, data)

    def room(self, name: str) -> LiveRoom | None:
        """Return the room ``name``, if somebody of this worker is in it."""
        return self._rooms.get(name)

    def forget(self, room: LiveRoom) -> None:
        """Drop a room that everybody has left."""
        if self._rooms.get(room.name) is room:
            del self._rooms[room.name]

    def close(self) -> None:
        """End the event streams: the server stops."""
        self.closing = True
        for stream in tuple(self.streams):
            stream.end()

    def statistics(self) -> Mapping[str, Any]:
        """Return what the status page shows."""
        return {
            "rooms": len(self._rooms),
            "members": sum(map(len, self._rooms.values())),
            "event_streams": len(self.streams),
            "messages": self.messages,
        }
