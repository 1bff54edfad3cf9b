"""What connections of every protocol have in common: their addresses, and whether they are encrypted."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, ISSLTransport

from skitai.http.hosts import unmapped


class Connection:
    """The part of ``IConnection`` that is the same for every protocol.

    All methods are called in the reactor thread.
    """

    # Slots, because there may be ten thousand idle connections.
    __slots__ = ("_direct", "addresses", "client", "secure", "server", "transport")

    transport: Any
    #: The address of the client, and the one that it connected to.
    client: IAddress
    server: IAddress
    #: The environ's SERVER_NAME, SERVER_PORT, REMOTE_ADDR, REMOTE_PORT and wsgi.url_scheme.
    addresses: dict[str, str]
    #: Whether the connection is encrypted.
    secure: bool

    def connected(self, transport: Any) -> None:
        """Set the attributes from ``transport``."""
        self.transport = transport
        self.secure = ISSLTransport.providedBy(transport)
        self.set_direct(transport.getPeer(), transport.getHost())

    def set_direct(self, client: IAddress, server: IAddress) -> None:
        """Set the addresses of the connection itself. Called again if a proxy that only relays names them.

        An IPv4 client of a socket that listens on ``::`` is shown as such.
        """
        if isinstance(client, IPv6Address):
            client = _unmapped(client)
        if isinstance(server, IPv6Address):
            server = _unmapped(server)
        self._direct = (client, server, self.secure)
        self.set_addresses(client, server)

    @property
    def peer(self) -> IAddress:
        """The address of who sends the requests: a proxy's where ``client`` is whom that one names."""
        return self._direct[0]

    def show_direct(self) -> None:
        """Forget what a proxy has said of an earlier request."""
        client, server, secure = self._direct
        if client is not self.client or secure is not self.secure:
            self.secure = secure
            self.set_addresses(client, server)

    def set_addresses(self, client: IAddress, server: IAddress) -> None:
        """Set both addresses, as ``secure`` is. Called again for a request whose client a proxy names."""
        self.client = client
        self.server = server
        secure = self.secure
        # A Unix socket has no name, and the default port of its scheme.
        self.addresses = {
            "SERVER_NAME": getattr(server, "host", "localhost"),
            "SERVER_PORT": str(getattr(server, "port", 443 if secure else 80)),
            "REMOTE_ADDR": getattr(client, "host", ""),
            "REMOTE_PORT": str(getattr(client, "port", "")),
            "wsgi.url_scheme": "https" if secure else "http",
        }


def _unmapped(address: IPv6Address) -> IAddress:
    host = unmapped(address.host)
    return address if host == address.host else IPv4Address(address.type, host, address.port)
