"""The header of the PROXY protocol, versions 1 and 2, which a relaying proxy sends before all else.

Its text is https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt.
"""

from __future__ import annotations

from ipaddress import IPv4Address as IPv4
from ipaddress import IPv6Address as IPv6
from ipaddress import ip_address
from struct import Struct
from typing import Any

import attrs
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from skitai.net.endpoints import PORT_MAX

#: The most that is waited for: a line of version 1; a header of version 2 with extensions.
LINE_MAX, HEADER_MAX = 107, 16 + 4096
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_LINE_START = b"PROXY "
_FIXED = Struct("!12sBBH")
_LOCAL, _PROXY = 0x20, 0x21
_PORTS = Struct("!HH")
#: By family and transport: the length of one address.
_TCP4, _TCP6, _UNIX = 0x11, 0x21, 0x31
_LENGTHS = {_TCP4: 4, _TCP6: 16}
_UNIX_BYTES = 216


class ProxyHeaderError(ValueError):
    """What came is no header of the PROXY protocol."""


@attrs.frozen
class ProxyHeader:
    """A header: ``client`` and ``server`` are addresses of Twisted, None where the proxy speaks for itself.

    ``length`` is how many bytes it has.
    """

    length: int
    client: Any = None
    server: Any = None


def read_header(data: bytes) -> ProxyHeader | None:
    """Return the header that ``data`` begins with; None: it is not complete. Raises ProxyHeaderError."""
    if data.startswith(_SIGNATURE[: len(data)]):
        return _read_binary(data)
    if data.startswith(_LINE_START[: len(data)]):
        return _read_line(data)
    raise ProxyHeaderError("the connection does not begin with a PROXY header")


def _read_line(data: bytes) -> ProxyHeader | None:
    line, end, _ = data[:LINE_MAX].partition(b"\r\n")
    if not end:
        if len(data) >= LINE_MAX:
            raise ProxyHeaderError("the PROXY line has no end")
        return None
    length = len(line) + len(end)
    words = line.decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return ProxyHeader(length)
    if words[1] not in ("TCP4", "TCP6") or len(words) != 6:
        raise ProxyHeaderError("the PROXY line is malformed")
    kind = IPv4 if words[1] == "TCP4" else IPv6
    try:
        addresses = [ip_address(word) for word in words[2:4]]
    except ValueError as error:
        raise ProxyHeaderError("the PROXY line has no IP addresses") from error
    if "%" in words[2] + words[3]:  # a zone, which Python takes
        raise ProxyHeaderError("the PROXY line has no IP addresses")
    if not all(isinstance(address, kind) for address in addresses):
        raise ProxyHeaderError("the PROXY line has addresses of the other family")
    ports = [_port(word) for word in words[4:6]]
    return ProxyHeader(length, *map(_tcp, addresses, ports))


def _port(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 5 and int(word) <= PORT_MAX):
        raise ProxyHeaderError("the PROXY line has no ports")
    return int(word)


def _read_binary(data: bytes) -> ProxyHeader | None:
    if len(data) < _FIXED.size:
        return None
    _, command, family, rest = _FIXED.unpack_from(data)
    length = _FIXED.size + rest
    if length > HEADER_MAX:
        raise ProxyHeaderError("the PROXY header is too long")
    if len(data) < length:
        return None
    if command == _LOCAL:
        return ProxyHeader(length)
    if command != _PROXY:
        raise ProxyHeaderError("the PROXY header has an unknown version or command")
    body = data[_FIXED.size : length]
    size = _LENGTHS.get(family)
    if size is not None and len(body) >= 2 * size + _PORTS.size:
        addresses = [ip_address(body[start : start + size]) for start in (0, size)]
        return ProxyHeader(length, *map(_tcp, addresses, _PORTS.unpack_from(body, 2 * size)))
    if family == _UNIX and len(body) >= _UNIX_BYTES:
        return ProxyHeader(length, UNIXAddress(None), UNIXAddress(None))
    if size is not None or family == _UNIX:
        raise ProxyHeaderError("the PROXY header is too short for its addresses")
    return ProxyHeader(length)  # of another family: as if the proxy spoke for itself


def _tcp(address: IPv4 | IPv6, port: int) -> Any:
    kind = IPv4Address if isinstance(address, IPv4) else IPv6Address
    return kind("TCP", str(address), port)
