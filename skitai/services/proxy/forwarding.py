"""What a member is told of the client: ``X-Forwarded-*``, ``Forwarded`` (RFC 7239) and ``Via``."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from skitai.http.fields import TOKEN, last_members, last_pairs, quoted

if TYPE_CHECKING:
    from skitai.net.trust import TrustedProxies

#: What the proxy is called in Via.
PSEUDONYM = "skitai"
_REMEMBERED = 1024


def forwarded_lines(request: Any, proxies: TrustedProxies, prefix: bytes) -> bytes:
    """Return the lines for ``request``; ``prefix`` is the mount point that its path is stripped of.

    What a trusted proxy has said of the client is kept, and the proxy itself added. What any other peer has
    said is replaced.
    """
    connection = request.connection
    scheme = "https" if connection.secure else "http"
    if proxies and proxies.trusts(connection.peer):
        chain = _chain(request)
        peer = getattr(connection.peer, "host", "")
        told = (*chain, peer) if peer else chain
        return _lines(told, scheme, request.authority, prefix, request.version)
    address = connection.addresses["REMOTE_ADDR"]
    return _known_lines((address,) if address else (), scheme, request.authority, prefix, request.version)


def certificate_line(request: Any) -> bytes:
    """Return the line with the certificate that the client has shown where its mount wants one (RFC 9440)."""
    pem = (request.client_variables or {}).get("SSL_CLIENT_CERT", "")
    if not pem:
        return b""
    encoded = "".join(line for line in pem.splitlines() if not line.startswith("-----"))
    return f"Client-Cert: :{encoded}:\r\n".encode()


def _chain(request: Any) -> tuple[str, ...]:
    """Return the addresses that a trusted proxy names: the server has checked that its fields agree."""
    customary = request.field(b"x-forwarded-for")
    if customary is not None:
        return tuple(last_members(customary.decode("latin-1")))
    standard = request.field(b"forwarded")
    if standard is None:
        return ()
    return tuple(pairs.get("for", "unknown") for pairs in last_pairs(standard.decode("latin-1")))


def _lines(chain: tuple[str, ...], scheme: str, authority: bytes, prefix: bytes, version: str) -> bytes:
    host = authority.decode("latin-1")
    lines = []
    if chain:
        lines.append(f"X-Forwarded-For: {', '.join(chain)}")
    lines.append(f"X-Forwarded-Proto: {scheme}")
    if host:
        lines.append(f"X-Forwarded-Host: {host}")
    if prefix:
        lines.append(f"X-Forwarded-Prefix: {prefix.decode()}")
    elements = [f"for={_node(address)}" for address in chain] or [""]
    said = [elements[-1], f"host={quoted(host)}" if host else "", f"proto={scheme}"]
    elements[-1] = ";".join(filter(None, said))
    lines.append(f"Forwarded: {', '.join(elements)}")
    lines.append(f"Via: {version} {PSEUDONYM}\r\n")
    return "\r\n".join(lines).encode("utf-8")


_known_lines = lru_cache(_REMEMBERED)(_lines)


def _node(address: str) -> str:
    """Return an address as RFC 7239 writes it: what is no token is quoted, an IPv6 address in brackets."""
    if address.count(":") > 1 and not address.startswith("["):
        address = f"[{address}]"
    return address if TOKEN.fullmatch(address) else quoted(address)
