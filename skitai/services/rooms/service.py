"""``was.rooms``: it checks what apps want of a room, and has the house do it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from skitai.calls.operation import Operation
from skitai.calls.raising import called_as
from skitai.calls.result import Result
from skitai.calls.service import OwnNode, Service
from skitai.context import current_was
from skitai.formats.spelling import Keywords
from skitai.services.rooms.events import Events
from skitai.services.rooms.house import House
from skitai.services.rooms.messages import Message
from skitai.services.rooms.operations import Join, Leave, Presence, Send
from skitai.services.rooms.result import RoomResult
from skitai.websocket.conversation import WebSocket

if TYPE_CHECKING:
    from skitai.calls.call import Call

#: The longest name of a room.
NAME_MAX = 200


_NODE = OwnNode("bus")
#: What users of Socket.IO and Channels write.
_KEYWORDS = Keywords(
    dict.fromkeys(("room", "group", "to", "channel"), "did you mean name?"), frozenset({"detach"})
)


class Room:
    """One room, on all machines that share the bus. Used in any thread, greenlet or coroutine.

    Each method but ``events`` starts at once and returns a call, which goes on when the request has ended. So
    nobody needs to wait for it; ``getwait()`` says whether the bus has taken it.
    """

    def __init__(self, house: House, name: str, submit: Callable[[Operation], Any]) -> None:
        self.name = name
        self._house = house
        self._submit = submit

    def send(self, message: Message) -> Call:
        """Send a message to all members: a str, or bytes. The ``data`` of the result is its position.

        Raises TypeError for anything else, ValueError for a message that is longer than ``message_max`` of
        the section ``[rooms]``, or is no Unicode.
        """
        if not isinstance(message, (str, bytes)):
            raise TypeError(
                f"a message of a room is a str or bytes, not {type(message).__name__}: json.dumps it"
            )
        size = len(message.encode() if isinstance(message, str) else message)
        _check_size("a message of a room", size, "message_max", self._house.settings.message_max)
        return self._start(Send(self.name, self._house, message))

    def join(self, ws: WebSocket, data: Any = None, last: str | None = None) -> Call:
        """Let ``ws`` in: it gets every message from now on, until it leaves or is closed.

        ``data``, which JSON can hold, is what ``presence()`` shows of it; None: it is not shown. A second
        call changes the data.

        With ``last`` it gets JSON: first ``{"id": position, "missed": true or false}``, then each message as
        ``{"id": position, "data": text}``, or ``"base64"`` for bytes. ``last`` is the last position that the
        client has seen, and ``""`` for a new one: it gets all messages after that. ``missed`` says whether
        some of them are not kept any more.

        Raises TypeError or ValueError for wrong arguments, such as data longer than ``data_max``. The call
        fails if the websocket is closed (700), the room is full (707), or the bus cannot be reached; then it
        is in, and gets what this process sends.
        """
        _check_socket(ws)
        if last is not None and not isinstance(last, str):
            raise TypeError(f'last is the position that a client has seen, or "", not {last!r}')
        return self._start(Join(self.name, self._house, ws, last, data, self._packed(data)))

    def leave(self, ws: WebSocket) -> Call:
        """Have ``ws`` leave; that it is not there does not matter. A closed one has left by itself."""
        _check_socket(ws)
        return self._start(Leave(self.name, self._house, ws))

    def presence(self) -> Call:
        """Ask who is there, on all machines: ``data`` is a list of what they gave as ``data``."""
        return self._start(Presence(self.name, self._house))

    def events(
        self,
        last: str | None = None,
        *,
        data: Any = None,
        event: str | None = None,
        retry: float | None = None,
    ) -> Events:
        """Return the messages as server-sent events, for a view to return, or for the ``Response`` of Flask.

        Each has its position as ``id``, so a browser that was cut off gets what it has missed. Where some of
        that is not kept any more, an event of the type ``missed`` comes first. ``last`` is where to begin for
        a client that does not say it; None: with the next message. ``data`` is for the presence. ``event`` is
        the type of the events. ``retry`` is how many seconds a browser waits before it comes back. Bytes come
        in base64, in events of the type ``base64``.

        Raises TypeError or ValueError for wrong arguments. Called where the request is handled, for the field
        Last-Event-ID.
        """
        if event is not None and (not isinstance(event, str) or not event or set(event) & {"\r", "\n"}):
            raise ValueError(f"the type of an event is one line of text, not {event!r}")
        if retry is not None and not 0 <= retry < 1e9:
            raise ValueError(f"retry is a number of seconds, not {retry!r}")
        was = current_was.get(None)
        # The browser sends the same URL again, so the field is newer than what the app took from there.
        seen = "" if was is None else was.env.get("HTTP_LAST_EVENT_ID", "")
        return Events(self._house, self.name, seen or last or "", self._packed(data), event, retry)

    def _packed(self, data: Any) -> bytes | None:
        if data is None:
            return None
        text = json.dumps(data, allow_nan=False, separators=(",", ":"))
        _check_size("the data of a member", len(text), "data_max", self._house.settings.data_max)
        return text.encode()

    def _start(self, request: Callable[[], Deferred[Any]]) -> Call:
        call: Call = self._submit(Operation(self.name, request, local=True, node=_NODE))
        call.collected = True  # or the end of the request would cancel it
        return call

    def __repr__(self) -> str:
        return f"<Room {self.name!r}>"


class RoomService(Service):
    """``was.rooms(name)`` returns a ``Room``."""

    result_type: type[Result] = RoomResult

    def __init__(self, house: House) -> None:
        self._house = house

    def begin(self, submit: Callable[[Operation], Any], /, *args: Any, **kwargs: Any) -> Room:
        """Return the room that ``place`` names. Called in any thread."""
        return Room(self._house, called_as("was.rooms()", self.place, _KEYWORDS, *args, **kwargs), submit)

    def place(self, name: str) -> str:
        """Return the ``name`` of a room. Raises TypeError or ValueError if it is none."""
        if not isinstance(name, str):
            raise TypeError(f"the name of a room is a str, not {name!r}")
        if not 0 < len(name) <= NAME_MAX:
            raise ValueError(f"the name of a room has 1 to {NAME_MAX} characters, not {len(name)}")
        return name

    def node(self, target: str) -> OwnNode:  # noqa: ARG002 - the name of the room
        """Return the one node."""
        return _NODE

    def perform(self, node: Any, operation: Operation) -> Deferred[Any]:  # noqa: ARG002 - there is one bus
        """Do what the operation says. Called in the reactor thread."""
        done: Deferred[Any] = operation.request()
        return done


def _check_socket(ws: Any) -> None:
    if not isinstance(ws, WebSocket):
        raise TypeError(f'a room takes websockets, such as environ["websocket"], not {type(ws).__name__}')


def _check_size(what: str, size: int, key: str, most: int) -> None:
    if size > most:
        raise ValueError(f"{what} has {size} bytes, more than the {most} of {key} in the section [rooms]")
