"""Names and addresses of hosts."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import Any


def is_loopback(host: str) -> bool:
    """Return whether a name or an address is that of the machine itself, wherever it is used."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False  # 127.example.com, too


def split_authority(authority: bytes, usual_port: int) -> tuple[bytes, int]:
    """Return host and port of a well-formed Host field, which may leave out the ``usual_port``."""
    host, colon, port = authority.rpartition(b":")
    if not colon or not port.isdigit():
        return authority.removesuffix(b":"), usual_port
    return host, int(port)


def peer_name(address: Any) -> str:
    """Return a peer, an address of Twisted, as a line of the log names it: without a port, IPv4 as such."""
    host: str | None = getattr(address, "host", None)
    return unmapped(host) if host else "a Unix socket"


def unmapped(host: str) -> str:
    """Return the IPv4 address in an IPv4-mapped one, ``::ffff:10.0.0.7`` (RFC 4291, section 2.5.5.2).

    A socket that listens on ``::`` shows clients so that came by IPv4. Anything else is returned as it is.
    """
    if not host.startswith("::"):  # what the system gives, and ``ip_address`` writes, is in the short form
        return host
    try:
        mapped = IPv6Address(host.partition("%")[0]).ipv4_mapped
    except ValueError:
        return host
    return host if mapped is None else str(mapped)
