"""The end of a listening socket that resets nobody."""

from __future__ import annotations

import ctypes
import socket
import struct
from contextlib import suppress

_SO_ATTACH_FILTER = 26
#: What the kernel does with each segment that comes for the socket (socket(7), bpf(2)): one with the flag SYN
#: is dropped, any other one taken. Fields: code, jump if true, jump if false, operand.
_PROGRAM = (
    (0x30, 0, 0, 13),  # load the byte of the flags
    (0x45, 0, 1, 0x02),  # is SYN set?
    (0x06, 0, 0, 0),  # take nothing of it
    (0x06, 0, 0, 0xFFFFFFFF),  # take all of it
)


def begin_nothing(listening: socket.socket) -> None:
    """Have no new TCP connection begin at ``listening``, in whichever process; those that have begun go on.

    The kernel resets what is in the queue of a socket when it is closed. Now that nothing comes any more, the
    queue can be emptied first. A client that comes now asks again in a second, and is refused. Where the
    system knows no filters (they are Linux's), nothing happens.
    """
    if listening.family not in (socket.AF_INET, socket.AF_INET6):
        return
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in _PROGRAM))
    with suppress(OSError):
        listening.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(_PROGRAM), ctypes.addressof(code))
        )
