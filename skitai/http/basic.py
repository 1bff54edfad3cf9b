"""Credentials of Basic authentication (RFC 7617), for servers and proxies."""

from __future__ import annotations

import binascii
from base64 import b64decode


def basic_credentials(token: str) -> tuple[str, str] | None:
    """Return the name and the password behind ``Basic``; None if that is not ``name:password`` in UTF-8."""
    try:
        name, colon, password = b64decode(token.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return None
    return (name, password) if colon else None
