"""Addresses of Redis: ``redis://user:password@host:6379/0``, and ``rediss://`` for TLS."""

from __future__ import annotations

import re
from urllib.parse import unquote

import attrs

from skitai.net.addresses import host_name, parse_host_port

_PORT = 6379
_URL = re.compile(
    r"(?P<scheme>rediss?)://(?:(?P<user>[^/@:?#\s]*)(?::(?P<password>[^/@?#\s]*))?@)?(?P<place>[^/@?#\s]+)"
    r"(?:/(?P<database>[0-9]{0,4}))?"
)
_PASSWORD = re.compile(r"(//[^/]*?):[^/]*@")


@attrs.frozen
class RedisURL:
    """Where a Redis is, and who asks it: ``user`` and ``password`` are None where the URL has none."""

    text: str = attrs.field(repr=False)
    host: str
    port: int
    tls: bool
    database: int
    user: str | None
    password: str | None = attrs.field(repr=False)


def parse_url(text: str) -> RedisURL:
    """Return what the URL of a Redis says. Raises ValueError, without the text: it may hold a password."""
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError(
            "must be redis://user:password@host:port/number, or rediss:// for TLS; a user or a password with"
            " one of / @ : ? # % is percent-encoded"
        )
    host, port = parse_host_port(match["place"], _PORT)
    return RedisURL(
        text,
        host_name(host),
        port,
        match["scheme"] == "rediss",
        int(match["database"] or 0),
        unquote(match["user"]) if match["user"] else None,
        unquote(match["password"]) if match["password"] else None,
    )


def show_url(url: RedisURL) -> str:
    """Return the URL as it was written, with stars for the password."""
    return _PASSWORD.sub(r"\1:****@", url.text)
