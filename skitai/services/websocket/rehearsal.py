"""Conversations in a ``FakeWas``: the script of the test answers their messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from skitai.websocket.closing import ABNORMAL

if TYPE_CHECKING:
    from skitai.loop.bridge import Bridge
    from skitai.websocket.contracts import Listener
    from skitai.websocket.conversation import Message


class RehearsedWire:
    """Notes each message in ``sent``, and gives the listener what ``reply()`` has for it.

    A reply that is a failure ends the websocket, as a lost connection would.
    """

    listener: Listener
    subprotocol: str | None = None
    waiting = 0

    def __init__(self, reply: Callable[[], Deferred[Any]], sent: list[Message], bridge: Bridge) -> None:
        self._reply = reply
        self._sent = sent
        self._bridge = bridge
        self._is_over = False

    def send(self, message: Message) -> None:
        """Send: the reply comes in a later turn of the fake reactor."""
        self._sent.append(message)
        self._reply().addCallbacks(self._received, self._failed)

    def send_frame(self, frame: bytes) -> None:
        """Refuse: only a server sends what was made for many."""
        raise NotImplementedError

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close: the peer agrees."""
        self._end(code, reason)

    def abort(self) -> None:
        """Cut the connection."""
        self._end(ABNORMAL, "")

    def read_on(self, wanted: bool) -> None:
        """Do nothing: a script is not read ahead."""

    def _received(self, outcome: Any) -> None:
        if not self._is_over:
            self.listener.received(getattr(outcome, "data", outcome))

    def _failed(self, failure: Failure) -> None:
        self._end(ABNORMAL, str(failure.value))

    def _end(self, code: int, reason: str) -> None:
        if not self._is_over:
            self._is_over = True
            self._bridge.call_later(0, self.listener.ended, code, reason)
