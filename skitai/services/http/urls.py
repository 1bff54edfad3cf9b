"""Splits a URL into the node that it names and the request target (RFC 3986, RFC 9112)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from skitai.net.addresses import DEFAULT_PORTS, HTTPNode, member_node

if TYPE_CHECKING:
    pass

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f]")
# Everything that RFC 3986 lets stand in a path or a query, and "%" so that what is encoded stays so.
_TARGET_SAFE = "!$%&'()*+,-./:;=?@_~"
_TARGET = re.compile(f"[A-Za-z0-9{re.escape(_TARGET_SAFE)}]*")


def split_url(uri: str) -> tuple[HTTPNode, str]:
    """Return the node that an ``http://`` or ``https://`` URL names, and the request target for it.

    The fragment is dropped, non-ASCII characters are percent-encoded, an international host becomes IDNA.
    Raises TypeError if it is no str, ValueError if it is no such URL. Called in the app's thread.
    """
    _check_type(uri)
    return _split_url(uri)


@lru_cache(maxsize=1024)  # an app names few URLs and names them often
def _split_url(uri: str) -> tuple[HTTPNode, str]:
    _check_characters(uri)
    scheme, separator, rest = uri.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        raise ValueError(f"uri {_shown(uri)!r} has no scheme: write 'http://{_shown(uri.lstrip('/'))}'")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    return _node(scheme.lower(), authority), request_target(rest[len(authority) :])


def split_cluster(uri: str) -> tuple[str, str]:
    """Return the name, with its ``@``, and the request target of a ``@name/path?query``.

    Raises ValueError if the name is empty or the target holds a forbidden character.
    """
    _check_type(uri)
    _check_characters(uri)
    name = re.split("[/?#]", uri, maxsplit=1)[0]
    if name == "@":
        raise ValueError(f"uri {uri!r} names no cluster: write '@name/path'")
    return name, request_target(uri[len(name) :])


def request_target(text: str) -> str:
    """Return the origin-form of a path and query: from ``/``, ASCII, without the fragment."""
    target = text.partition("#")[0]
    if not target.startswith("/"):
        target = f"/{target}"
    if _TARGET.fullmatch(target):
        return target
    try:
        return quote(target, safe=_TARGET_SAFE)
    except UnicodeEncodeError as error:
        raise ValueError(f"uri {text!r} holds a lone surrogate, which UTF-8 cannot encode") from error


def _check_type(uri: str) -> None:
    if not isinstance(uri, str):
        raise TypeError(f"uri must be a str, not {type(uri).__name__}")


def _check_characters(uri: str) -> None:
    if bad := _FORBIDDEN.search(uri):
        raise ValueError(f"uri {_shown(uri)!r} holds {bad[0]!r}: percent-encode it with urllib.parse.quote()")


def _shown(uri: str) -> str:
    """Return a URL for a message, without user and password: the message may get into a log."""
    scheme, separator, _ = uri.partition("://")
    begin = f"{scheme}://" if separator and _SCHEME.fullmatch(scheme) else ""
    secret, _, place = uri[len(begin) :].rpartition("@")
    return f"{begin}****@{place}" if secret else uri


@lru_cache(maxsize=1024)
def _node(scheme: str, authority: str) -> HTTPNode:
    if scheme not in DEFAULT_PORTS:
        raise ValueError(f"uri scheme {scheme!r} is not supported: only 'http' and 'https' are")
    if "@" in authority:
        # The message does not repeat the URL: it would put the password into a log.
        raise ValueError("uri holds user:password@: leave it out and give auth=(user, password)")
    authority = authority.removesuffix(":")  # RFC 3986, section 3.2.3: the port may be empty
    if not authority:
        raise ValueError(f"uri '{scheme}://' has no host")
    if any(map(str.isspace, authority)):  # U+2028 and others beyond ASCII, which would be cut off at its ends
        raise ValueError(f"uri has a space in its host: {authority!r}")
    return member_node(authority, tls=scheme == "https")
