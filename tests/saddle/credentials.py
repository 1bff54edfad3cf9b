"""Authorization headers as clients make them."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

HASHES = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}


def basic_header(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def digest_header(
    nonce: str,
    user: str = "app",
    password: str = "iamyourpartnerapp",
    count: int = 1,
    method: str = "GET",
    uri: str = "/hello?a=1",
    algorithm: str = "SHA-256",
    realm: str = "Partner Area",
    **changed: Any,
) -> str:
    """Return the header of a client that keeps to RFC 7616; a ``changed`` field of None is left out."""

    def hashed(text: str) -> str:
        return HASHES[algorithm](text.encode()).hexdigest()

    proof = f"{nonce}:{count:08x}:cnonce:auth:{hashed(f'{method}:{uri}')}"
    fields = {
        "username": f'"{user}"',
        "realm": f'"{realm}"',
        "nonce": f'"{nonce}"',
        "uri": f'"{uri}"',
        "algorithm": algorithm,
        "qop": "auth",
        "nc": f"{count:08x}",
        "cnonce": '"cnonce"',
        "response": f'"{hashed(hashed(f"{user}:{realm}:{password}") + ":" + proof)}"',
    } | changed
    text = ", ".join(
        f"{name.replace('_', '*')}={value}" for name, value in fields.items() if value is not None
    )
    return f"Digest {text}".encode().decode("latin-1")
