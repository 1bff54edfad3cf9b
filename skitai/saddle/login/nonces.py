"""Nonces of Digest authentication (RFC 7616, 3.3 and 5.4). They are signed: none is stored before its use."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable

#: Seconds for which a nonce is valid.
LIFETIME = 300.0

#: How many used nonces are remembered. Each takes some 300 bytes. The oldest are revoked for new ones.
REMEMBERED_MAX = 4096

# The parallel connections of a browser may change the order of its counts, but not by more than this.
_WINDOW = 128

_ISSUED = struct.Struct(">d8s")
_SIGNATURE = 16


class Nonces:
    """Issues nonces and accepts each count of each of them once.

    ``secret`` signs them, ``seconds`` is the clock. Used in any thread. Only this process knows the counts
    that were used: another one with the same secret would accept the same request again.
    """

    def __init__(self, secret: bytes, seconds: Callable[[], float]) -> None:
        self._secret = secret
        self._seconds = seconds
        self._lock = threading.Lock()
        self._used: OrderedDict[str, _Counts] = OrderedDict()
        self._forgotten = 0.0  # older nonces are revoked, except those in use

    def issue(self) -> str:
        """Return a new nonce."""
        stamp = _ISSUED.pack(self._seconds(), secrets.token_bytes(8))
        return base64.urlsafe_b64encode(stamp + self._sign(stamp)).decode("ascii")

    def accept(self, nonce: str, count: int) -> bool:
        """Record that a nonce was used with this count. Return False if it must not be used, or no longer.

        Call it only for requests that are otherwise right, so that strangers cannot fill the memory.
        """
        issued = self._issued(nonce)
        now = self._seconds()
        if issued is None or not issued <= now < issued + LIFETIME:
            return False
        with self._lock:
            counts = self._used.get(nonce)
            if counts is None:
                if issued <= self._forgotten:
                    return False
                counts = self._used[nonce] = _Counts(issued)
                self._forget(now)
            return counts.accept(count)

    def _forget(self, now: float) -> None:
        while self._used:
            nonce, oldest = next(iter(self._used.items()))
            if len(self._used) <= REMEMBERED_MAX and now < oldest.issued + LIFETIME:
                return
            del self._used[nonce]
            self._forgotten = max(self._forgotten, oldest.issued)

    def _issued(self, nonce: str) -> float | None:
        """Return when a nonce was issued, or None if its signature is wrong."""
        try:
            signed = base64.b64decode(nonce, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        stamp, signature = signed[: _ISSUED.size], signed[_ISSUED.size :]
        if not hmac.compare_digest(signature, self._sign(stamp)):
            return None
        issued: float = _ISSUED.unpack(stamp)[0]
        return issued

    def _sign(self, stamp: bytes) -> bytes:
        return hmac.digest(self._secret, b"skitai digest nonce" + stamp, hashlib.sha256)[:_SIGNATURE]


class _Counts:
    """The counts that came with one nonce: the highest one, and those shortly below it."""

    __slots__ = ("_highest", "_seen", "issued")

    def __init__(self, issued: float) -> None:
        self.issued = issued
        self._highest = 0
        self._seen = 0  # bit n stands for the count that is n below the highest

    def accept(self, count: int) -> bool:
        if count > self._highest:
            self._seen = (self._seen << min(count - self._highest, _WINDOW) | 1) & ((1 << _WINDOW) - 1)
            self._highest = count
            return True
        if count < 1 or self._highest - count >= _WINDOW:  # before the shift: a client chose the numbers
            return False
        bit = 1 << (self._highest - count)
        if self._seen & bit:
            return False
        self._seen |= bit
        return True
