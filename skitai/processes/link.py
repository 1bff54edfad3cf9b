"""The line between two processes of one server: messages, which may bring descriptors along."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

#: What one message may be long: the system's own limit is about 200 KB.
_LONGEST = 150_000
#: How many descriptors may come with one message; the system's limit is 253.
_DESCRIPTORS_MAX = 250


class LinkClosedError(Exception):
    """The process at the other end is gone, or has let go of its end."""


class Link:
    """One end of the line. A message is a mapping that JSON can carry, and arrives as a whole.

    It is a pair of Unix sockets of the kind SOCK_SEQPACKET (unix(7)), which keeps messages apart.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    @classmethod
    def pair(cls) -> tuple[Self, Self]:
        """Return both ends of a new line."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), cls(theirs)

    @classmethod
    def at(cls, descriptor: int) -> Self:
        """Return the end whose descriptor was handed to this process."""
        return cls(socket.socket(fileno=descriptor))

    def fileno(self) -> int:
        """Return the descriptor, to wait for messages."""
        return self._end.fileno()

    def set_blocking(self, blocking: bool) -> None:
        """Let ``receive`` wait for a message, or raise BlockingIOError if there is none."""
        self._end.setblocking(blocking)

    def send(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send ``message``; the other process gets duplicates of ``descriptors``.

        Raises LinkClosedError if nobody receives it, and BlockingIOError if that one takes nothing any more.
        """
        data = json.dumps(message).encode()
        if len(data) > _LONGEST:
            raise ValueError(f"a message of {len(data)} bytes: {_LONGEST} is the most")
        try:
            socket.send_fds(self._end, [data], list(descriptors))
        except (BrokenPipeError, ConnectionError) as error:
            raise LinkClosedError from error

    def receive(self) -> tuple[dict[str, Any], list[int]]:
        """Return the next message, and the descriptors that came with it.

        Raises LinkClosedError when nothing will come any more.
        """
        try:
            data, descriptors, _, _ = socket.recv_fds(self._end, _LONGEST, _DESCRIPTORS_MAX)
        except ConnectionError as error:
            raise LinkClosedError from error
        if not data:
            raise LinkClosedError
        for descriptor in descriptors:  # some versions of Python ignore the flag that would do so
            os.set_inheritable(descriptor, False)
        return json.loads(data), list(descriptors)

    def close(self) -> None:
        """Let go of this end."""
        with suppress(OSError):
            self._end.close()
