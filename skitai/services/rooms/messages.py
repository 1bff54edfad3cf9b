"""Messages of rooms: as the bus carries them, and as members get them."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import Any

from skitai.messaging import Position, Published
from skitai.websocket.frames import frame_of

Message = str | bytes

#: What stands before a message on the bus.
_TEXT, _BINARY = b"t", b"b"
_LINE_ENDS = re.compile("\r\n|\r|\n")


def packed(message: Message) -> bytes:
    """Return ``message`` as the bus carries it. Raises ValueError for text that is not Unicode."""
    return _TEXT + message.encode() if isinstance(message, str) else _BINARY + message


def unpacked(data: bytes) -> Message:
    """Return the message that ``packed`` wrote."""
    return data[1:].decode() if data[:1] == _TEXT else data[1:]


def position_of(last: str) -> Position | None:
    """Return the position that a client gives back: None for ``""``, which is that of a new one.

    It comes from a stranger. What is no position is one that nobody knows.
    """
    if not last:
        return None
    try:
        return Position.of(last)
    except ValueError:
        return Position("unknown", 0)


def has_reached(here: Position | None, position: Position | None) -> bool:
    """Return whether who is at ``here`` has the message at ``position``; False if either is None."""
    if here is None or position is None:
        return False
    return position.epoch == here.epoch and position.offset <= here.offset


class Outgoing:
    """What is given to members, in the form of each kind of them. Each form is made once, for all."""

    __slots__ = ("_envelope", "_events", "_frame", "position")

    def __init__(self, position: Position | None) -> None:
        self.position = position
        self._frame: bytes | None = None
        self._envelope: bytes | None = None
        self._events: dict[str | None, bytes] = {}

    def frame(self) -> bytes | None:
        """Return the frame for a member that gets plain messages; None: it gets nothing."""
        raise NotImplementedError

    def _content(self) -> dict[str, Any]:
        """Return what the envelope holds beside the position."""
        raise NotImplementedError

    def _event(self, name: str | None) -> str:
        """Return the lines of a server-sent event beside the position."""
        raise NotImplementedError

    def envelope(self) -> bytes:
        """Return the frame for a member that knows its position: JSON with ``id``."""
        if self._envelope is None:
            place = None if self.position is None else str(self.position)
            text = json.dumps({"id": place, **self._content()}, ensure_ascii=False, separators=(",", ":"))
            self._envelope = frame_of(text)
        return self._envelope

    def event(self, name: str | None) -> bytes:
        """Return the server-sent event of the type ``name``."""
        event = self._events.get(name)
        if event is None:
            lines = self._event(name)
            if self.position is not None:
                lines = f"id: {self.position}\n{lines}"
            event = self._events[name] = f"{lines}\n".encode() if lines else b""
        return event


class OutgoingMessage(Outgoing):
    """A message of the room."""

    __slots__ = ("_message",)

    def __init__(self, published: Published) -> None:
        super().__init__(published.position)
        self._message = unpacked(published.data)

    def frame(self) -> bytes:
        """Return the message itself."""
        if self._frame is None:
            self._frame = frame_of(self._message)
        return self._frame

    def _content(self) -> dict[str, Any]:
        if isinstance(self._message, str):
            return {"data": self._message}
        return {"base64": b64encode(self._message).decode()}

    def _event(self, name: str | None) -> str:
        # Each line end of the text begins another field (HTML, section 9.2.6).
        if isinstance(self._message, str):
            text = self._message
        else:
            name, text = "base64", b64encode(self._message).decode()
        lines = "".join(f"data: {line}\n" for line in _LINE_ENDS.split(text))
        return lines if name is None else f"event: {name}\n{lines}"


class Notice(Outgoing):
    """Says where a member is, and whether something is ``missed`` between there and where it was."""

    __slots__ = ("_missed",)

    def __init__(self, position: Position | None, missed: bool) -> None:
        super().__init__(position)
        self._missed = missed

    def frame(self) -> None:
        """Return None: a plain member could not tell it from a message."""

    def _content(self) -> dict[str, Any]:
        return {"missed": self._missed}

    def _event(self, name: str | None) -> str:  # noqa: ARG002 - it has a type of its own
        return "event: missed\ndata: true\n" if self._missed else ""
