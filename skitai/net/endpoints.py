"""Where a server listens, as its config says it: ``80``, ``[::1]:443 ssl``, ``unix:/run/x.sock``."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias

import attrs

#: The highest port of TCP.
PORT_MAX = 65535
_UNIX = "unix:"
_TLS_WORD = "ssl"
_IP_AND_PORT = re.compile(r"(?:(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<ip>[^\[\]:]+)):)?(?P<port>[0-9]{1,5})", re.ASCII)
_FORMS = "write PORT, IP:PORT, [IPV6]:PORT or unix:PATH"


@attrs.frozen
class PortEndpoint:
    """``port`` (0: any free one) on ``ip`` (empty: all interfaces), with TLS or without."""

    ip: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        """Return it as ``parse_endpoint`` reads it."""
        ip = f"[{self.ip}]:" if ":" in self.ip else f"{self.ip}:" if self.ip else ""
        return f"{ip}{self.port}{_word(self.tls)}"


@attrs.frozen
class UnixEndpoint:
    """A Unix socket at ``path``, with TLS or without."""

    path: Path
    tls: bool = False

    def __str__(self) -> str:
        """Return it as ``parse_endpoint`` reads it."""
        return f"{_UNIX}{self.path}{_word(self.tls)}"


Endpoint: TypeAlias = PortEndpoint | UnixEndpoint


def parse_endpoint(text: str) -> Endpoint:
    """Return the endpoint of an address; the word ``ssl`` behind it stands for TLS. Raises ValueError."""
    _, *words = text.rsplit(maxsplit=1) or [""]
    tls = words == [_TLS_WORD]
    address = text.removesuffix(_TLS_WORD).rstrip() if tls else text
    if address.startswith(_UNIX):
        return _unix_endpoint(text, address.removeprefix(_UNIX), tls)
    if words and not tls:
        raise ValueError(f"{text!r}: the word after an address must be {_TLS_WORD}, not {words[0]!r}")
    return _port_endpoint(text, address, tls)


def _unix_endpoint(text: str, path: str, tls: bool) -> UnixEndpoint:
    if not (path := path.strip()):
        raise ValueError(f"{text!r} has no path: write {_UNIX}/run/NAME.sock")
    return UnixEndpoint(Path(path), tls)


def _port_endpoint(text: str, address: str, tls: bool) -> PortEndpoint:
    match = _IP_AND_PORT.fullmatch(address)
    if match is None:
        raise ValueError(f"{text!r} is no address: {_FORMS}")
    ip, port = match["ipv6"] or match["ip"] or "", int(match["port"])
    if port > PORT_MAX:
        raise ValueError(f"{text!r}: the port must be at most {PORT_MAX}")
    try:
        return PortEndpoint(str(ip_address(ip)) if ip else "", port, tls)
    except ValueError:
        raise ValueError(f"{text!r}: {ip!r} is not an IP address such as 127.0.0.1") from None


def _word(tls: bool) -> str:
    return f" {_TLS_WORD}" if tls else ""
