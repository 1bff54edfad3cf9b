"""Upstream proxies: which hosts are asked through one, and what is sent to it (RFC 9110, RFC 9112)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import unquote

import attrs

from skitai.net.addresses import HostNode, HTTPNode, host_name, member_node


@attrs.frozen
class Proxy:
    """A proxy at ``node``. ``fields`` are the header lines for the proxy itself, each with its CRLF."""

    node: HTTPNode
    fields: bytes = attrs.field(default=b"", repr=False)

    @property
    def label(self) -> str:
        """The name that messages use."""
        return f"proxy {self.node.label}"

    def forwarded(self, node: HTTPNode, payload: bytes) -> bytes:
        """Return a request to ``node`` for the proxy: in absolute-form (RFC 9112, section 3.2.2)."""
        line, _, rest = payload.partition(b"\r\n")
        line = line.replace(b" ", f" http://{node.authority}".encode("ascii"), 1)
        return b"%b\r\n%b%b" % (line, self.fields, rest)

    def connect_request(self, node: HostNode) -> bytes:
        """Return the CONNECT request for a tunnel to ``node`` (RFC 9110, section 9.3.6)."""
        authority = node.label.encode("ascii")
        return b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (authority, authority, self.fields)


def parse_proxy(url: str) -> Proxy:
    """Return the proxy of ``http://[user:password@]host[:port]``.

    Raises ValueError, without repeating the password, for anything else.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() != "http":
        raise ValueError("a proxy is http://host:port or http://user:password@host:port")
    credentials, _, address = rest.removesuffix("/").rpartition("@")
    node = member_node(address, tls=False)
    if not credentials:
        return Proxy(node)
    user, _, password = credentials.partition(":")
    token = b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode("ascii")
    return Proxy(node, f"Proxy-Authorization: Basic {token}\r\n".encode("ascii"))


class DirectHosts:
    """The hosts that are asked without a proxy: names, addresses and networks.

    A name stands for all names in it, too, as for urllib, requests and httpx; ``.domain`` for those only.
    ``*.domain`` is the same as ``.domain``, and ``*`` is every host. Raises ValueError for any other item.
    """

    def __init__(self, items: Iterable[str]) -> None:
        self._all = False
        self._names: set[str] = set()
        self._domains: set[str] = set()
        self._networks: list[IPv4Network | IPv6Network] = []
        for item in items:
            self._add(item.lower())

    def __contains__(self, host: object) -> bool:
        if self._all:
            return True
        name = str(host).rstrip(".")
        try:
            address = ip_address(name)
        except ValueError:
            return name in self._names or any(name.endswith(f".{domain}") for domain in self._domains)
        return any(address in network for network in self._networks)

    def _add(self, item: str) -> None:
        if item == "*":
            self._all = True
            return
        with suppress(ValueError):
            self._networks.append(ip_network(item, strict=False))
            return
        domain = item.removeprefix("*") if item.startswith("*.") else item
        try:
            name = _direct_name(domain.removeprefix("."))
        except ValueError:
            message = f"{item!r} is not a host, a .domain, an address or a network such as 10.0.0.0/8"
            raise ValueError(message) from None
        self._domains.add(name)
        if not domain.startswith("."):
            self._names.add(name)


def _direct_name(text: str) -> str:
    """Return a name in the form that nodes have; raise ValueError for any other text."""
    name = host_name(text).rstrip(".")
    if name.rpartition(".")[2].isdigit():  # an address with a slip (RFC 1123, section 2.1)
        raise ValueError(f"{text!r} is not an address")
    return name


def make_route(proxy: Proxy | None, direct: DirectHosts) -> Callable[[HostNode], Proxy | None]:
    """Return a function that returns the proxy of a node, or None if the node is asked directly."""
    if proxy is None:
        return lambda _node: None
    return lru_cache(1024)(lambda node: None if node.host in direct else proxy)
