"""What the connections of every protocol have in common: who talks to whom, and whether others can listen."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IAddress, ISSLTransport


class Connection:
    """The facts of one connection that do not change with the protocol it speaks: a part of ``IConnection``.

    All methods are called in the reactor thread.
    """

    # Slots: ten thousand of these may be idle.
    __slots__ = ("addresses", "client", "secure", "server", "transport")

    transport: Any
    #: The addresses of both ends: who asks, and what was asked.
    client: IAddress
    server: IAddress
    #: The environ's SERVER_NAME, SERVER_PORT, REMOTE_ADDR and REMOTE_PORT.
    addresses: dict[str, str]
    #: Whether it is encrypted.
    secure: bool

    def connected(self, transport: Any) -> None:
        """Take the facts from ``transport``."""
        self.transport = transport
        self.secure = ISSLTransport.providedBy(transport)
        self.set_addresses(transport.getPeer(), transport.getHost())

    def set_addresses(self, client: IAddress, server: IAddress) -> None:
        """Note who talks to whom: called again where a proxy in front tells who its client is."""
        self.client = client
        self.server = server
        self.addresses = address_variables(client, server, self.secure)


def address_variables(client: IAddress, server: IAddress, secure: bool) -> dict[str, str]:
    """Return the environ's variables of a connection; a Unix socket has the port that goes without saying."""
    return {
        "SERVER_NAME": getattr(server, "host", "localhost"),
        "SERVER_PORT": str(getattr(server, "port", 443 if secure else 80)),
        "REMOTE_ADDR": getattr(client, "host", ""),
        "REMOTE_PORT": str(getattr(client, "port", "")),
    }
