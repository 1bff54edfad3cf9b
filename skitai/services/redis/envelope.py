"""What travels over a channel of Redis: ``ORIGIN:NUMBER:EPOCH:OFFSET``, a line feed, and the data."""

from __future__ import annotations

import attrs

from skitai.messaging import Position


@attrs.frozen
class Envelope:
    """A message with the ``number`` that its sender, ``origin``, has given it."""

    origin: bytes
    number: int
    position: Position | None
    data: bytes


def head(origin: bytes, number: int) -> bytes:
    """Return the beginning of an envelope, to which Redis adds ``EPOCH:OFFSET``."""
    return b"%b:%d:" % (origin, number)


def without_position(origin: bytes, number: int, data: bytes) -> bytes:
    """Return the envelope of a message that is not kept."""
    return b"%b:\n%b" % (head(origin, number), data)


def opened(envelope: bytes) -> Envelope:
    """Return what an envelope holds. Raises ValueError for what is none."""
    line, _, data = envelope.partition(b"\n")
    origin, number, epoch, offset = line.split(b":")
    position = Position(epoch.decode("ascii"), int(offset)) if epoch else None
    return Envelope(origin, int(number), position, data)
