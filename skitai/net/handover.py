"""Giving the transport of one protocol to another, without a wrapper around either."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.protocols.policies import ProtocolWrapper

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol


def hand_over(transport: Any, protocol: IProtocol, received: bytes = b"") -> None:
    """Make ``protocol`` the protocol of a connected ``transport`` in place of the present one.

    ``received`` are bytes for ``protocol`` that were read already. Called in the reactor thread.
    """
    # With TLS the transport is itself a protocol: a wrapper, which keeps the inner one by another name.
    if isinstance(transport, ProtocolWrapper):
        transport.wrappedProtocol = protocol
    else:
        transport.protocol = protocol
    protocol.makeConnection(transport)
    if received:
        protocol.dataReceived(received)
