"""The server's end of the pair of sockets whose other end an app has."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.interfaces import IReadWriteDescriptor
from zope.interface import implementer

if TYPE_CHECKING:
    import _socket

    from twisted.python.failure import Failure

#: Bytes that are read at a time.
PIECE = 64 * 1024


class Owner(Protocol):
    """Who is told what the app does. All methods are called in the reactor thread."""

    def app_sent(self, data: bytes) -> None:
        """Take what the app has sent."""

    def app_took_all(self) -> None:
        """Note that nothing waits for the app any more."""

    def app_ended(self) -> None:
        """Note that the app sends no more, or that it also takes no more."""


@implementer(IReadWriteDescriptor)
class AppEnd:
    """Passes bytes between ``owner`` and the app. All methods are called in the reactor thread."""

    def __init__(self, reactor: Any, end: _socket.socket, owner: Owner) -> None:
        self._reactor = reactor
        self._socket = end
        self._owner = owner
        #: What the app has yet to take.
        self._rest = b""
        self._reads = self._input_ends = self._hung_up = self._closed = False
        #: Whether the app takes no more, and whether it sends no more.
        self.deaf = self.ended = False
        end.setblocking(False)

    # -- to the app ----------------------------------------------------------------------------------------

    def give(self, data: bytes) -> bool:
        """Send ``data`` to the app; return whether nothing waits. If not, ``app_took_all`` will be called."""
        if self.deaf or self._input_ends:
            return True
        if self._rest:
            self._rest += data
            return False
        sent = self._send(data)
        if self.deaf or sent == len(data):
            return True
        self._rest = data[sent:]
        self._reactor.addWriter(self)
        return False

    def end_input(self, at_once: bool = False) -> None:
        """Let the app see the end of its input when it has taken all, or ``at_once``."""
        self._input_ends = True
        if at_once:
            self._drop_rest()
        if not self._rest:
            self._shut_down(socket.SHUT_WR)

    def doWrite(self) -> None:
        """Send more of what waits. Called by the reactor."""
        self._rest = self._rest[self._send(self._rest) :]
        if self.deaf:
            self._took_all()
        elif not self._rest:
            self._reactor.removeWriter(self)
            if self._input_ends:
                self._shut_down(socket.SHUT_WR)
            self._took_all()

    def _send(self, data: bytes) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:  # the app has closed its end
            self._go_deaf()
            return 0

    def _took_all(self) -> None:
        if self._hung_up:
            self.close()
        self._owner.app_took_all()

    def _go_deaf(self) -> None:
        self.deaf = True
        self._drop_rest()

    def _drop_rest(self) -> None:
        if self._rest:
            self._rest = b""
            self._reactor.removeWriter(self)

    # -- from the app --------------------------------------------------------------------------------------

    def read_on(self, wanted: bool) -> None:
        """Begin or cease to read what the app sends."""
        wanted = wanted and not (self.ended or self._hung_up or self._closed)
        if wanted != self._reads:
            self._reads = wanted
            (self._reactor.addReader if wanted else self._reactor.removeReader)(self)

    def doRead(self) -> None:
        """Read what the app has sent. Called by the reactor."""
        try:
            data = self._socket.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:  # the app has closed its end, and left something unread
            data = b""
        if data:
            self._owner.app_sent(data)
            return
        self.ended = True
        self.read_on(False)
        if not self.deaf:
            self._send(b"")  # fails if the app has closed its end, not only one direction
        self._owner.app_ended()

    # -- the end -------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Give the app nothing more, and read what it has sent until now."""
        if not self._closed:
            self._go_deaf()
            self._shut_down(socket.SHUT_RDWR)

    def hang_up(self) -> None:
        """Close when the app has taken all that waits; nothing is read any more."""
        self._hung_up = True
        self.read_on(False)
        if self._rest:
            self._input_ends = True
            self._shut_down(socket.SHUT_RD)
        else:
            self.close()

    def close(self) -> None:
        """Close at once; the app sees the end of its input."""
        if self._closed:
            return
        self._drop_rest()
        self.read_on(False)
        self._closed = self.deaf = self.ended = True
        self._shut_down(socket.SHUT_RDWR)
        # What is left unread would have the app's next read fail, instead of showing the end.
        with suppress(OSError):
            while self._socket.recv(PIECE):
                pass
        self._socket.close()

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002 - named by the interface
        """Note that the app has closed its end while it was not read. Called by the reactor."""
        self._reads = False
        if not self._closed:
            self._rest = b""
            self.deaf = True
            self._took_all()
            if self.ended:
                self._owner.app_ended()

    def _shut_down(self, how: int) -> None:
        with suppress(OSError):  # the app was first
            self._socket.shutdown(how)

    # -- for the reactor -----------------------------------------------------------------------------------

    def fileno(self) -> int:
        """Return the descriptor; -1 when it is closed."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """Return what the log calls it."""
        return "socket of an app"
