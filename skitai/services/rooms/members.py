"""Who is in a room: a websocket, or a reader of server-sent events."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from skitai.services.rooms.messages import has_reached

if TYPE_CHECKING:
    from skitai.messaging import Position
    from skitai.services.rooms.messages import Outgoing
    from skitai.services.rooms.streams import EventStream
    from skitai.websocket.conversation import WebSocket


class Owner(Protocol):
    """What a member stands for."""

    def at_close(self, owner: object, function: Callable[[], object]) -> None:
        """Have ``function`` called when it ends."""

    def not_at_close(self, owner: object) -> None:
        """Undo ``at_close``."""


class Member:
    """Somebody in a room. All of it: reactor thread.

    With ``follows`` it knows its position: it gets the history after that, and the position of each message.
    """

    def __init__(self, owner: Owner, follows: bool) -> None:
        self.owner = owner
        self.follows = follows
        self.active = True
        #: Its name among those who are there, once it has one, and when it came, by the wall clock.
        self.presence: str | None = None
        self.came = 0.0
        #: What came while it reads its history; None: it reads none.
        self.backlog: deque[Outgoing] | None = None
        #: It has all up to here, from the history.
        self.floor: Position | None = None

    @property
    def waiting(self) -> int:
        """How many bytes it has yet to take."""
        raise NotImplementedError

    def send(self, outgoing: Outgoing) -> None:
        """Send ``outgoing``."""
        raise NotImplementedError

    def cut_off(self) -> None:
        """Cut its connection."""
        raise NotImplementedError

    def give(self, outgoing: Outgoing) -> None:
        """Send ``outgoing``, unless it has that already."""
        if self.floor is not None:
            if has_reached(self.floor, outgoing.position):
                return
            if outgoing.position is not None:
                self.floor = None
        self.send(outgoing)


class SocketMember(Member):
    """A websocket."""

    def __init__(self, ws: WebSocket, follows: bool) -> None:
        super().__init__(ws, follows)
        self._ws = ws

    @property
    def waiting(self) -> int:
        """How many bytes it has yet to take."""
        return self._ws.wire.waiting

    def send(self, outgoing: Outgoing) -> None:
        """Send ``outgoing`` as a frame."""
        frame = outgoing.envelope() if self.follows else outgoing.frame()
        if frame is not None:
            self._ws.deliver(frame)

    def cut_off(self) -> None:
        """Cut its connection."""
        self._ws.wire.abort()


class EventMember(Member):
    """A reader of server-sent events."""

    def __init__(self, stream: EventStream) -> None:
        super().__init__(stream, follows=True)
        self._stream = stream

    @property
    def waiting(self) -> int:
        """How many bytes it has yet to take."""
        return self._stream.waiting

    def send(self, outgoing: Outgoing) -> None:
        """Send ``outgoing`` as an event."""
        self._stream.send(outgoing)

    def cut_off(self) -> None:
        """Cut its connection."""
        self._stream.abort()
