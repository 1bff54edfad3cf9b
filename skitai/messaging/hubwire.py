"""How a process and the hub of its machine speak: plain values, each with its length before it."""

from __future__ import annotations

from typing import Any

from twisted.protocols.basic import Int32StringReceiver

from skitai.formats.plain import from_bytes, to_bytes

#: Bytes of one value: the answer about a room of many members is the longest.
LENGTH_MAX = 64 * 1024 * 1024
#: Bytes that may wait for a process that reads nothing.
WAITING_MAX = 32 * 1024 * 1024


class HubWire(Int32StringReceiver):
    """One end of such a connection. All methods are called in the reactor thread."""

    MAX_LENGTH = LENGTH_MAX

    _is_full = False
    _waiting = 0

    def connectionMade(self) -> None:
        """Learn when the other end reads too slowly."""
        assert self.transport is not None
        self.transport.registerProducer(self, True)  # type: ignore[attr-defined]

    def give(self, *value: Any) -> None:
        """Send a value; cut the connection if the other end reads nothing.

        Raises ValueError for a value that is not plain.
        """
        data = to_bytes(list(value))
        if self._is_full:
            self._waiting += len(data)
            if self._waiting > WAITING_MAX:
                self.transport.abortConnection()  # type: ignore[union-attr]
                return
        self.sendString(data)  # type: ignore[no-untyped-call]

    def taken(self, value: list[Any]) -> None:
        """Take a value."""
        raise NotImplementedError

    def stringReceived(self, string: bytes) -> None:
        """Read a value; cut the connection if it is none."""
        try:
            self.taken(list(from_bytes(string)))
        except (KeyError, TypeError, ValueError):
            self.transport.abortConnection()  # type: ignore[union-attr]

    # -- a producer of the transport -----------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """Note that bytes wait for the other end: Twisted says so at each write."""
        self._is_full = True

    def resumeProducing(self) -> None:
        """Note that the other end has read them."""
        self._is_full, self._waiting = False, 0

    def stopProducing(self) -> None:
        """Do nothing: the loss of the connection is told elsewhere."""
