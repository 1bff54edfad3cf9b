"""What a bus speaks of."""

from __future__ import annotations

from typing import Self

import attrs


@attrs.frozen
class Position:
    """A place in the history of a channel, written ``EPOCH:OFFSET``.

    The first message of an epoch has the offset 1. Another epoch means that the history was lost, so nobody
    knows what came between the two.
    """

    epoch: str
    offset: int

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the position that ``str(position)`` wrote. Raises ValueError for another text."""
        epoch, colon, offset = text.rpartition(":")
        if not (colon and epoch and offset.isascii() and offset.isdigit() and len(offset) < 20):
            raise ValueError(f"{text!r} is no position: it is written EPOCH:OFFSET")
        return cls(epoch, int(offset))

    def __str__(self) -> str:
        return f"{self.epoch}:{self.offset}"


@attrs.frozen
class Published:
    """A message of a channel; ``position`` is None if no history is kept, or the bus could not be reached."""

    channel: str
    data: bytes
    position: Position | None = None


@attrs.frozen
class Recent:
    """The history of a channel after a position: ``position`` is where it ends at present.

    ``complete`` says whether nothing is missing between the position that was asked for and the messages.
    """

    position: Position
    messages: tuple[Published, ...] = ()
    complete: bool = True
