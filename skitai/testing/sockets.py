"""A websocket of a client that a test plays."""

from __future__ import annotations

from collections.abc import Sequence

from skitai.loop.bridge import Bridge
from skitai.websocket.closing import ABNORMAL, NORMAL
from skitai.websocket.conversation import Message, WebSocket

#: Seconds of the fake clock between two messages of the client.
_PACE_SECONDS = 0.001


class ClientWire:
    """The client of a websocket: ``sent`` is what it got."""

    subprotocol = None
    waiting = 0

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.listener: WebSocket | None = None

    def send(self, message: Message) -> None:
        """Take a message."""
        self.sent.append(message)

    def send_frame(self, frame: bytes) -> None:
        """Take what ``frame_of`` made."""
        payload = frame[{126: 4, 127: 10}.get(frame[1], 2) :]
        self.sent.append(payload.decode() if frame[0] & 0xF == 1 else payload)

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Answer the close."""
        if self.listener is not None:
            listener, self.listener = self.listener, None
            listener.ended(code, reason)

    def abort(self) -> None:
        """Be cut off."""
        self.close(ABNORMAL)

    def read_on(self, wanted: bool) -> None:
        """Do nothing: there are few messages."""


def played_websocket(bridge: Bridge, messages: Sequence[Message]) -> WebSocket:
    """Return a websocket whose client sends ``messages`` while somebody waits, and then leaves."""
    wire = ClientWire()
    wire.listener = websocket = WebSocket(bridge, wire)
    for number, message in enumerate(messages, 1):
        bridge.call_later(number * _PACE_SECONDS, _receive, wire, message)
    bridge.call_later((len(messages) + 1) * _PACE_SECONDS, wire.close)
    return websocket


def _receive(wire: ClientWire, message: Message) -> None:
    if wire.listener is not None:
        wire.listener.received(message)
