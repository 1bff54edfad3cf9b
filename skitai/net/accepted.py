"""The connection of a client that a TCP port has accepted."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.tcp import Server
from twisted.python.failure import Failure

_DONE = Failure(CONNECTION_DONE)  # type: ignore[no-untyped-call]


class Accepted(Server):
    """Twisted's connection, but one that is closed while it is read ends as soon as that is done.

    That is how most connections end: the client says that it goes. Twisted waits until the socket can be
    written to, though nothing is left to send: three system calls and a turn of the reactor.
    """

    _is_read = False
    _ends = False

    def doRead(self) -> ConnectionLost | ConnectionDone | None:  # type: ignore[override]  # by a mixin
        """Pass on what has come; return why the connection is over, if it is."""
        try:
            data = self.socket.recv(self.bufferSize)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        self._is_read = True
        self.protocol.dataReceived(data)
        self._is_read = False
        if self._ends:
            self._end()
        return None

    def readConnectionLost(self, reason: Failure) -> None:
        """Pass on that the client sends no more."""
        self._is_read = True
        super().readConnectionLost(reason)
        self._is_read = False
        if self._ends:
            self._end()

    def loseConnection(self) -> None:
        """Close when all that was written is sent, and no producer writes more."""
        if self._is_read and self.connected and not self.disconnecting:
            self.disconnecting = self._ends = True
        else:
            super().loseConnection()  # type: ignore[no-untyped-call]

    def _end(self) -> None:
        self._ends = False
        if not self.connected or self._aborting:
            return
        if self.dataBuffer or self._tempDataBuffer or self.producer is not None or self._writeDisconnecting:
            self.disconnecting = False
            super().loseConnection()  # type: ignore[no-untyped-call]
        else:
            self.connectionLost(_DONE)
