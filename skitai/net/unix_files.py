"""Files of Unix sockets: made, and told apart.

``reactor.listenUNIX`` cannot be used. It changes the rights of an inherited socket and deletes its file at
the end. Its lock file holds a process number: after a crash it counts as held if another process has that
number now, and in a container the only process always has the same one.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

#: Every local user may connect, as to a port; the rights of the folder can forbid it.
MODE = 0o666


def bind_unix(path: Path, backlog: int) -> socket.socket:
    """Return a socket that listens at ``path``; a socket that a crash left behind there is replaced.

    Raises OSError: EADDRINUSE if somebody listens there, EEXIST if another kind of file is there.
    """
    _clear(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        os.chmod(path, MODE)
        listening.listen(backlog)
    except OSError:
        listening.close()
        raise
    return listening


def _clear(path: Path) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "there is a file that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full backlog must not hold us up
        refused = probe.connect_ex(str(path))
    if refused != errno.ECONNREFUSED:
        raise OSError(errno.EADDRINUSE, "another program listens there")
    os.unlink(path)


def identity_of(path: str | bytes) -> tuple[int, int] | None:
    """Return what tells the file at ``path`` from all others; None if there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
