"""What a client asks for: a host and a port, read strictly."""

from __future__ import annotations

import re

import attrs

from skitai.net.addresses import HTTPNode
from skitai.net.destinations import host_of_name
from skitai.net.endpoints import PORT_MAX
from skitai.net.special import read_address
from skitai.services.forward.refusals import Refused

_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)\]|([^\[\]:@]+))(?::([0-9]{0,5}))?")


@attrs.frozen
class Target:
    """A host, which is a name in its normal form or an IP address, and a port."""

    node: HTTPNode
    is_address: bool

    @property
    def host(self) -> str:
        """The name or the address."""
        return self.node.host

    @property
    def port(self) -> int:
        """The port."""
        return self.node.port


def read_target(authority: bytes, default_port: int | None = None) -> Target:
    """Return the target of ``host[:port]``; raise Refused (400) for anything else.

    An IPv4 address has four decimal numbers: other forms mean different addresses to different programs. An
    IPv4-mapped one is the IPv4 address.
    """
    text = authority.decode("latin-1")
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        raise _unreadable("the target is not host:port", text)
    digits = found[3] or ("" if default_port is None else str(default_port))
    if not digits or not 0 < int(digits) <= PORT_MAX:
        raise _unreadable("the port is missing, or is none", text)
    if found[1] is not None:
        try:
            host = str(read_address(found[1]))
        except ValueError:
            raise _unreadable("the target has no IPv6 address in its brackets", text) from None
        return Target(HTTPNode(host, int(digits)), is_address=True)
    try:
        return Target(HTTPNode(str(read_address(found[2])), int(digits)), is_address=True)
    except ValueError:
        pass
    try:
        return Target(HTTPNode(host_of_name(found[2]), int(digits)), is_address=False)
    except ValueError:
        raise _unreadable("the target is neither a host name nor an IP address", text) from None


def _unreadable(page: str, text: str) -> Refused:
    return Refused(400, "", page, f"{page}: {text!r}")
