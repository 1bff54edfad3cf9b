"""A look at a socket, without reading from it."""

from __future__ import annotations

import select
from typing import Any

from skitai.loop.native import poll


def look_at(transport: Any) -> select.poll | None:
    """Return what tells by ``poll(0)`` whether the socket of ``transport`` has something to read.

    On a connection that waits for its next request this could be the peer's close. None: there is no socket.
    Called in the reactor thread.
    """
    wire = getattr(transport, "socket", None)
    if wire is None:
        return None
    look = poll()
    look.register(wire, select.POLLIN)
    return look
