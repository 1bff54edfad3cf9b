"""What connections of every protocol have in common: their addresses, and whether they are encrypted."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IAddress, ISSLTransport


class Connection:
    """The part of ``IConnection`` that is the same for every protocol.

    All methods are called in the reactor thread.
    """

    # Slots, because there may be ten thousand idle connections.
    __slots__ = ("addresses", "client", "secure", "server", "transport")

    transport: Any
    #: The address of the client, and the one that it connected to.
    client: IAddress
    server: IAddress
    #: The environ's SERVER_NAME, SERVER_PORT, REMOTE_ADDR and REMOTE_PORT.
    addresses: dict[str, str]
    #: Whether the connection is encrypted.
    secure: bool

    def connected(self, transport: Any) -> None:
        """Set the attributes from ``transport``."""
        self.transport = transport
        self.secure = ISSLTransport.providedBy(transport)
        self.set_addresses(transport.getPeer(), transport.getHost())

    def set_addresses(self, client: IAddress, server: IAddress) -> None:
        """Set both addresses. Called again if a proxy in front names the real client."""
        self.client = client
        self.server = server
        self.addresses = address_variables(client, server, self.secure)


def address_variables(client: IAddress, server: IAddress, secure: bool) -> dict[str, str]:
    """Return a connection's variables of the environ. A Unix socket gets the default port of its scheme."""
    return {
        "SERVER_NAME": getattr(server, "host", "localhost"),
        "SERVER_PORT": str(getattr(server, "port", 443 if secure else 80)),
        "REMOTE_ADDR": getattr(client, "host", ""),
        "REMOTE_PORT": str(getattr(client, "port", "")),
    }
