"""The passwords of a htpasswd file, as ``htpasswd`` writes them: bcrypt (``-B``), or MD5 (``-m``)."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable

_APR1 = re.compile(r"\$apr1\$([./0-9A-Za-z]{1,8})\$([./0-9A-Za-z]{22})")
_BCRYPT = re.compile(r"\$2[aby]\$[0-9]{2}\$[./0-9A-Za-z]{53}")
_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: The bytes of the digest in the order in which they are written.
_ORDER = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5))
_ROUNDS = 1000
#: What bcrypt takes of a password.
_BCRYPT_MAX = 72


def parse_htpasswd(text: str) -> dict[str, str]:
    """Return the hash of each user. Raises ValueError, which names the line but nothing secret."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, _, written = line.partition(":")
        if not name or checker_of(written) is None:
            raise ValueError(f"line {number} is not of `htpasswd -B` or `htpasswd -m`")
        if _BCRYPT.fullmatch(written):
            _require_bcrypt(number)
        found[name] = written
    return found


def checker_of(written: str) -> Callable[[bytes], bool] | None:
    """Return the function that says whether a password is the one of a hash; None for other hashes.

    It takes milliseconds on purpose. Called in any thread, as the function is.
    """
    found = _APR1.fullmatch(written)
    if found is not None:
        salt, digest = found[1].encode(), found[2]
        return lambda password: hmac.compare_digest(apr1(password, salt), digest)
    if _BCRYPT.fullmatch(written):
        return lambda password: _is_bcrypt(password, written.encode())
    return None


def _require_bcrypt(number: int) -> None:
    try:
        import bcrypt  # noqa: F401 - it is optional, and loaded where it is needed
    except ImportError:
        text = f"line {number} needs the package bcrypt: pip install 'skitai[bcrypt]'"
        raise ValueError(text) from None


def _is_bcrypt(password: bytes, written: bytes) -> bool:
    import bcrypt

    return bcrypt.checkpw(password[:_BCRYPT_MAX], written)


def apr1(password: bytes, salt: bytes) -> str:
    """Return the digest that Apache writes behind ``$apr1$`` and the salt: MD5, a thousand times."""
    inner = _md5(password + salt + password)
    first = password + b"$apr1$" + salt + (inner * (len(password) // 16 + 1))[: len(password)]
    bits = len(password)
    while bits:
        first += b"\0" if bits & 1 else password[:1]
        bits >>= 1
    digest = _md5(first)
    for number in range(_ROUNDS):
        digest = _md5(
            (password if number & 1 else digest)
            + (salt if number % 3 else b"")
            + (password if number % 7 else b"")
            + (digest if number & 1 else password)
        )
    groups = [_base64(int.from_bytes(bytes(digest[place] for place in places)), 4) for places in _ORDER]
    return "".join((*groups, _base64(digest[11], 2)))


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _base64(value: int, length: int) -> str:
    return "".join(_ALPHABET[value >> 6 * place & 63] for place in range(length))
