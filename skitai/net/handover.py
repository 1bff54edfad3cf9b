"""What is done with a transport and all that it is made of: giving it to another protocol, and closing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol


def hand_over(transport: Any, protocol: IProtocol, received: bytes = b"") -> None:
    """Make ``protocol`` the protocol of a connected ``transport`` in place of the present one.

    ``received`` are bytes for ``protocol`` that were read already. Called in the reactor thread.
    """
    connect_to(transport, protocol)
    pass_on(protocol, received)


def connect_to(transport: Any, protocol: IProtocol) -> None:
    """Do the first half of ``hand_over``: for who has something to say before ``pass_on``."""
    # With TLS the transport is itself a protocol: a wrapper, which keeps the inner one by another name.
    if hasattr(transport, "wrappedProtocol"):
        transport.wrappedProtocol = protocol
    else:
        transport.protocol = protocol
    protocol.makeConnection(transport)


def pass_on(protocol: IProtocol, received: bytes) -> None:
    """Give ``protocol`` the bytes that were read already, if there are any."""
    if received:
        protocol.dataReceived(received)


def close_all(transport: Any) -> None:
    """Close a connection on which nothing is under way: TLS says so, and does not wait for an answer.

    A peer may never give it, and whoever closes need not wait for it (RFC 8446, section 6.1).
    """
    while transport is not None:
        transport.loseConnection()
        transport = getattr(transport, "transport", None)
