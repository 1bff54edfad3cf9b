"""Which addresses are those of hosts on the public internet, and which are special (IANA's registries).

The table is our own: that of Python's ``ipaddress`` differs between its releases.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from skitai.net.trust import Network

Address: TypeAlias = IPv4Address | IPv6Address

#: What no name of a stranger may lead to, by the registry of RFC 6890.
_SPECIAL_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network: 0.0.0.0 is the machine itself
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind the NAT of carriers (RFC 6598)
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local; also where clouds tell machines their keys
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",  # for documentation, as 198.51.100.0/24 and 203.0.113.0/24
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",  # for benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
#: All of IPv6 that is no unicast of the internet (RFC 4291, section 2.4), in two parts: 2000::/3 is between.
_BESIDE_6 = (IPv6Network("::/3"), IPv6Network("4000::/2"), IPv6Network("8000::/1"))
_SPECIAL_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocols, such as Teredo
        "2001:db8::/32",  # for documentation, as 3fff::/20
        "3fff::/20",
    )
)
#: Here an IPv4 address follows: 6to4 (RFC 3056), and the prefix of NAT64 (RFC 6052).
_6TO4, _NAT64 = IPv6Network("2002::/16"), IPv6Network("64:ff9b::/96")
#: Special blocks within ``_BESIDE_6`` that an administrator may name: unique local, link-local, multicast.
_NAMED_6 = tuple(IPv6Network(text) for text in ("::1/128", "::/128", "fc00::/7", "fe80::/10", "ff00::/8"))
#: Which one does not matter to the way.
_ANY_PORT = 9


def read_address(text: str) -> Address:
    """Return the address that a connection to ``text`` goes to: of an IPv4-mapped one, the IPv4 address.

    Raises ValueError for any other text, and for an address with a zone.
    """
    if "%" in text:
        raise ValueError(f"{text!r} has a zone, which says something on one machine only")
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_public(address: Address) -> bool:
    """Return whether an address, as ``read_address`` returns it, is one of the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_4)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    if address in _6TO4:
        return is_public(IPv4Address(int(address) >> 80 & 0xFFFF_FFFF))
    return not any(address in network for network in (*_BESIDE_6, *_SPECIAL_6))


def is_own(address: Address) -> bool:
    """Return whether the address is one of this machine: what the system sends there has it as the sender.

    Nothing is sent. Without any way to the address the answer is False.
    """
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect((str(address), _ANY_PORT))
            return bool(ip_address(asking.getsockname()[0]) == address)
    except OSError:
        return False


def is_wholly_special(network: Network) -> bool:
    """Return whether ``network`` is a part of one special block: who writes it means what is in there."""
    if isinstance(network, IPv4Network):
        return any(network.subnet_of(block) for block in _SPECIAL_4)
    blocks = (*_NAMED_6, *_SPECIAL_6, _6TO4, _NAT64, IPv6Network("64:ff9b:1::/48"))
    return any(network.subnet_of(block) for block in blocks)
