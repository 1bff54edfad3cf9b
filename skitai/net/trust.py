"""Which peers are proxies of ours: ``trusted_proxies = 127.0.0.1, 10.0.0.0/8, unix``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

Network = IPv4Network | IPv6Network

#: Stands for all peers that come through a Unix socket.
UNIX = "unix"
_REMEMBERED = 1024


class TrustedProxies:
    """The addresses of proxies; ``networks`` are addresses, networks and ``unix``. Used in any thread."""

    def __init__(self, networks: Sequence[Network | str]) -> None:
        self._unix = UNIX in networks
        self._networks = [network for network in networks if not isinstance(network, str)]
        self._trusts_host = lru_cache(_REMEMBERED)(self._look_up)

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def trusts(self, address: Any) -> bool:
        """Return whether the peer at a Twisted ``address`` is a proxy of ours."""
        host = getattr(address, "host", None)
        return self._unix if host is None else self._trusts_host(host)

    def trusts_host(self, host: str) -> bool:
        """Return whether ``host`` is the IP address of a proxy of ours; False for any other text."""
        return self._trusts_host(host)

    def _look_up(self, host: str) -> bool:
        try:
            address = ip_address(host)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped  # a socket for both families shows IPv4 so
        return any(address in network for network in self._networks)
