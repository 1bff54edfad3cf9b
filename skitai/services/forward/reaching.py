"""Connections to the addresses that were checked, and to no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver
from zope.interface import implementer

from skitai.net.connector import Connector
from skitai.net.special import read_address

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IHostResolution, IResolutionReceiver

    from skitai.interfaces import IConnector
    from skitai.net.destinations import Rules


@implementer(IHostnameResolver)
class CheckedResolver:
    """Finds the addresses of names among which ``rules`` allow connections. Called in the reactor thread.

    A connection is made to what this returns. So it makes no difference if a name has other addresses by now
    than when its request was judged.
    """

    def __init__(self, connector: IConnector, rules: Rules) -> None:
        self._connector = connector
        self._rules = rules

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,  # noqa: N803 - Twisted's names, which callers use
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: Any = None,  # noqa: ARG002, N803
        transportSemantics: str = "TCP",  # noqa: ARG002, N803
    ) -> IHostResolution:
        """Deliver those addresses that a connection may be made to."""

        def deliver(found: list[str]) -> None:
            for text in allowed(self._rules, hostName, portNumber, found):
                kind = IPv6Address if ":" in text else IPv4Address
                resolutionReceiver.addressResolved(kind("TCP", text, portNumber))
            resolutionReceiver.resolutionComplete()

        searching: Deferred[list[str]] = self._connector.resolve(hostName)
        searching.addCallbacks(deliver, lambda _failure: deliver([]))
        return None  # type: ignore[return-value]  # nobody cancels a search

    def close(self) -> None:
        """Do nothing: what searches belongs to the instance."""


def allowed(rules: Rules, host: str, port: int, found: list[str]) -> list[str]:
    """Return the addresses, of those ``found`` for a name, that ``rules`` allow connections to."""
    addresses = [read_address(text) for text in found if "%" not in text]  # a zone: link-local
    return [str(address) for address in addresses if rules.admits(host, port, address)]


def make_checked_connector(reactor: Any, connector: IConnector, rules: Rules) -> Connector:
    """Return a connector that keeps to ``rules``. It asks no other proxy: that would look up names itself."""
    resolver: Any = CheckedResolver(connector, rules)
    return Connector(reactor, tls=connector.tls, resolver=resolver, timeout=connector.timeout)
