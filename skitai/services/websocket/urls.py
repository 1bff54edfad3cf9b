"""``ws://`` and ``wss://`` URLs (RFC 6455, section 3), which name the same hosts as ``http://`` and ``https://``."""

from __future__ import annotations

from functools import lru_cache

from skitai.config.clusters import PREFIX

_AS_HTTP = {"ws": "http", "wss": "https", "http": "http", "https": "https"}


def as_http(uri: str) -> str:
    """Return the URL of the handshake for a websocket's; that of a cluster, ``@name/path``, stays as it is.

    Raises TypeError if it is no str, ValueError for any other scheme. Called in the app's thread.
    """
    if not isinstance(uri, str):
        raise TypeError(f"uri must be a str, not {type(uri).__name__}")
    return uri if uri.startswith(PREFIX) else _as_http(uri)


@lru_cache(maxsize=1024)  # an app names few URLs and names them often
def _as_http(uri: str) -> str:
    scheme, separator, rest = uri.partition("://")
    if not separator:  # it is not shown, because it may hold a password
        raise ValueError("uri has no scheme: write 'ws://host/path' or 'wss://host/path'")
    known = _AS_HTTP.get(scheme.lower())
    if known is None:
        raise ValueError(f"uri scheme {scheme!r} is not supported: only 'ws', 'wss', 'http' and 'https' are")
    return f"{known}://{rest}"
