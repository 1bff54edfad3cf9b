"""Connections that another protocol has taken over, after an upgrade or CONNECT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from skitai.interfaces import ILastingProtocol

_log = Logger()


class Taker:
    """Passes the events of a connection on to ``protocol``.

    The channel stays the transport's protocol and calls this object. So the connection still counts, and
    learns when the server stops. All methods are called in the reactor thread.
    """

    __slots__ = ("_half_closeable", "_protocol", "_transport", "data_received")

    def __init__(self, protocol: IProtocol, transport: Any) -> None:
        self._protocol: Any = protocol
        #: Takes bytes from the client.
        self.data_received: Callable[[bytes], object] = protocol.dataReceived
        self._transport = transport
        self._half_closeable = IHalfCloseableProtocol.providedBy(protocol)

    def begin(self, data: bytes) -> None:
        """Connect the protocol, and pass on ``data``, which has already arrived for it."""
        try:
            self._protocol.makeConnection(self._transport)
            if data:
                self._protocol.dataReceived(data)
        except Exception:  # noqa: BLE001 - the response was sent, so only a closed connection tells the client
            _log.failure(
                "{protocol} failed to take over a connection", protocol=self._protocol, level=LogLevel.error
            )
            self._transport.abortConnection()

    def read_lost(self) -> None:
        """Tell the protocol that the client will send no more, or close if it cannot handle that."""
        if self._half_closeable:
            self._protocol.readConnectionLost()
        else:
            self._transport.loseConnection()

    def write_lost(self) -> None:
        """Tell the protocol that the server's half of the connection is closed."""
        if self._half_closeable:
            self._protocol.writeConnectionLost()

    def lost(self, reason: Failure) -> None:
        """Tell the protocol that the connection is gone."""
        self._protocol.connectionLost(reason)

    def stop(self) -> None:
        """Tell the protocol that the server stops, or close if it cannot handle that."""
        if ILastingProtocol.providedBy(self._protocol):
            self._protocol.stop()
        else:
            self._transport.loseConnection()
