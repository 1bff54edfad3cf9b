"""Tokens against forms that another site sends in a visitor's name (CSRF)."""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

from skitai.saddle.visitor.cookies import Cookies
from skitai.saddle.visitor.seal import SecureBox
from skitai.saddle.visitor.session import Session

COOKIE: Final = "CSRF"
"""The name to hide from ``was.cookie``."""

FIELD: Final = "csrf_token"
HEADER: Final = "HTTP_X_CSRF_TOKEN"

_SECRET_BYTES: Final = 32
_PRIVATE: Final = "csrf"
_PURPOSE: Final = "the CSRF secret"


class Csrf:
    """The token of one visitor, made from a secret in the session or in a cookie.

    Each token is the secret under a new mask, so that compression cannot give it away (BREACH). ``read``
    returns the secret in hexadecimal digits, or None. It is called each time, because a view may clear the
    session. ``keep`` stores a new secret. For one thread at a time.
    """

    def __init__(self, read: Callable[[], str | None], keep: Callable[[str], None]) -> None:
        self._read = read
        self._keep = keep

    @classmethod
    def in_session(cls, session: Session) -> Csrf:
        """Return the token that is bound to a session: it ends with the session."""

        def read() -> str | None:
            return session.saddle_private.get(_PRIVATE)

        def keep(secret: str) -> None:
            session.saddle_private[_PRIVATE] = secret

        return cls(read, keep)

    @classmethod
    def in_cookie(cls, cookies: Cookies, box: SecureBox, now: float) -> Csrf:
        """Return the token that is bound to a cookie until the browser ends, for apps without a key.

        ``now`` is in seconds since 1970.
        """

        def read() -> str | None:
            return box.open(_PURPOSE, cookies.read_hidden(COOKIE) or "", now)

        def keep(secret: str) -> None:
            cookies.write_hidden(COOKIE, box.seal(_PURPOSE, secret, expires=None, now=now))

        return cls(read, keep)

    def token(self) -> str:
        """Return a token for the form or the header of the next request."""
        secret = self._read()
        if secret is None:
            secret = secrets.token_hex(_SECRET_BYTES)
            self._keep(secret)
        mask = secrets.token_bytes(_SECRET_BYTES)
        return base64.urlsafe_b64encode(mask + _xor(mask, bytes.fromhex(secret))).decode("ascii")

    def check(self, token: str | None) -> bool:
        """Return whether ``token`` was made for this visitor. All wrong tokens take the same time."""
        secret = self._read()
        if secret is None or not token:
            return False
        try:
            raw = base64.urlsafe_b64decode(token)
        except ValueError:
            return False
        if len(raw) != 2 * _SECRET_BYTES:
            return False
        return hmac.compare_digest(_xor(raw[:_SECRET_BYTES], raw[_SECRET_BYTES:]), bytes.fromhex(secret))


def submitted_token(environ: Mapping[str, Any], form: Mapping[str, Any]) -> str | None:
    """Return the token of a request, from ``X-CSRF-Token`` or else from the form field ``csrf_token``."""
    token = environ.get(HEADER) or form.get(FIELD)
    return token if isinstance(token, str) else None


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
