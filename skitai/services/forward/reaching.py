"""Connections to the addresses that were checked, and to no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver
from zope.interface import implementer

from skitai.net.connector import Connector
from skitai.net.special import Address, is_own, is_public, read_address

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IHostResolution, IResolutionReceiver

    from skitai.interfaces import IConnector
    from skitai.net.destinations import Rules

#: How many addresses of a name a message has.
_NAMED_MAX = 4


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
    return [str(address) for address in _addresses(found) if rules.admits(host, port, address)]


def not_allowed(rules: Rules, host: str, port: int, found: list[str]) -> str:
    """Return what the log says of a name if ``allowed`` has none of the addresses that it leads to."""
    leads = f"{host} leads to {', '.join(found[:_NAMED_MAX])}"
    addresses = _addresses(found)
    if any(item.has(address) for item in rules.items for address in addresses):
        return f"{leads}, where port {port} is not allowed"
    be = "is" if len(found) == 1 else "are"
    kind = ""
    if not any(map(is_public, addresses)):
        kind = f"{be} not public and "
    elif all(is_own(address) for address in addresses):
        kind = f"{be} of this machine and "
    return f"{leads}, which {kind}{be} not in proxy_destinations"


def _addresses(found: list[str]) -> list[Address]:
    return [read_address(text) for text in found if "%" not in text]  # a zone: link-local


def make_checked_connector(reactor: Any, connector: IConnector, rules: Rules) -> Connector:
    """Return a connector that keeps to ``rules``. It asks no other proxy: that would look up names itself."""
    resolver: Any = CheckedResolver(connector, rules)
    return Connector(reactor, tls=connector.tls, resolver=resolver, timeout=connector.timeout)
