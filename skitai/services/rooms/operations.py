"""What apps ask of a room. Each operation is called in the reactor thread, and returns a Deferred."""

from __future__ import annotations

import json
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed

from skitai.services.rooms.house import House
from skitai.services.rooms.members import SocketMember
from skitai.services.rooms.messages import Message, packed
from skitai.websocket.closing import NORMAL, WebSocketClosed
from skitai.websocket.conversation import WebSocket


@attrs.frozen
class _RoomOperation:
    name: str
    _house: House = attrs.field(repr=False, eq=False)


@attrs.frozen
class Send(_RoomOperation):
    """``room.send(message)``."""

    message: Message

    def __call__(self) -> Deferred[str | None]:
        """Publish the message; fire with its position, None if there is no history."""
        settings = self._house.settings
        published = self._house.bus.publish(
            self._house.channel(self.name),
            packed(self.message),
            history=settings.history,
            seconds=settings.history_seconds,
        )
        return published.addCallback(lambda position: None if position is None else str(position))


@attrs.frozen
class Join(_RoomOperation):
    """``room.join(ws, data, last)``; ``packed_data`` is the data as the bus takes it."""

    ws: WebSocket
    last: str | None
    data: Any
    packed_data: bytes | None = attrs.field(repr=False)

    def __call__(self) -> Deferred[None]:
        """Let the websocket in."""
        ws = self.ws
        if ws.closed:
            return fail(WebSocketClosed(NORMAL if ws.code is None else ws.code, ws.reason))
        member = SocketMember(ws, follows=self.last is not None)
        return Deferred.fromCoroutine(self._house.join(self.name, member, self.last, self.packed_data))


@attrs.frozen
class Leave(_RoomOperation):
    """``room.leave(ws)``."""

    ws: WebSocket

    def __call__(self) -> Deferred[None]:
        """Have the websocket leave, if it is there."""
        room = self._house.room(self.name)
        left = None if room is None else room.leave(self.ws)
        return succeed(None) if left is None else left


@attrs.frozen
class Presence(_RoomOperation):
    """``room.presence()``."""

    def __call__(self) -> Deferred[list[Any]]:
        """Fire with the data of those who are there, who came first comes first."""
        return self._house.bus.members(self._house.channel(self.name)).addCallback(_listed)


def _listed(members: dict[str, bytes]) -> list[Any]:
    entries = [json.loads(data) for data in members.values()]
    return [data for _, data in sorted(entries, key=lambda entry: entry[0])]
