"""The nodes that services ask, such as a host and a port, and how their addresses are read."""

from __future__ import annotations

import re
from html import escape
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

import attrs
import idna
from zope.interface import implementer

from skitai.http.hosts import is_loopback
from skitai.interfaces import INode
from skitai.net import special
from skitai.net.endpoints import PORT_MAX

if TYPE_CHECKING:
    from skitai.net.client_tls import TLSProfile

#: Seconds for a connection. Less than the 5 seconds of ``getwait()``, so that time is left to ask another
#: member of a cluster.
CONNECT_SECONDS = 3.0
#: The port of a URL that names none, by scheme.
DEFAULT_PORTS = {"http": 80, "https": 443}

_HOST_PORT = re.compile(r"(?:\[(?P<ipv6>[^\[\]\s]+)\]|(?P<host>[^\[\]\s:/]+))(?P<rest>(?::.*)?)")
# The lengths are those of RFC 1035, section 2.3.4. DNS allows no underscore in a host name, but the names of
# many containers have one.
_LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_HOST_NAME_MAX = 253


@implementer(INode)
@attrs.frozen
class HostNode:
    """A host and a port, with TLS or without.

    ``profile`` says how to speak TLS; None: as ``[http]`` says. ``at`` is the IP address to connect to; None:
    the one that ``host`` has. With ``public``, addresses of private networks are not connected to.
    """

    host: str
    port: int
    tls: bool = False
    profile: TLSProfile | None = None
    at: str | None = None
    public: bool = attrs.field(default=False, kw_only=True)

    def __str__(self) -> str:
        return self.label

    def __html__(self) -> str:
        """Return it for a page. Flask's ``jsonify`` takes this, too."""
        return escape(self.label)

    @property
    def reach(self) -> str:
        """Who else has the same node: see ``skitai.calls.sharing``."""
        return "machine" if is_loopback(self.host) else ""

    @property
    def label(self) -> str:
        """``host:port``, with an IPv6 address in brackets."""
        return with_port(self.at or self.host, self.port)


@implementer(INode)
@attrs.frozen
class UnixNode:
    """A Unix socket of this machine."""

    path: str

    def __str__(self) -> str:
        return self.label

    def __html__(self) -> str:
        """Return it for a page. Flask's ``jsonify`` takes this, too."""
        return escape(self.label)

    #: Who else has the same node: see ``skitai.calls.sharing``.
    reach = "machine"

    @property
    def label(self) -> str:
        """``unix:PATH``."""
        return f"unix:{self.path}"


@attrs.frozen
class NodeTimes:
    """Seconds for a connection, for the head of a reply and for silence; None: as ``[http]`` says."""

    connect: float | None = None
    head: float | None = None
    silence: float | None = None


@attrs.frozen(cache_hash=True)
class HTTPNode(HostNode):
    """A host and a port that speaks HTTP; ``times`` None: as ``[http]`` says."""

    times: NodeTimes | None = None

    @property
    def authority(self) -> str:
        """The value of the Host header: it has the port unless that is the default of the scheme."""
        if self.port != DEFAULT_PORTS["https" if self.tls else "http"]:
            return with_port(self.host, self.port)
        return f"[{self.host}]" if ":" in self.host else self.host


def with_port(host: str, port: int | str) -> str:
    """Return ``host:port``, or ``[ipv6]:port``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_host_port(text: str, default_port: int | None = None) -> tuple[str, int]:
    """Split ``host[:port]`` or ``[ipv6][:port]``.

    Raises ValueError if the host is missing, or if the port is missing, not a number or out of range.
    """
    if "@" in text:  # the message does not repeat the text: it may hold a password
        raise ValueError("an address is host[:port], without a user or a password")
    match = _HOST_PORT.fullmatch(text.strip())
    if match is None or "//" in text:
        raise ValueError(f"{text!r} is not host[:port]")
    host, rest = match["ipv6"] or match["host"], match["rest"]
    if not rest:
        if default_port is None:
            raise ValueError(f"{text!r} has no port: write {host}:PORT")
        return host, default_port
    digits = rest[1:].lstrip("0")  # Python reads a few thousand digits only
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and int(digits) <= PORT_MAX):
        raise ValueError(f"{rest[1:]!r:.100} in {text!r:.100} is not a port (1 to {PORT_MAX})")
    return host, int(digits)


def member_node(
    address: str, *, tls: bool, profile: TLSProfile | None = None, times: NodeTimes | None = None
) -> HTTPNode:
    """Return the node of ``host[:port]``; raise ValueError for anything else."""
    scheme, slashes, _ = address.partition("://")
    if slashes and "@" not in address:  # else there may be a password in it
        hint = ", and write ssl = yes" if scheme.lower() == "https" and not tls else ""
        raise ValueError(f"{address!r} is not host[:port]: leave out {scheme}://{hint}")
    host, port = parse_host_port(address, DEFAULT_PORTS["https" if tls else "http"])
    host = host_name(host)
    if tls and "_" in host:
        raise ValueError(f"host {host!r} has an underscore, which no certificate can be checked for")
    return HTTPNode(host, port, tls, profile, times=times)


def name_for_dns(text: str) -> str:
    """Return a name in lower case, and in the form that DNS, HTTP and TLS have for it (RFC 5890).

    That of ``bücher.example`` is ``xn--bcher-kva.example``. What precedes the first dot may be missing, or be
    a star. Raises ValueError for what has no such form.
    """
    if text.isascii():
        return text.lower()
    first, dot, rest = text.partition(".")
    if first in ("", "*"):
        return f"{first}{dot}{name_for_dns(rest)}"
    return idna.encode(text, uts46=True).decode("ascii")


def host_name(text: str) -> str:
    """Return a host name or IP address in its normal form; raise ValueError for any other text."""
    if ":" in text:
        try:
            if "%" not in text:
                return str(IPv6Address(text))
        except ValueError:
            pass
        raise ValueError(f"host {text!r} is not an IPv6 address")
    try:
        host = name_for_dns(text)
    except idna.IDNAError as error:
        raise ValueError(f"host {text!r} is not an international domain name: {error}") from error
    if len(host) > _HOST_NAME_MAX or not _HOST_NAME.fullmatch(host):
        raise ValueError(f"host {text!r} is not a host name or an IP address")
    return host


def is_public(address: str) -> bool:
    """Return whether an IP address can be that of a machine in the internet; see ``skitai.net.special``.

    One of 6to4 cannot, whatever IPv4 address is in it: its relays are gone (RFC 7526).
    """
    ip = special.read_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and ip.sixtofour is not None:
        return False
    return special.is_public(ip)


def is_host_name(text: str) -> bool:
    """Return whether DNS can be asked for it."""
    try:
        host_name(text)
    except ValueError:
        return False
    return True
