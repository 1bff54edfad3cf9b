"""Giving a transport another protocol, so that the one before it stands no longer in the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.protocols.policies import ProtocolWrapper

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol


def hand_over(transport: Any, protocol: IProtocol, received: bytes = b"") -> None:
    """Let ``protocol`` take the place of the present protocol of a connected ``transport``.

    ``received`` are bytes that were read already and are for it. Called in the reactor thread.
    """
    # A wrapper such as that of TLS is a protocol itself, and the transport of the one within.
    if isinstance(transport, ProtocolWrapper):
        transport.wrappedProtocol = protocol
    else:
        transport.protocol = protocol
    protocol.makeConnection(transport)
    if received:
        protocol.dataReceived(received)
