"""Redirects and cookies of members that do not know where they are mounted: ``rewrite=yes``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from skitai.services.proxy.way import Way

_LOCATIONS = frozenset(("location", "content-location"))
_WHOLE_HOST = "__host-"
_PORTS = {"http": ":80", "https": ":443"}


class Rewriting:
    """Mends the reply of one member to one request. ``authority`` is the member's own name."""

    def __init__(self, way: Way, request: Any, authority: str) -> None:
        #: What stands before the paths of members.
        self._point = way.point.decode() if way.strip else ""
        self._host = request.authority.decode("latin-1")
        self._origin = f"{'https' if request.connection.secure else 'http'}://{self._host}"
        self._names = {authority.lower(), self._host.lower()}

    def fields(self, fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the fields of the reply as the client has to see them."""
        return [(name, self._value(name.lower(), value)) for name, value in fields]

    def _value(self, name: str, value: str) -> str:
        if name in _LOCATIONS:
            return self.location(value)
        return self.cookie(value) if name == "set-cookie" else value

    def location(self, value: str) -> str:
        """Return where a redirect leads: one to the member, or below it, leads through the mount point."""
        if value.startswith("/") and not value.startswith("//"):
            return self._point + value
        try:
            parts = urlsplit(value)
        except ValueError:
            return value
        host = parts.netloc.lower()
        if parts.scheme not in _PORTS or not host or not self._is_ours(parts.scheme, host):
            return value
        rest = value[value.index("//") + 2 + len(parts.netloc) :]
        return f"{self._origin}{self._point}{rest if rest.startswith('/') else '/' + rest}"

    def _is_ours(self, scheme: str, netloc: str) -> bool:
        return netloc in self._names or netloc.removesuffix(_PORTS[scheme]) in self._names

    def cookie(self, value: str) -> str:
        """Return a Set-Cookie whose path is below the mount point, and whose domain is not the member's."""
        first, *attributes = value.split(";")
        kept = [first]
        # Browsers take such a cookie for the whole host only (RFC 6265bis, section 4.1.3.2).
        point = "" if first.lstrip().lower().startswith(_WHOLE_HOST) else self._point
        for attribute in attributes:
            name, _, written = attribute.partition("=")
            key, written = name.strip().lower(), written.strip()
            if key == "path" and written.startswith("/"):
                # Without a slash at its end, which would keep the cookie from the mount point itself.
                kept.append(f" Path={point if point and written == '/' else point + written}")
            elif key != "domain" or not self._is_members(written.lower().lstrip(".")):
                kept.append(attribute)
        return ";".join(kept)

    def _is_members(self, domain: str) -> bool:
        """Whether a cookie's domain is that of a member and not of the client: then the client refuses it."""
        hosts = [_host(name) for name in self._names]
        return any(_within(host, domain) for host in hosts) and not _within(_host(self._host.lower()), domain)


def _host(authority: str) -> str:
    return authority.rpartition("]")[0].lstrip("[") if "]" in authority else authority.partition(":")[0]


def _within(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")
