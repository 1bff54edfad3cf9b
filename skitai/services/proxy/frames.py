"""Where the frames of a websocket end (RFC 6455, section 5.2), for who only passes them on."""

from __future__ import annotations

_SHORT, _LONG = 126, 127
_MASK_SIZE = 4


class FrameEnds:
    """Follows one direction of a websocket. What stands in the frames does not matter."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = b""
        #: Bytes that are still to come of the present frame's payload.
        self._left = 0

    @property
    def at_end(self) -> bool:
        """Whether the last frame is complete, so that another may follow."""
        return not self._left and not self._head

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        position = 0
        while position < len(data):
            if self._left:
                step = min(self._left, len(data) - position)
                self._left -= step
                position += step
                continue
            missing = _head_size(self._head) - len(self._head)
            self._head += data[position : position + missing]
            position += missing
            if len(self._head) == _head_size(self._head):
                self._left, self._head = _payload_size(self._head), b""


def _head_size(head: bytes) -> int:
    """Return the size of a frame's head, as far as its beginning says."""
    if len(head) < 2:
        return 2
    size = {_SHORT: 4, _LONG: 10}.get(head[1] & 0x7F, 2)
    return size + (_MASK_SIZE if head[1] & 0x80 else 0)


def _payload_size(head: bytes) -> int:
    size = head[1] & 0x7F
    if size == _SHORT:
        return int.from_bytes(head[2:4])
    return int.from_bytes(head[2:10]) if size == _LONG else size
