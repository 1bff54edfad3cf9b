"""How much of a result has come."""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
import termios

#: Where struct tcp_info of Linux has tcpi_bytes_received, a 64-bit number.
_RECEIVED = struct.Struct("=128xQ")
_UNREAD = struct.Struct("i")


class ByteCount:
    """Counts what is read from a socket for one result, for TCP on Linux; elsewhere it stays 0."""

    __slots__ = ("_first",)

    def __init__(self) -> None:
        self._first: int | None = None

    def of(self, connected: socket.socket) -> int:
        """Return how many bytes were read since the first call. Called after each read."""
        read = _read_so_far(connected)
        if self._first is None:
            self._first = read
        return read - self._first


def _read_so_far(connected: socket.socket) -> int:
    """Return how many bytes were read from a TCP socket in its life, 0 where the system does not tell."""
    if sys.platform != "linux" or connected.family == socket.AF_UNIX:
        return 0
    info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED.size)
    unread = fcntl.ioctl(connected, termios.FIONREAD, bytes(_UNREAD.size))
    received: int = _RECEIVED.unpack(info)[0] if len(info) == _RECEIVED.size else 0
    return received - int(_UNREAD.unpack(unread)[0])
