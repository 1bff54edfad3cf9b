"""Relative references (RFC 3986, section 5).

``urllib.parse.urljoin`` drops empty segments: ``c`` at ``/web/http://x/a`` would lead to ``/web/http:/x/c``.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

# Appendix B. No part can match what the next one begins with, so the time is linear.
_PARTS: Final = re.compile(
    r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL
)


class _Reference(NamedTuple):
    scheme: str | None
    authority: str | None
    path: str
    query: str | None
    fragment: str | None

    def __str__(self) -> str:  # section 5.3
        scheme = "" if self.scheme is None else f"{self.scheme}:"
        authority = "" if self.authority is None else f"//{self.authority}"
        query = "" if self.query is None else f"?{self.query}"
        fragment = "" if self.fragment is None else f"#{self.fragment}"
        return f"{scheme}{authority}{self.path}{query}{fragment}"


def resolve(base: str, reference: str) -> str:
    """Return the URL that ``reference`` means at ``base``, an absolute URL (section 5.2.2).

    A reference with the scheme of the base and no authority (``http:c``) counts as relative, which the
    section allows, and browsers do.
    """
    at, to = _parts(base), _parts(reference)
    is_absolute = to.scheme is not None and to.scheme.lower() != (at.scheme or "").lower()
    if is_absolute or to.authority is not None:
        target = _Reference(
            to.scheme or at.scheme, to.authority, _without_dots(to.path), to.query, to.fragment
        )
    elif not to.path:
        query = at.query if to.query is None else to.query
        target = _Reference(at.scheme, at.authority, at.path, query, to.fragment)
    else:
        path = _without_dots(to.path if to.path.startswith("/") else _merged(at, to.path))
        target = _Reference(at.scheme, at.authority, path, to.query, to.fragment)
    return str(target)


def _parts(text: str) -> _Reference:
    found = _PARTS.fullmatch(text)
    assert found is not None, "every text matches"
    return _Reference(found[1], found[2], found[3], found[4], found[5])


def _merged(at: _Reference, path: str) -> str:
    """Return ``path`` in the place of the last segment of that of the base (section 5.2.3)."""
    if at.authority is not None and not at.path:
        return f"/{path}"
    return f"{at.path[: at.path.rfind('/') + 1]}{path}"


def _without_dots(path: str) -> str:
    """Return ``path`` without its ``.`` and ``..`` (section 5.2.4). An empty segment is one like others."""
    if not path.startswith("/"):
        return path  # of another scheme, such as mailto
    segments = path[1:].split("/")
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return f"/{'/'.join(kept)}"
