"""The values of the forward proxy in ``[server]``: what they may be, and what must stand beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from skitai.config.casters import comma_list
from skitai.config.forms import form
from skitai.errors import ConfigError
from skitai.http.hosts import is_loopback
from skitai.net.destinations import Destination, PortRange, parse_destination, parse_ports
from skitai.net.endpoints import Endpoint, PortEndpoint
from skitai.net.special import is_wholly_special

if TYPE_CHECKING:
    from skitai.config.server import ServerConfig

#: Networks with fewer bits are no clients that anybody knows: they need passwords.
_KNOWN_BITS = {4: 8, 6: 16}
#: Keys that mean nothing without ``enable_proxy``.
_KEYS = ("proxy_clients", "proxy_destinations", "proxy_users")


@attrs.frozen
class UserList:
    """Names and passwords that stand in the config itself."""

    passwords: Mapping[str, str] = attrs.field(repr=False)


#: Whom the forward proxy serves: a list, or the path of a htpasswd file.
ProxyUsers: TypeAlias = UserList | Path


@form("list of hosts, networks and ports", "*.example.org:443, 10.1.0.0/16, 127.0.0.1")
def destinations(value: str) -> tuple[Destination, ...]:
    """Cast a list of destinations; see ``skitai.net.destinations``."""
    return tuple(parse_destination(item) for item in comma_list(value))


@form("list of ports", "80, 8000-8100")
def port_ranges(value: str) -> tuple[PortRange, ...]:
    """Cast a list of ports, such as ``80, 8000-8100``."""
    found = tuple(parse_ports(item) for item in comma_list(value))
    if not found:
        raise ValueError("needs at least one port")
    return found


@form("list of `name:password`, path or empty", "/etc/skitaid/proxy.htpasswd")
def users(value: str) -> ProxyUsers | None:
    """Cast a list of ``name:password``, or the path of a file. No message repeats the value."""
    if not value:
        return None
    if ":" not in value:
        return Path(value)
    passwords: dict[str, str] = {}
    for number, item in enumerate(comma_list(value), 1):
        name, _, password = item.partition(":")
        if not name or not password:
            raise ValueError(f"item {number} is not name:password; a password with a comma needs a file")
        if name in passwords:
            raise ValueError(f"item {number} names a user that was named before")
        passwords[name] = password
    return UserList(passwords)


def show_users(value: ProxyUsers | None) -> str:
    """Return the names with stars for passwords, or the path."""
    if isinstance(value, UserList):
        return ", ".join(f"{name}:****" for name in value.passwords)
    return "" if value is None else str(value)


def check_forward(server: ServerConfig, error: Callable[..., ConfigError]) -> None:
    """Raise ConfigError for a forward proxy that would serve more than it was meant for.

    ``error`` returns the error that points at a key.
    """
    if not server.enable_proxy:
        return
    if not all(map(_is_loopback, server.endpoints)):
        for key, what in (("proxy_clients", "networks it serves"), ("proxy_destinations", "hosts it asks")):
            if not getattr(server, key):
                text = f"needs {key}, the {what}: others than this machine reach the server"
                raise error(text, key="enable_proxy")
    wide = [str(network) for network in server.proxy_clients if _is_wide(network)]
    if wide and server.proxy_users is None:
        raise error(f"{wide[0]} is half of the world: that needs proxy_users", key="proxy_clients")


def forward_warnings(
    server: ServerConfig, written: Sequence[str], error: Callable[..., ConfigError]
) -> Iterator[str]:
    """Yield what the user may not have meant; ``written`` are the keys that are given."""
    if not server.enable_proxy:
        for key in _KEYS:
            if key in written and getattr(server, key):  # an empty one says what holds in any case
                yield str(error("has no effect without enable_proxy = yes", key=key))
    elif server.any_tls and server.http2:
        text = "browsers speak HTTP/2 to a proxy with TLS, which forwards nothing there: set http2 = no"
        yield str(error(text, key="enable_proxy"))


def _is_loopback(endpoint: Endpoint) -> bool:
    return isinstance(endpoint, PortEndpoint) and is_loopback(endpoint.ip)


def _is_wide(network: Any) -> bool:
    if isinstance(network, str) or is_wholly_special(network):
        return False
    return bool(network.prefixlen < _KNOWN_BITS[network.version])
