"""Entity tags of compressed responses: ``"v1"`` goes out as ``"v1-gzip"``, and comes in as ``"v1"`` again.

Both forms are representations of their own, so they may not share a strong tag (RFC 9110, section 8.8.3.3). A
weak one would never match in If-Match, and a client could not change what it has read (section 13.1.1).
"""

from __future__ import annotations

import re

_MARK = "-gzip"
_MARKED = re.compile(rb'((?:W/)?")([\x21\x23-\x7e\x80-\xff]*)-gzip"')


def marked(tag: str) -> str:
    """Return the tag of the compressed form of what has ``tag``. A weak one holds for both."""
    return f'{tag[:-1]}{_MARK}"' if tag[:1] == tag[-1:] == '"' and len(tag) > 1 else tag


def with_plain(value: bytes) -> bytes:
    """Return If-Match or If-None-Match with the plain tag beside each that is marked: any of both will do."""
    return _MARKED.sub(rb'\1\2-gzip", \1\2"', value) if b"-gzip" in value else value


def is_asked_for(tag: str, if_none_match: bytes | None) -> bool:
    """Return whether ``tag`` is one of those that the client has named."""
    return if_none_match is not None and tag.encode("latin-1") in if_none_match
