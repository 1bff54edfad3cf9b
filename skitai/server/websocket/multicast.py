"""WEBSOCKET_MULTICAST: a view for each room, and what all members of the room say."""

from __future__ import annotations

from collections.abc import Sequence
from secrets import randbelow
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

from zope.interface import implementer

from skitai.errors import OperationError
from skitai.interfaces import IBusSubscriber
from skitai.loop.bridge import Pending
from skitai.server.websocket.room import ID_LIMIT, JOINED, LEFT, Room
from skitai.server.websocket.state import Accepted, WebSockets
from skitai.server.websocket.view import View
from skitai.websocket.closing import INTERNAL_ERROR, NORMAL, TRY_AGAIN_LATER
from skitai.websocket.contracts import Listener, Wire

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from skitai.messaging.words import Published
    from skitai.server.wsgi.resource import WSGIResource

#: On the bus, a frame for one client stands behind this byte and the number of the client.
_FOR_ONE = b"\0"
_ID_SIZE = 6
#: Seconds within which the bus must say who is in a room.
_ASK_SECONDS = 5.0

Key = tuple["WSGIResource", str, str]


def room_of(accepted: Accepted) -> Key:
    """Return what tells the room of a websocket from others: the mount, the path and the variable."""
    environ, name = accepted.environ, accepted.init.name
    pairs = parse_qsl(environ["QUERY_STRING"], keep_blank_values=True) if name else []
    value = next((value for key, value in pairs if key == name), "")
    return accepted.resource, environ["PATH_INFO"], value


class Rooms:
    """The rooms of an instance in which somebody is. All methods are called in the reactor thread."""

    def __init__(self, websockets: WebSockets) -> None:
        self.websockets = websockets
        self.bus = websockets.instance.bus
        self._last_id = 0
        self._halls: dict[Key, LocalHall] = {}

    def __len__(self) -> int:
        return len(self._halls)

    def has_room(self, accepted: Accepted) -> bool:
        """Return whether one more may come in: there is the room, or a thread for its view."""
        return room_of(accepted) in self._halls or self.websockets.has_room(accepted)

    def enter(self, member: Member, accepted: Accepted) -> LocalHall:
        """Bring ``member`` into its room, which begins with its first member."""
        key = room_of(accepted)
        hall = self._halls.get(key)
        if hall is None:
            hall = self._halls[key] = LocalHall(self, key, accepted)
            hall.start()
        hall.enter(member)
        return hall

    def forget(self, hall: LocalHall) -> None:
        """Take no further members into a room."""
        if self._halls.get(hall.key) is hall:
            del self._halls[hall.key]

    def new_id(self) -> int:
        """Return a number for a client that no other has, on any machine that the bus reaches."""
        if self.bus.shared:
            return randbelow(ID_LIMIT)
        self._last_id += 1
        return self._last_id


class Member:
    """A websocket in a room. It is a ``Listener``. All methods are called in the reactor thread."""

    kind = "multicast"

    def __init__(self, rooms: Rooms, accepted: Accepted, wire: Wire) -> None:
        self.id = rooms.new_id()
        self.wire = wire
        self.listener: Listener = self
        self._rooms = rooms
        self._accepted: Accepted | None = accepted
        self._hall: LocalHall | None = None
        #: What has come before the start.
        self._early: list[str | bytes] = []
        self._ended = False

    def start(self) -> None:
        """Enter the room."""
        accepted, self._accepted = self._accepted, None  # with an environ that only the first needs
        if self._ended or accepted is None:
            return
        self._rooms.websockets.opened(self)
        self._hall = self._rooms.enter(self, accepted)
        early, self._early = self._early, []
        for message in early:
            self.received(message)

    def received(self, message: str | bytes) -> None:
        """Give a message to the view of the room."""
        if self._hall is None:
            self._early.append(message)
        else:
            self._hall.received(self, message)

    def drained(self) -> None:
        """Do nothing: who sends to a room waits for none of its members."""

    def ended(self, code: int, reason: str) -> None:  # noqa: ARG002 - of the interface
        """Leave the room."""
        self._ended = True
        self._rooms.websockets.closed(self)
        if self._hall is not None:
            self._hall.leave(self)

    def deliver(self, frame: bytes) -> None:
        """Send a frame; a client with too much to read is cut off."""
        if self.wire.waiting > self._rooms.websockets.limits.outbox_max:
            self.wire.abort()
        else:
            self.wire.send_frame(frame)


@implementer(IBusSubscriber)
class LocalHall:
    """The members of one room that this worker has. Reactor thread, but for ``members``."""

    def __init__(self, rooms: Rooms, key: Key, accepted: Accepted) -> None:
        self.key = key
        self._rooms = rooms
        websockets = rooms.websockets
        self._bridge = websockets.bridge
        self._channel = _channel_of(key)
        self._members: dict[int, Member] = {}
        self._paused: set[Member] = set()
        self._room = Room(websockets.bridge, self, websockets.limits)
        self._view = View(websockets, accepted, self._room, self._over)

    def start(self) -> None:
        """Begin the view of the room."""
        _ignore_failure(self._rooms.bus.subscribe(self._channel, self))
        try:
            self._view.start()
        except RuntimeError:  # the system has no more threads
            self._bridge.call_later(0, self._close, TRY_AGAIN_LATER)

    def enter(self, member: Member) -> None:
        """Take in a member."""
        self._members[member.id] = member
        if self._rooms.bus.shared:
            _ignore_failure(self._rooms.bus.enter(self._channel, str(member.id), b""))
        self._room.note_change(member.id, JOINED)

    def leave(self, member: Member) -> None:
        """Let go of a member; the room is over with the last."""
        del self._members[member.id]
        self._paused.discard(member)
        if self._rooms.bus.shared:
            _ignore_failure(self._rooms.bus.leave(self._channel, str(member.id)))
        self._room.note_change(member.id, LEFT)
        if not self._members:
            self._rooms.forget(self)
            self._rooms.bus.unsubscribe(self._channel, self)
            self._room.end()

    def received(self, member: Member, message: str | bytes) -> None:
        """Give the view what a member has said."""
        if self._room.put(member.id, message):
            self._paused.add(member)
            member.wire.read_on(False)
            self._room.read_on()  # the view may have taken some in between

    def _over(self, ok: bool) -> None:
        self._close(NORMAL if ok else INTERNAL_ERROR)

    def _close(self, code: int) -> None:
        self._rooms.forget(self)
        for member in list(self._members.values()):
            member.wire.close(code)

    # -- for the view --------------------------------------------------------------------------------------

    def send(self, frame: bytes, client_id: int | None) -> None:
        """Publish a frame: it comes back for those members who are here."""
        to = b"" if client_id is None else _FOR_ONE + client_id.to_bytes(_ID_SIZE, "big")
        _ignore_failure(self._rooms.bus.publish(self._channel, to + frame))

    def close(self) -> None:
        """Close the websockets of all members who are here."""
        self._close(NORMAL)

    def read_on(self) -> None:
        """Read those again that had to wait."""
        paused, self._paused = self._paused, set()
        for member in paused:
            member.wire.read_on(True)

    def members(self) -> Sequence[int]:
        """Return who is in the room, here and elsewhere. Called in the app's thread."""
        if not self._rooms.bus.shared:
            return list(self._members)
        asked = Pending()
        found: list[dict[str, bytes]] = []

        def ask() -> None:
            members = self._rooms.bus.members(self._channel)
            members.addCallbacks(found.append, lambda _: None)
            members.addBoth(lambda _: asked.end())

        self._bridge.submit(ask)
        self._bridge.wait(asked, _ASK_SECONDS)
        return [int(name) for name in found[0]] if found else list(self._members)

    # -- from the bus --------------------------------------------------------------------------------------

    def published(self, message: Published) -> None:
        """Give a frame to the members who are here."""
        data = message.data
        if not data.startswith(_FOR_ONE):
            for member in list(self._members.values()):
                member.deliver(data)
            return
        begin = len(_FOR_ONE)
        found = self._members.get(int.from_bytes(data[begin : begin + _ID_SIZE], "big"))
        if found is not None:
            found.deliver(data[begin + _ID_SIZE :])

    def interrupted(self, channel: str) -> None:
        """Note that messages of others may be lost: a room has no history, and the bus has said so."""


def _channel_of(key: Key) -> str:
    """Return the channel of a room on the bus, which no other room has."""
    resource, path, value = key
    # Quoted, or a client could choose where one part ends and the next begins.
    return f"websocket {quote(resource.name)} {quote(path, encoding='latin-1')} {value}"


def _ignore_failure(deferred: Deferred[Any]) -> None:
    """Go on without the other machines: the bus itself reports that it is lost."""

    def ignore(failure: Failure) -> None:
        failure.trap(OperationError)  # type: ignore[no-untyped-call]

    deferred.addErrback(ignore)
