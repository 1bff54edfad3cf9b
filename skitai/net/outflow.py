"""Sends bytes to a socket at once, past its transport, which takes only what the socket does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer


@implementer(IPullProducer)
class Outflow:
    """The sending half of ``transport``, whose socket it writes to.

    A write of the transport would cost two system calls more, and a turn of the reactor. ``more()`` returns
    what is to be sent next. It is called whenever the socket has taken everything that it could not take at
    once, until it returns nothing; then ``idle()`` is called. All methods are called in the reactor thread.
    """

    __slots__ = ("_idle", "_more", "_rest", "_send", "_transport", "blocked", "handle")

    def __init__(self, transport: Any, more: Callable[[], bytes], idle: Callable[[], object]) -> None:
        self._transport = transport
        #: The socket.
        self.handle: Any = transport.getHandle()
        self._send = self.handle.send
        self._more = more
        self._idle = idle
        self._rest = b""
        #: Whether the transport has something to send: then ``more`` will be called.
        self.blocked = False

    def write(self, data: bytes) -> None:
        """Send ``data`` after everything written before."""
        if self.blocked:
            self._transport.write(data)
            return
        try:
            sent = self._send(data)
        except OSError:
            sent = 0  # the socket is full, or broken: then the transport finds that out and reports it
        if sent < len(data):
            self._rest = data[sent:]
            self.begin()

    def begin(self) -> None:
        """Have ``more`` called, as if the socket had been full."""
        if not self.blocked:
            self.blocked = True
            self._transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Give the transport the next piece: it has sent everything."""
        piece, self._rest = self._rest or self._more(), b""
        if piece:
            self._transport.write(piece)
        else:
            self.blocked = False
            self._transport.unregisterProducer()
            self._idle()

    def stopProducing(self) -> None:
        """Do nothing: the protocol is told of the end, too."""
