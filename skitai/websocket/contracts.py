"""What the protocol of a websocket and its user know of each other: called in the reactor thread."""

from __future__ import annotations

from typing import Protocol


class Wire(Protocol):
    """An open websocket as the protocol gives it: it sends, and tells its ``Listener`` what comes."""

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was agreed upon, or None."""

    @property
    def waiting(self) -> int:
        """How many bytes the peer has yet to take. Read in any thread."""

    def send(self, message: str | bytes) -> None:
        """Send a text or a binary message. After the close it is dropped."""

    def send_frame(self, frame: bytes) -> None:
        """Send what ``skitai.websocket.frames.frame_of`` made, once for many. Servers only."""

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin the closing handshake when all that was sent has left; a second call does nothing.

        Messages that still come are dropped, also while reading is paused.
        """

    def abort(self) -> None:
        """Cut the connection: the listener is told of the code 1006."""

    def read_on(self, wanted: bool) -> None:
        """Pause or resume reading. A close or a pong is not read while it is paused."""


class Listener(Protocol):
    """Who uses a websocket. It is told of nothing after ``ended``."""

    def received(self, message: str | bytes) -> None:
        """Take a message: text is a str, binary is bytes."""

    def drained(self) -> None:
        """Note that ``waiting`` is 0 again, after it was not."""

    def ended(self, code: int, reason: str) -> None:
        """Note the end: ``code`` is that of the peer's close frame, or ours if the peer's repeats it.

        It is ours, too, where the peer broke the rules: 1002, 1007 and 1009. 1005 stands for a close frame
        without a code, 1006 for a connection that was lost. The last bytes may still be under way.
        """
