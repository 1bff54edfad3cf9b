"""One reader of server-sent events (HTML, section 9.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skitai.http.lasting import BodyReader
    from skitai.services.rooms.house import House
    from skitai.services.rooms.messages import Outgoing

#: A comment, which readers skip.
COMMENT = b":\n\n"


class EventStream:
    """Sends events of the type ``event`` to ``reader``, until either of them ends. Reactor thread."""

    def __init__(self, house: House, reader: BodyReader, event: str | None) -> None:
        self._house = house
        self._reader = reader
        self._event = event
        self._at_close: dict[object, Callable[[], object]] = {}
        self.closed = False
        house.streams[self] = None
        house.heartbeats.spoke(self)

    @property
    def waiting(self) -> int:
        """How many bytes the reader has yet to take."""
        return self._reader.waiting

    def at_close(self, owner: object, function: Callable[[], object]) -> None:
        """Have ``function`` called when it ends; one for each ``owner``."""
        self._at_close[owner] = function

    def not_at_close(self, owner: object) -> None:
        """Undo ``at_close``."""
        self._at_close.pop(owner, None)

    def send(self, outgoing: Outgoing) -> None:
        """Send an event; a reader that has too much to read is cut off."""
        self._write(outgoing.event(self._event))

    def beat(self) -> None:
        """Say something that means nothing."""
        self._write(COMMENT)

    def _write(self, data: bytes) -> None:
        if self.closed or not data:
            return
        if self._reader.waiting > self._house.settings.events_waiting_max:
            self.abort()
            return
        self._reader.send(data)
        if not self.closed:
            self._house.heartbeats.spoke(self)

    def abort(self) -> None:
        """Cut the reader off."""
        if not self.closed:
            self.stop()
            self._reader.abort()

    def end(self) -> None:
        """End the body."""
        if not self.closed:
            self.stop()
            self._reader.end()

    def stop(self) -> None:
        """Note that the reader is gone."""
        if self.closed:
            return
        self.closed = True
        self._house.streams.pop(self, None)
        self._house.heartbeats.forget(self)
        functions, self._at_close = self._at_close, {}
        for function in functions.values():
            function()
