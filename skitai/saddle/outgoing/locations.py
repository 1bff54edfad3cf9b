"""Addresses as they stand in a header field: ASCII, whatever text they were made of (RFC 3986, RFC 3987)."""

from __future__ import annotations

import re
from urllib.parse import quote, quote_from_bytes

#: What a URL may consist of, and what is in it for a reason of its own: all of ASCII that can be seen.
_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
#: What stands in a path as it is (RFC 3986, section 3.3), and ``/``.
_IN_PATH = "/:@!$&'()*+,;="
_AUTHORITY = re.compile(r"((?:[A-Za-z][A-Za-z0-9+.-]*:)?//(?:[^/?#@]*@)?)([^/?#:]+)(.*)", re.DOTALL)


def as_uri(url: str) -> str:
    """Return ``url`` with all that is not ASCII, spaces and controls percent-encoded, and all else as it is.

    The name of a host becomes what DNS knows (IDNA), where it can. Raises ValueError for text that UTF-8
    cannot hold.
    """
    if url.isascii() and url.isprintable() and " " not in url:
        return url
    found = _AUTHORITY.fullmatch(url)
    if found is not None:
        before, host, after = found.groups()
        url = f"{before}{_dns_name(host)}{after}"
    return quote(url, safe=_VISIBLE)


def query_as_uri(query: str) -> str:
    """Return QUERY_STRING as it came: PEP 3333 has bytes in its characters."""
    return query if query.isascii() else quote(query, safe=_VISIBLE, encoding="latin-1")


def path_as_uri(path: str) -> str:
    """Return SCRIPT_NAME or PATH_INFO, whose characters carry decoded bytes, as the path of a URL."""
    return quote_from_bytes(path.encode("latin-1", "replace"), safe=_IN_PATH)


def _dns_name(host: str) -> str:
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return host
