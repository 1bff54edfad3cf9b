"""Where a forward proxy may connect to: ``*.example.org:443, 10.1.0.0/16, 127.0.0.1``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_network

import attrs

from skitai.net.addresses import host_name
from skitai.net.endpoints import PORT_MAX
from skitai.net.special import Address, is_own, is_public, is_wholly_special, read_address
from skitai.net.trust import Network

_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)
#: An item with ports behind it; an IPv6 address or network then stands in brackets.
_ITEM = re.compile(
    r"(?:\[(?P<ipv6>[^\[\]:]*:[^\[\]]*)\](?P<prefix>/[0-9]+)?|(?P<other>[^\[\]:]+))(?::(?P<ports>[0-9-]+))?"
)
#: Every name.
ANY = "*"
#: A last label that only an IPv4 address has: some programs take such names for one, in bases 8, 10 and 16.
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")


@attrs.frozen
class PortRange:
    """The ports from ``first`` to ``last``, both included."""

    first: int
    last: int

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def parse_ports(text: str) -> PortRange:
    """Return the range of ``443`` or ``8000-8100``. Raises ValueError."""
    found = _RANGE.fullmatch(text)
    if found is not None:
        first = int(found[1])
        last = int(found[2] or first)
        if 0 < first <= last <= PORT_MAX:
            return PortRange(first, last)
    raise ValueError(f"{text!r} is not a port, or ports such as 8000-8100")


@attrs.frozen
class Destination:
    """One item of the list: a ``name`` or a ``network``; ``ports`` None: those that are usual.

    A name is that of a host, ``.example.org`` for all hosts in it, or ``*``. It leads to public addresses
    only, and to none of this machine. A network leads to its addresses, by whatever name; to those that are
    not public only if it has no others: 0.0.0.0/0 is not meant for them.
    """

    name: str = ""
    network: Network | None = None
    ports: PortRange | None = None
    #: Whether the addresses of the network that are not public are meant, too.
    is_special: bool = attrs.field(init=False, repr=False, eq=False)

    @is_special.default
    def _is_special(self) -> bool:
        return self.network is not None and is_wholly_special(self.network)

    def __str__(self) -> str:
        """Return it as ``parse_destination`` reads it."""
        network = self.network
        if network is None:
            shown = f"*{self.name}" if self.name.startswith(".") else self.name
        else:
            shown = str(network if network.num_addresses > 1 else network.network_address)
            if self.ports is not None and network.version == 6:
                shown = f"[{network.network_address}]"
                shown += f"/{network.prefixlen}" if network.num_addresses > 1 else ""
        return shown if self.ports is None else f"{shown}:{self.ports}"

    def names(self, host: str) -> bool:
        """Return whether it is about the host of this name."""
        if self.name.startswith("."):
            return host.endswith(self.name)
        return self.name in (ANY, host)

    def has(self, address: Address) -> bool:
        """Return whether the address is one of the network that may be connected to."""
        network = self.network
        if network is None or network.version != address.version or address not in network:
            return False
        return self.is_special or is_public(address)


def parse_destination(text: str) -> Destination:
    """Return the destination of one item. Raises ValueError with the forms that it may have."""
    ports = None
    plain = text
    if text.count(":") <= 1 or text.startswith("["):  # else an IPv6 address or network without a port
        found = _ITEM.fullmatch(text)
        if found is None:
            raise _no_destination(text)
        ports = None if found["ports"] is None else parse_ports(found["ports"])
        plain = found["other"] or f"{found['ipv6']}{found['prefix'] or ''}"
    try:
        network = ip_network(plain)
    except ValueError:
        pass
    else:
        if "%" in plain:
            raise _no_destination(text)
        mapped = getattr(network.network_address, "ipv4_mapped", None)
        if mapped is not None and network.prefixlen >= 96:
            network = ip_network(f"{mapped}/{network.prefixlen - 96}")
        return Destination(network=network, ports=ports)
    if plain == ANY:
        return Destination(ANY, ports=ports)
    domain = plain.removeprefix(ANY) if plain.startswith("*.") else plain
    try:
        name = host_of_name(domain.removeprefix("."))
    except ValueError:
        raise _no_destination(text) from None
    return Destination(f".{name}" if domain.startswith(".") else name, ports=ports)


def _no_destination(text: str) -> ValueError:
    return ValueError(
        f"{text[:80]!r} is not a host, *.domain, * for all, an address or a network such as 10.1.0.0/16,"
        " perhaps with :443 behind it"
    )


def host_of_name(text: str) -> str:
    """Return a name of DNS as destinations know it; raise ValueError for any other text, and for addresses.

    So is a name that ends in a number: some resolvers take ``2130706433``, ``0x7f.1`` and ``0177.0.0.1`` for
    addresses.
    """
    name = host_name(text).rstrip(".")
    if ":" in name or not name or _NUMBER.fullmatch(name.rpartition(".")[2]):
        raise ValueError(f"{text!r} is not the name of a host")
    return name


def _is_outside(address: Address) -> bool:
    """Return whether an address is public and not one of this machine, which would trust itself."""
    return is_public(address) and not is_own(address)


@attrs.frozen
class Rules:
    """What a list of destinations allows for one kind of request; ``ports`` are those of items without."""

    items: Sequence[Destination]
    ports: Sequence[PortRange]

    def _covers(self, item: Destination, port: int) -> bool:
        return port in item.ports if item.ports is not None else any(port in each for each in self.ports)

    def may_ask(self, host: str, port: int) -> bool:
        """Return whether some item may allow the host, an address or a name, for one of its addresses.

        Without, not even its addresses are looked up.
        """
        try:
            return self.admits("", port, read_address(host))
        except ValueError:
            pass
        return any(
            (item.network is not None or item.names(host)) and self._covers(item, port) for item in self.items
        )

    def about(self, host: str) -> list[Destination]:
        """Return the items that are about the host, if not for the port that was asked for."""
        try:
            address = read_address(host)
        except ValueError:
            return [item for item in self.items if item.names(host)]
        outside = _is_outside(address)
        return [item for item in self.items if item.has(address) or (item.name == ANY and outside)]

    def admits(self, host: str, port: int, address: Address) -> bool:
        """Return whether a connection to ``address``, one of those of ``host``, is allowed.

        ``host`` is empty where the client has asked for an address.
        """
        public = _is_outside(address)
        return any(
            (item.has(address) or (public and (item.name == ANY or (host != "" and item.names(host)))))
            and self._covers(item, port)
            for item in self.items
        )
