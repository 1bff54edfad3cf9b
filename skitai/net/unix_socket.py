"""Unix sockets to listen on: one that is made here, or one that is inherited.

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
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

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


class UnixPort(unix.Port):
    """Accepts connections on ``listening``, a socket that listens already; the port closes it.

    With ``delete`` the file of the socket is deleted when the port closes, unless it is another socket's now.
    All methods are called in the reactor thread.
    """

    def __init__(self, listening: socket.socket, factory: Factory, reactor: Any, *, delete: bool) -> None:
        super().__init__(listening.getsockname(), factory, reactor=reactor)
        listening.setblocking(False)
        self._listening = listening
        self._file = self._identity() if delete else None
        # A shutdown() of an inherited socket would end it for every other process that holds it.
        self._shouldShutdown = delete

    def startListening(self) -> None:
        """Begin to accept."""
        # As Twisted's own ports do: the descriptor to give up when there are no others left.
        tcp._reservedFD.reserve()  # type: ignore[no-untyped-call]
        self.factory.doStart()  # type: ignore[union-attr]
        self.connected = True
        self.socket = self._listening
        self.fileno = self.socket.fileno  # type: ignore[method-assign]
        self.numberAccepts = 100
        self.startReading()  # type: ignore[no-untyped-call]

    def stopListening(self) -> Any:  # type: ignore[override]  # its argument is for subclasses
        """Stop accepting: the file goes at once. Returns a Deferred that fires when the socket is closed."""
        if self._file is not None and self._file == self._identity():
            os.unlink(self._listening.getsockname())
        return self.loseConnection()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure) -> None:
        """Close the socket."""
        tcp.Port.connectionLost(self, reason)  # type: ignore[no-untyped-call]

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = os.lstat(self._listening.getsockname())
        except OSError:
            return None
        return found.st_dev, found.st_ino
