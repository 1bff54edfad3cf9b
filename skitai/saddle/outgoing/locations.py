"""URLs for header fields: any text as ASCII (RFC 3986, RFC 3987)."""

from __future__ import annotations

import re
from urllib.parse import quote, quote_from_bytes

#: The visible characters of ASCII, which are not encoded in a whole URL.
_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
#: The characters that are not encoded in a path (RFC 3986, section 3.3), and ``/``.
_IN_PATH = "/:@!$&'()*+,;="
_AUTHORITY = re.compile(r"((?:[A-Za-z][A-Za-z0-9+.-]*:)?//(?:[^/?#@]*@)?)([^/?#:]+)(.*)", re.DOTALL)


def as_uri(url: str) -> str:
    """Return ``url`` with spaces, control and non-ASCII characters percent-encoded.

    An international host name becomes IDNA, if it can. Raises ValueError for text that UTF-8 cannot encode.
    """
    if url.isascii() and url.isprintable() and " " not in url:
        return url
    found = _AUTHORITY.fullmatch(url)
    if found is not None:
        before, host, after = found.groups()
        url = f"{before}{_dns_name(host)}{after}"
    return quote(url, safe=_VISIBLE)


def query_as_uri(query: str) -> str:
    """Return QUERY_STRING, whose characters carry bytes (PEP 3333), as the query of a URL."""
    return query if query.isascii() else quote(query, safe=_VISIBLE, encoding="latin-1")


def path_as_uri(path: str) -> str:
    """Return SCRIPT_NAME or PATH_INFO, whose characters carry decoded bytes, as the path of a URL."""
    return quote_from_bytes(path.encode("latin-1", "replace"), safe=_IN_PATH)


def _dns_name(host: str) -> str:
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return host
