"""Another protocol on a connection that HTTP has left: after an upgrade, or in the tunnel of CONNECT."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from skitai.interfaces import ILastingProtocol

_log = Logger()


class Taker:
    """Passes on to ``protocol`` what the channel, which stays on the transport, learns of the connection.

    So the connection goes on being counted, and a stop of the server reaches it. All methods are called in
    the reactor thread.
    """

    __slots__ = ("_half_closeable", "_protocol", "_transport")

    def __init__(self, protocol: IProtocol, transport: Any) -> None:
        self._protocol: Any = protocol
        self._transport = transport
        self._half_closeable = IHalfCloseableProtocol.providedBy(protocol)

    def begin(self, data: bytes) -> None:
        """Connect the protocol; ``data`` has come for it already."""
        try:
            self._protocol.makeConnection(self._transport)
            if data:
                self._protocol.dataReceived(data)
        except Exception:  # noqa: BLE001 - its answer is out: only an end of the connection tells the client
            _log.failure(
                "{protocol} failed to take over a connection", protocol=self._protocol, level=LogLevel.error
            )
            self._transport.abortConnection()

    def data_received(self, data: bytes) -> None:
        """Pass on bytes from the client."""
        self._protocol.dataReceived(data)

    def read_lost(self) -> None:
        """Tell that the client will send no more; without interest in that, the connection ends."""
        if self._half_closeable:
            self._protocol.readConnectionLost()
        else:
            self._transport.loseConnection()

    def write_lost(self) -> None:
        """Tell that our half of the connection is closed."""
        if self._half_closeable:
            self._protocol.writeConnectionLost()

    def lost(self, reason: Failure) -> None:
        """Tell that the connection is gone."""
        self._protocol.connectionLost(reason)

    def stop(self) -> None:
        """Tell that the server stops."""
        if ILastingProtocol.providedBy(self._protocol):
            self._protocol.stop()
        else:
            self._transport.loseConnection()
