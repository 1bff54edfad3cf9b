"""What the view of a room holds: the messages of all members, and the ways to answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from math import inf
from time import monotonic
from typing import NoReturn, Protocol

from skitai.errors import MisuseError, OperationTimeout
from skitai.loop.bridge import Bridge, Pending
from skitai.websocket.conversation import ConversationLimits
from skitai.websocket.frames import frame_of

#: In the place of a message: the client has joined the room, or has left it.
JOINED, LEFT = 1, -1

Message = str | bytes
Item = tuple[int, Message | int]

#: Clients have smaller numbers.
ID_LIMIT = 1 << 48

#: What an item counts beside the length of its message.
_ITEM_BYTES = 100


class Hall(Protocol):
    """Where the members of a room are. All of it is called in the reactor thread, but for ``members``."""

    def send(self, frame: bytes, client_id: int | None) -> None:
        """Give a frame to a client, or to all of them."""

    def close(self) -> None:
        """Close all websockets of the room."""

    def read_on(self) -> None:
        """Read those again that were paused because too much waited for the view."""

    def members(self) -> Sequence[int]:
        """Return the clients that are in the room. Called in the app's thread."""


class Room:
    """A room as its view sees it: ``ws.getswait(10)`` gives pairs ``(client_id, message)``.

    It is over when nobody is in it any more. One thread or greenlet takes the messages, any may send.
    """

    JOINED, LEFT = JOINED, LEFT

    def __init__(self, bridge: Bridge, hall: Hall, limits: ConversationLimits) -> None:
        self._bridge = bridge
        self._hall = hall
        self._limits = limits
        self._items: deque[Item] = deque()
        self._arrival: Pending | None = None
        self._over = self._paused = False
        # Counted up in two threads, so each has a number of its own.
        self._bytes_received = self._bytes_taken = 0
        self._bytes_sent = self._bytes_handed_over = 0
        #: Whether the view asks who comes and goes; None until it has asked for anything.
        self._wants_changes: bool | None = None

    @property
    def members(self) -> list[int]:
        """The clients that are in the room; those of other workers and machines, too."""
        return list(self._hall.members())

    @property
    def closed(self) -> bool:
        """Whether nobody is in the room any more. Read in any thread."""
        return self._over

    # -- receiving, in the app -----------------------------------------------------------------------------

    def getswait(self, timeout: float = 10, *, changes: bool = False) -> list[Item] | None:
        """Return all messages that have come, in order, and wait for the first for ``timeout`` seconds.

        An empty list: none came in time. None: the room is over. With ``changes``, a client that has joined
        gives ``(client_id, ws.JOINED)``, and one that has left ``(client_id, ws.LEFT)``.
        """
        item = self._first(timeout, changes)
        if item is None:
            return None if self._over and not self._items else []
        items = []
        while item is not None:
            items.append(item)
            item = self._next()
        return items

    def getwait(self, timeout: float | None = None, *, changes: bool = False) -> Item | None:
        """Return the next message, or None when the room is over; see ``getswait``.

        Raises OperationTimeout if none comes within ``timeout`` seconds; None waits without a limit.
        """
        item = self._first(inf if timeout is None else timeout, changes)
        if item is None and not (self._over and not self._items):
            raise OperationTimeout(f"no message came within {timeout:g} s")
        return item

    def __iter__(self) -> Iterator[Item]:
        while (item := self.getwait()) is not None:
            yield item

    def _first(self, timeout: float, changes: bool) -> Item | None:
        self._wants_changes = changes
        deadline = monotonic() + timeout
        try:
            while True:
                # Set before the look at the items: what comes now either is seen, or ends the wait.
                self._arrival = arrival = Pending()
                over = self._over
                item = self._next()
                if item is not None or over:
                    return item
                if not self._bridge.wait(arrival, deadline - monotonic()):
                    return self._next()
        finally:
            self._arrival = None

    def _next(self) -> Item | None:
        while self._items:
            item = self._items.popleft()
            self._bytes_taken += _size(item)
            if self._paused and self._unread() <= self._limits.inbox_max // 2:
                self._bridge.submit(self.read_on)
            if self._wants_changes or not isinstance(item[1], int):
                return item
        return None

    # -- sending, in the app -------------------------------------------------------------------------------

    def sendall(self, message: Message) -> None:
        """Send ``message`` to everybody in the room, those of other workers and machines, too.

        A str is sent as text, bytes as binary. A client that has too much to read is cut off. Raises
        TypeError for anything else. Called in any thread.
        """
        self._send(message, None)

    def sendto(self, client_id: int, message: Message) -> None:
        """Send ``message`` to one client, wherever it is; see ``sendall``. One that has left gets nothing."""
        if type(client_id) is not int:
            raise TypeError(f"a client is an int, not {client_id!r}")
        if 0 <= client_id < ID_LIMIT:  # else it was never anybody's
            self._send(message, client_id)

    def send(self, message: Message) -> NoReturn:  # noqa: ARG002 - refused, whatever it is
        """Raise MisuseError: a room has no single client."""
        raise MisuseError("a room has many clients: use ws.sendall(message) or ws.sendto(client_id, message)")

    def close(self) -> None:
        """Close the websockets of the room that this worker has. Called in any thread."""
        self._bridge.submit(self._hall.close)

    def _send(self, message: Message, client_id: int | None) -> None:
        if not isinstance(message, str | bytes):
            raise TypeError(f"a message is a str or bytes, not {message!r}")
        frame = frame_of(message)
        self._bytes_sent += len(frame)
        self._bridge.submit(partial(self._hand_over, frame, client_id))
        if self._bytes_sent - self._bytes_handed_over > self._limits.outbox_max:
            # The reactor cannot keep pace with this thread.
            caught_up = Pending()
            self._bridge.submit(caught_up.end)
            self._bridge.wait(caught_up, self._limits.send_timeout)

    # -- in the reactor thread -----------------------------------------------------------------------------

    def put(self, client_id: int, message: Message) -> bool:
        """Give the view a message; return whether it has too much to read, so that the client must wait."""
        self._append((client_id, message))
        if self._unread() > self._limits.inbox_max:
            self._paused = True
        return self._paused

    def read_on(self) -> None:
        """Have the clients read again, if the view has taken enough."""
        if self._paused and self._unread() <= self._limits.inbox_max // 2:
            self._paused = False
            self._hall.read_on()

    def note_change(self, client_id: int, change: int) -> None:
        """Note that a client has joined or left, if the view asks for that."""
        if self._wants_changes is not False:
            self._append((client_id, change))

    def end(self) -> None:
        """Note that nobody is in the room any more."""
        self._over = True
        self._wake()

    def _append(self, item: Item) -> None:
        self._items.append(item)
        self._bytes_received += _size(item)
        self._wake()

    def _unread(self) -> int:
        return self._bytes_received - self._bytes_taken

    def _hand_over(self, frame: bytes, client_id: int | None) -> None:
        self._bytes_handed_over += len(frame)
        self._hall.send(frame, client_id)

    def _wake(self) -> None:
        arrival = self._arrival
        if arrival is not None:
            arrival.end()


def _size(item: Item) -> int:
    message = item[1]
    return _ITEM_BYTES if isinstance(message, int) else len(message) + _ITEM_BYTES
