"""Where the frames of a websocket end (RFC 6455, section 5.2), for who only passes them on."""

from __future__ import annotations

from skitai.websocket.frames import payload_span


class FrameEnds:
    """Follows one direction of a websocket. What stands in the frames does not matter."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        #: The beginning of a frame whose header is not whole.
        self._head = b""
        #: Bytes that are still to come of the present frame's payload.
        self._left = 0

    @property
    def at_end(self) -> bool:
        """Whether the last frame is complete, so that another may follow."""
        return not self._left and not self._head

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        data, self._head = self._head + data, b""
        position = self._left
        while position < len(data):
            span = payload_span(data, position)
            if span is None:
                self._head, position = data[position:], len(data)
            else:
                _, position = span
        self._left = position - len(data)
