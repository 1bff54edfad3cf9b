"""What proxies say of the client: ``Forwarded`` (RFC 7239) and the ``X-Forwarded-*`` fields."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.address import IPv4Address, IPv6Address

from skitai.http.fields import last_members, last_pairs
from skitai.http.hosts import unmapped
from skitai.server.http1.head import is_host

if TYPE_CHECKING:
    from skitai.net.trust import TrustedProxies
    from skitai.server.request.request import Request

_FOR, _PROTO, _HOST = b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"
_FORWARDED = b"forwarded"
_LOOKED_AT = frozenset((_FOR, _PROTO, _HOST, _FORWARDED))
#: RFC 7239, section 6: an address, an IPv6 address in brackets, each perhaps with a port.
_NODE = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<other>[^\[\]]+?))(?P<port>:[0-9]{1,5})?")
#: Quotes stand around whole values only. A client could begin one, and a proxy append its element within it.
_QUOTED_WELL = re.compile(r'(?:[^"]|(?<==)"(?:[^"\\]|\\.)*"(?=[ \t]*(?:[;,]|\Z)))*', re.DOTALL)
_SCHEMES = {"http": False, "https": True, "ws": False, "wss": True}


@attrs.frozen
class Hop:
    """What one proxy says of the peer that it had: None for what it does not say."""

    client: str | None = None
    scheme: str | None = None
    host: str | None = None


class Forwarding:
    """Has requests of trusted proxies show the client. Called in the reactor thread, for each request."""

    def __init__(self, proxies: TrustedProxies) -> None:
        self._proxies = proxies

    def __call__(self, request: Request) -> None:
        """Set the addresses, the scheme and the host of ``request`` as the proxies say.

        The client is the last peer in the chain that is no proxy of ours: what stands before it may be made
        up. Fields that no trusted proxy has sent are ignored. A request whose two kinds of fields contradict
        each other is refused with 400: one kind may come from the client.
        """
        connection: Any = request.connection
        connection.show_direct()
        if not self._proxies.trusts(connection.client):
            return
        fields: dict[bytes, str] = {}
        for name, value in request.headers:
            if name in _LOOKED_AT:
                text = value.decode("latin-1")
                fields[name] = f"{fields[name]}, {text}" if name in fields else text
        if not fields:
            return
        if _QUOTED_WELL.fullmatch(fields.get(_FORWARDED, "")) is None:
            request.refuse(400, "Forwarded has a quote where none may be")
            return
        found = [hop for hop in (self._standard(fields), self._customary(fields)) if hop is not None]
        if len(found) == 2 and found[0].client != found[1].client:
            request.refuse(400, "Forwarded and X-Forwarded-For name different clients")
            return
        for hop in found[:1]:
            self._apply(request, connection, hop)

    def _standard(self, fields: dict[bytes, str]) -> Hop | None:
        """Return the hop of ``Forwarded`` that counts; None without the field."""
        if _FORWARDED not in fields:
            return None
        return self._last_foreign(
            [
                Hop(_address(pairs.get("for", "")), pairs.get("proto"), pairs.get("host"))
                for pairs in last_pairs(fields[_FORWARDED])
            ]
        )

    def _customary(self, fields: dict[bytes, str]) -> Hop | None:
        """Return what the X-Forwarded-* fields say; None without them."""
        if not fields.keys() & {_FOR, _PROTO, _HOST}:
            return None
        chain = [Hop(_address(item)) for item in last_members(fields.get(_FOR, ""))]
        hop = self._last_foreign(chain) or Hop()
        # The nearest proxy says the last value, and it is the one whose word counts.
        schemes, hosts = last_members(fields.get(_PROTO, "")), last_members(fields.get(_HOST, ""))
        return attrs.evolve(hop, scheme=schemes[-1] if schemes else None, host=hosts[-1] if hosts else None)

    def _last_foreign(self, hops: list[Hop]) -> Hop | None:
        for hop in reversed(hops):
            if hop.client is None or not self._proxies.trusts_host(hop.client):
                return hop
        return hops[0] if hops else None

    def _apply(self, request: Request, connection: Any, hop: Hop) -> None:
        scheme = (hop.scheme or "").lower()
        if scheme in _SCHEMES:
            connection.secure = _SCHEMES[scheme]
        if hop.client is not None:
            kind = IPv6Address if ":" in hop.client else IPv4Address
            connection.set_addresses(kind("TCP", hop.client, 0), connection.server)
        elif scheme in _SCHEMES:
            connection.set_addresses(connection.client, connection.server)
        host = (hop.host or "").encode("latin-1")
        if host and is_host(host):
            request.authority = host


def _address(text: str) -> str | None:
    """Return the IP address of a node; None for an obfuscated or unknown one (RFC 7239, section 6).

    A zone (``fe80::1%eth0``), which may be any text, says something on that machine only, and is left out.
    """
    text = text.strip()
    found = _NODE.fullmatch(text)
    for candidate in (text, found and (found["ipv6"] or found["other"])):
        try:
            return unmapped(str(ip_address((candidate or "").partition("%")[0])))
        except ValueError:
            continue
    return None
