"""What the system still keeps of what a socket has taken.

A socket takes more only when a third of what it keeps is gone, which may be a megabyte. That alone does not
show whether a slow peer reads.
"""

from __future__ import annotations

from fcntl import ioctl
from sys import byteorder
from termios import TIOCOUTQ
from typing import Any


def untaken(transport: Any) -> int:
    """Return how many bytes the peer has yet to acknowledge; 0 where that is unknown."""
    try:
        return int.from_bytes(ioctl(transport.fileno(), TIOCOUTQ, bytes(4)), byteorder)
    except (AttributeError, OSError, TypeError, ValueError):
        return 0  # not a socket, one that is closed, or a system that does not tell
