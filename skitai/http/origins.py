"""Which pages may open a websocket: browsers let any page try, and send cookies (RFC 6455, section 10.2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from skitai.http.hosts import is_loopback

_DEFAULT_PORTS = {"http": 80, "https": 443}
#: An origin (RFC 6454, section 6.2), or ``*.example.com`` for all hosts of a domain, by any scheme and port.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+")
_DOMAIN = re.compile(r"\*(\.[a-z0-9_-]+)+")

Place = tuple[str, int | None]


def checked_origin(text: str) -> str:
    """Return an item of ``[websocket] origins`` in lower case. Raises ValueError for what is none."""
    item = text.strip().lower().rstrip("/")
    if item in ("*", "null") or _DOMAIN.fullmatch(item):
        return item
    if _ORIGIN.fullmatch(item) is None or _place(item) is None:
        raise ValueError(
            f"{text!r} is not an origin: write https://www.example.com, *.example.com, * or null"
        )
    return item


class Origins:
    """Knows from which origins a websocket may come; ``allowed`` are items as ``checked_origin`` takes them.

    Whatever is allowed: a program, which sends no Origin; the pages of the server itself; and pages of this
    machine, if it is this machine that is asked for by a loopback name.
    """

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        items = [checked_origin(item) for item in allowed]
        self._any = "*" in items
        self._null = "null" in items
        self._domains = tuple(item[1:] for item in items if item.startswith("*."))
        self._exact = {(item.partition(":")[0], _place(item)) for item in items if "://" in item}

    def allows(self, origin: bytes | None, authority: bytes, secure: bool) -> bool:
        """Return whether a handshake with the fields Origin and Host may go on.

        ``secure`` is whether it came over TLS. A proxy in front that ends TLS may hide that, so only host and
        port are compared, and ports that are the default of either scheme are equal.
        """
        if origin is None or self.names(origin):
            return True
        text = origin.decode("latin-1").strip().lower()
        place = _place(text)
        if "://" not in text or place is None:
            return False
        host = _place(f"{'https' if secure else 'http'}://{authority.decode('latin-1').lower()}")
        if host is None:
            return False
        return _is_same(place, host) or (is_loopback(place[0]) and is_loopback(host[0]))

    def names(self, origin: bytes) -> bool:
        """Return whether ``origin`` is one of the allowed ones, whoever is asked."""
        if self._any:
            return True
        text = origin.decode("latin-1").strip().lower()
        if text == "null":
            return self._null
        scheme, separator, _ = text.partition("://")
        place = _place(text)
        if not separator or place is None:
            return False
        return (scheme, place) in self._exact or place[0].endswith(self._domains)


def _place(origin: str) -> Place | None:
    """Return host and port of an origin, or None for a malformed one."""
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        return None
    return parts.hostname.rstrip("."), _DEFAULT_PORTS.get(parts.scheme) if port is None else port


def _is_same(one: Place, other: Place) -> bool:
    if one[0] != other[0]:
        return False
    defaults = _DEFAULT_PORTS.values()
    return one[1] == other[1] or (one[1] in defaults and other[1] in defaults)
