"""Seals values that a browser stores: it can neither read nor change them. No pickle is involved."""

from __future__ import annotations

import base64
import hmac
import json
import math
import secrets
import struct
import zlib
from collections.abc import Sequence
from typing import Any, Final

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from skitai.errors import MisuseError
from skitai.formats.jsontext import as_json

SEALED_LIMIT: Final = 3800
"""Characters a sealed text may have: the 4096 bytes of a cookie (RFC 6265, 6.1) less name and attributes."""

UNPACKED_LIMIT: Final = 65_536
"""Bytes of JSON that a compressed value may unpack to."""

_VERSION: Final = b"\x01"
_SALT_BYTES: Final = 12
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_HEAD: Final = struct.Struct(">d?")
_CLEAR_BYTES: Final = len(_VERSION) + _SALT_BYTES + _NONCE_BYTES
_PACK_FROM: Final = 512


class SealedTooLargeError(MisuseError, ValueError):
    """A sealed value is too large for a cookie."""


@attrs.frozen
class Opened:
    """What a sealed text holds: ``value``, and its expiry in seconds since 1970, or None.

    ``reason`` says why the text was refused; it is None if it was accepted. ``genuine`` tells whether the
    text was sealed with one of the keys, also if it was refused.
    """

    value: Any = None
    expires: float | None = None
    reason: str | None = None
    genuine: bool = True


class SecureBox:
    """Seals JSON values into URL-safe text that only the holder of a key can read or make.

    The first of ``keys`` seals, and any of them opens, so a key can be replaced without ending any session. A
    single text or bytes is one key. Keys are stretched with HKDF-SHA256 (RFC 5869), which does not make a
    weak key strong: use 32 random characters. Each text is encrypted with AES-256-GCM under a key of its own,
    derived from random salt: one key allows only 2**32 random nonces (NIST SP 800-38D).

    ``compress`` packs values from 512 bytes on with zlib. It is off because the length of packed text can
    give away secrets beside text that an attacker chooses (CRIME).

    Raises ValueError for no key or an empty one. May be used in any thread.
    """

    def __init__(self, keys: Sequence[bytes | str], *, compress: bool = False) -> None:
        given = [keys] if isinstance(keys, str | bytes) else list(keys)
        if not given or not all(given):
            raise ValueError("a secure box needs at least one key, and no key may be empty")
        self._keys = [_stretched(key.encode() if isinstance(key, str) else key) for key in given]
        self._compress = compress

    @staticmethod
    def capacity() -> int:
        """Return how many bytes of JSON fit into a sealed text without compression."""
        return SEALED_LIMIT * 3 // 4 - _CLEAR_BYTES - _HEAD.size - _TAG_BYTES

    def seal(self, purpose: str, value: Any, *, expires: float | None, now: float) -> str:
        """Return ``value`` (JSON) as sealed text that opens only for the same ``purpose``, until ``expires``.

        ``expires`` and ``now`` are in seconds since 1970; None never expires. Raises TypeError or ValueError
        for anything but a JSON value and for an expiry in the past, SealedTooLargeError for a large value.
        """
        if expires is not None and not now < expires < math.inf:
            raise ValueError(f"expires is {expires!r}, not a time after now ({now!r})")
        data = as_json(value)
        packed = self._compress and _PACK_FROM <= len(data) <= UNPACKED_LIMIT
        if packed:
            data = zlib.compress(data, 9)
        plain = _HEAD.pack(math.inf if expires is None else expires, packed) + data
        salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
        sealed = _cipher(self._keys[0], salt).encrypt(nonce, plain, _context(purpose))
        text = _to_text(_VERSION + salt + nonce + sealed)
        if len(text) > SEALED_LIMIT:
            raise SealedTooLargeError(
                f"{purpose} takes {len(text)} bytes, a cookie holds {SEALED_LIMIT}: keep less in it"
            )
        return text

    def open(self, purpose: str, text: str, now: float) -> Any | None:
        """Return the value that was sealed for ``purpose``, or None for a text that is refused."""
        return self.look(purpose, text, now).value

    def look(self, purpose: str, text: str, now: float) -> Opened:
        """Return what ``text`` holds, or why it is refused. No text raises an exception."""
        if len(text) > SEALED_LIMIT:
            return Opened(reason=f"too long ({len(text)} characters)", genuine=False)
        raw = _from_text(text)
        if raw is None or not raw.startswith(_VERSION) or len(raw) < _CLEAR_BYTES + _TAG_BYTES + _HEAD.size:
            return Opened(reason="not a sealed text, or cut off", genuine=False)
        plain = self._decrypted(raw, _context(purpose))
        if plain is None:
            reason = "changed, or sealed with another key or for another purpose"
            return Opened(reason=reason, genuine=False)
        expires, packed = _HEAD.unpack_from(plain)
        if now >= expires:
            return Opened(reason="expired")
        data = plain[_HEAD.size :]
        if packed:
            data = zlib.decompressobj().decompress(data, UNPACKED_LIMIT)
        return Opened(json.loads(data), None if math.isinf(expires) else expires)

    def _decrypted(self, raw: bytes, context: bytes) -> bytes | None:
        salt = raw[len(_VERSION) : len(_VERSION) + _SALT_BYTES]
        nonce = raw[len(_VERSION) + _SALT_BYTES : _CLEAR_BYTES]
        for key in self._keys:
            try:
                return _cipher(key, salt).decrypt(nonce, raw[_CLEAR_BYTES:], context)
            except InvalidTag:
                continue
        return None


def require_json(name: str, value: Any) -> None:
    """Raise TypeError, with ``name`` and the type, unless JSON gives back ``value`` as it was.

    It does not for tuples, sets, bytes, dates, NaN, and dicts with keys that are not text.
    """
    try:
        same = json.loads(json.dumps(value, allow_nan=False)) == value
    except (TypeError, ValueError, RecursionError):
        same = False
    if not same:
        kind = type(value).__name__
        raise TypeError(
            f"{name} is a {kind} that JSON cannot keep: use text, numbers, true, None, lists, dicts"
        )


def _stretched(key: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"skitai.saddle.visitor.seal").derive(key)


def _cipher(key: bytes, salt: bytes) -> AESGCM:
    return AESGCM(hmac.digest(key, b"message" + salt, "sha256"))


def _context(purpose: str) -> bytes:
    return _VERSION + purpose.encode()


def _to_text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _from_text(text: str) -> bytes | None:
    """Return the bytes of ``text``, or None unless ``_to_text`` makes exactly this text of them."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    return raw if _to_text(raw) == text else None
