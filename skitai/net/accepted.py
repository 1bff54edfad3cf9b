"""The connection of a client that a TCP port has accepted."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.address import IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IProtocol
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.tcp import Server
from twisted.python.failure import Failure

#: Bytes that are read at a time.
_READ_MAX: int = Server.bufferSize
_DONE = Failure(CONNECTION_DONE)  # type: ignore[no-untyped-call]


class Accepted(Server):
    """Twisted's connection, but one that is closed while it is read ends as soon as that is done.

    That is how most connections end: the client says that it goes. Twisted waits until the socket can be
    written to, though nothing is left to send: three system calls and a turn of the reactor.
    """

    _is_read = False
    _ends: bool
    # Whether it was ever told when it can write.
    _has_waited: bool
    #: Whether the client has said, within TLS, that it sends no more: set by who reads that. All others are
    #: shut down before they are closed. With input unread, a close resets them, and their clients get an
    #: error where they should find the end.
    has_ended = False
    # Whether a child may have the sockets, too: then all are shut down.
    _may_be_shared = False

    def __init__(
        self,
        sock: Any,
        protocol: IProtocol,
        client: tuple[Any, ...],
        server: Any,
        sessionno: int,
        reactor: Any,
        peer: IAddress | None = None,
        host: IAddress | None = None,
    ) -> None:
        # What Twisted's own does, but for a look whether the protocol has a name of its own for the log. With
        # the addresses of the client and of what it connected to, the system need not be asked for them.
        self.reactor, self.protocol, self.socket, self.fileno = reactor, protocol, sock, sock.fileno
        self._tempDataBuffer, self._tempDataLen = [], 0
        # Each connection is asked for these. What only the class has takes ten times as long to find.
        self.disconnecting = self._writeDisconnecting = self._aborting = self._ends = self._has_waited = False
        self.dataBuffer, self.producer = b"", None
        sock.setblocking(False)
        if len(client) != 2:
            self._addressType = IPv6Address
        self.server, self.client, self.sessionno, self.hostname = server, client, sessionno, client[0]
        self._peer, self._host, self._kind = peer, host, type(protocol)
        reactor.addReader(self)
        self.connected = 1

    def logPrefix(self) -> str:
        """Return what the log calls it."""
        return f"{self._kind.__name__},{self.sessionno},{self.hostname}"

    def __repr__(self) -> str:
        """Return what is written of it."""
        return f"<{self.logPrefix()}>"

    def getPeer(self) -> IAddress:
        """Return the address of the client."""
        return self._peer or super().getPeer()  # type: ignore[no-untyped-call]

    def getHost(self) -> IAddress:
        """Return the address that it connected to."""
        return self._host or super().getHost()  # type: ignore[no-untyped-call]

    def doRead(self) -> ConnectionLost | ConnectionDone | None:  # type: ignore[override]  # by a mixin
        """Pass on what has come; return why the connection is over, if it is."""
        try:
            data = self.socket.recv(_READ_MAX)
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

    def startWriting(self) -> None:
        """Have ``doWrite`` called when the socket takes something."""
        self._has_waited = True
        super().startWriting()  # type: ignore[no-untyped-call]

    def loseConnection(self) -> None:
        """Close when all that was written is sent, and no producer writes more."""
        if self._is_read and self.connected and not self.disconnecting:
            self.disconnecting = self._ends = True
        else:
            super().loseConnection()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure) -> None:
        """Close the socket, and tell the protocol why.

        As Twisted's own does, but in one function, and without asking the Failure at length.
        """
        if not hasattr(self, "socket"):
            return
        self.connected, self.disconnected = 0, 1
        if self.producer is not None:
            self.producer.stopProducing()
            self.producer = None
        self.reactor.removeReader(self)
        if self._has_waited:
            self.reactor.removeWriter(self)
        is_orderly = not issubclass(reason.type, ConnectionAborted)  # type: ignore[arg-type]
        if self.has_ended and is_orderly and not self._may_be_shared:
            self.socket.close()
        else:
            self._closeSocket(is_orderly)  # type: ignore[no-untyped-call]
        protocol = self.protocol
        del self.protocol, self.socket, self.fileno
        protocol.connectionLost(reason)

    def _end(self) -> None:
        self._ends = False
        if not self.connected or self._aborting:
            return
        if self.dataBuffer or self._tempDataBuffer or self.producer is not None or self._writeDisconnecting:
            self.disconnecting = False
            super().loseConnection()  # type: ignore[no-untyped-call]
        else:
            self.connectionLost(_DONE)


def _note_child() -> None:
    Accepted._may_be_shared = True


def _note_no_child() -> None:
    Accepted._may_be_shared = False


# Before: after it, what others have registered may let other threads run first.
os.register_at_fork(before=_note_child, after_in_child=_note_no_child)
