"""Logging in at an upstream, after its first challenge: Basic (RFC 7617) and Digest (RFC 7616)."""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from functools import partial
from typing import Any, Protocol
from urllib.parse import quote

import attrs

from skitai.http.digest import HASHES, algorithm_of, hexdigest, parse_challenges, proof_of, secret_of
from skitai.http.fields import quoted, split_list

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_LOGINS_KEPT = 1024

#: How strong an algorithm is; Basic has 0.
_STRENGTH = {name: strength for strength, name in enumerate(HASHES, 1)}

# Without this key, a password could be guessed from a cache key that got into a log.
_FINGERPRINT_KEY = secrets.token_bytes(32)


@attrs.frozen
class Credentials:
    """A user and the password."""

    user: str
    password: str = attrs.field(repr=False)

    @property
    def fingerprint(self) -> str:
        """A text that differs from that of other credentials and reveals neither."""
        return fingerprint(f"{self.user}:{self.password}")


def fingerprint(secret: str) -> str:
    """Return a text that is the same for the same secret within this process, and does not reveal it."""
    return hashlib.blake2b(secret.encode("utf-8", "surrogatepass"), key=_FINGERPRINT_KEY).hexdigest()


def parse_auth(auth: Any) -> Credentials:
    """Return the credentials of ``(user, password)`` or ``"user:password"``.

    Raises TypeError or ValueError; the message does not repeat the password. Called in the app's thread.
    """
    if isinstance(auth, str):
        user, separator, password = auth.partition(":")
        if not separator:
            raise ValueError("auth must be 'user:password' or (user, password): it has no colon")
    elif isinstance(auth, tuple | list) and len(auth) == 2 and all(isinstance(one, str) for one in auth):
        user, password = auth
    else:
        raise TypeError(
            f"auth must be a tuple (user, password) or 'user:password', not {type(auth).__name__}"
        )
    if ":" in user:
        raise ValueError("auth: a user must not have a colon in the name (RFC 7617, section 2)")
    if _CONTROLS.search(user + password):
        raise ValueError("auth must not hold control characters")
    try:
        f"{user}{password}".encode()
    except UnicodeEncodeError:
        raise ValueError("auth holds a lone surrogate, which UTF-8 cannot encode") from None
    return Credentials(user, password)


class Login(Protocol):
    """How to answer one challenge, for any number of requests."""

    stale: bool

    def header(self, method: str, target: str) -> str:
        """Return the value of Authorization for one request."""


class BasicLogin:
    """Sends the credentials themselves."""

    stale = False

    def __init__(self, credentials: Credentials) -> None:
        token = b64encode(f"{credentials.user}:{credentials.password}".encode())
        self._header = f"Basic {token.decode('ascii')}"

    def header(self, method: str, target: str) -> str:  # noqa: ARG002 - Digest needs them
        """Return the value of Authorization, the same for all requests."""
        return self._header


class DigestLogin:
    """Sends a proof of the credentials, which is different in each request: the nonce count rises.

    ``challenge`` holds the parameters of a challenge with a known ``_strength``. ``stale`` says that the
    server refused only the nonce of the last request.
    """

    def __init__(self, credentials: Credentials, challenge: Mapping[str, str]) -> None:
        self._credentials = credentials
        self._challenge = challenge
        name, self._is_session = algorithm_of(_algorithm(challenge))
        self._hash = HASHES[name]
        self._cnonce = secrets.token_hex(16)
        self._count = 0
        self._secret = self._session_secret()
        self.stale = challenge.get("stale", "").lower() == "true"

    def header(self, method: str, target: str) -> str:
        """Return the value of Authorization for one request (section 3.4)."""
        self._count += 1
        nonce, count = self._challenge["nonce"], f"{self._count:08x}"
        if "qop" in self._challenge:
            proof = partial(proof_of, count=count, cnonce=self._cnonce)
            quality = f", qop=auth, nc={count}, cnonce={quoted(self._cnonce)}"
        else:  # as in RFC 2069
            proof, quality = partial(proof_of), ""
        response = proof(self._hash, self._secret, method, target, nonce)
        algorithm = f", algorithm={_algorithm(self._challenge)}" if "algorithm" in self._challenge else ""
        opaque = f", opaque={quoted(self._challenge['opaque'])}" if "opaque" in self._challenge else ""
        return (
            f"Digest {self._user()}, realm={quoted(self._challenge['realm'])}, nonce={quoted(nonce)},"
            f" uri={quoted(target)}{algorithm}{quality}, response={quoted(response)}{opaque}"
        )

    def _session_secret(self) -> str:
        """Return H(A1) (section 3.4.2)."""
        # Header text is decoded as latin-1 here; the server hashes its bytes.
        realm = self._challenge["realm"].encode("latin-1")
        user, password = self._credentials.user.encode(), self._credentials.password.encode()
        secret = secret_of(self._hash, user, realm, password)
        if self._is_session:
            secret = hexdigest(self._hash, f"{secret}:{self._challenge['nonce']}:{self._cnonce}")
        return secret

    def _user(self) -> str:
        """Return the parameters that name the user (sections 3.4.3 and 3.4.4)."""
        user = self._credentials.user
        if self._challenge.get("userhash", "").lower() == "true":
            realm = self._challenge["realm"].encode("latin-1")
            return f"username={quoted(self._hash(user.encode() + b':' + realm).hexdigest())}, userhash=true"
        if user.isascii():
            return f"username={quoted(user)}"
        return f"username*=UTF-8''{quote(user, safe='')}"


class Logins:
    """The logins that worked, by node and credentials: later requests need no challenge first.

    The least recently used are dropped. Used in the reactor thread.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Login] = OrderedDict()

    def get(self, node: Hashable, credentials: Credentials) -> Login | None:
        """Return the login that worked last, or None."""
        login = self._kept.get((node, credentials))
        if login is not None:
            self._kept.move_to_end((node, credentials))
        return login

    def keep(self, node: Hashable, credentials: Credentials, login: Login) -> None:
        """Use ``login`` from now on."""
        self._kept[node, credentials] = login
        if len(self._kept) > _LOGINS_KEPT:
            self._kept.popitem(last=False)

    def forget(self, node: Hashable, credentials: Credentials) -> None:
        """Drop the login: the next request waits for a challenge."""
        self._kept.pop((node, credentials), None)


def login_for(credentials: Credentials, headers: Iterable[tuple[str, str]]) -> Login | None:
    """Return the login for the strongest challenge in the headers of a 401; None if all are unknown."""
    challenges = [
        challenge
        for name, value in headers
        if name.lower() == "www-authenticate" and not _CONTROLS.search(value)
        for challenge in parse_challenges(value)
    ]
    scheme, parameters = max(challenges, key=lambda each: _strength(*each), default=("", {}))
    if _strength(scheme, parameters) < 0:
        return None
    return BasicLogin(credentials) if scheme == "basic" else DigestLogin(credentials, parameters)


def _strength(scheme: str, parameters: Mapping[str, str]) -> int:
    """Return how strong a challenge is: less than 0 if it cannot be answered."""
    if scheme == "basic":
        return 0
    if scheme != "digest" or not {"realm", "nonce"} <= parameters.keys():
        return -1
    qualities = split_list(parameters.get("qop", "auth").lower())
    return _STRENGTH.get(algorithm_of(_algorithm(parameters))[0], -1) if "auth" in qualities else -1


def _algorithm(parameters: Mapping[str, str]) -> str:
    return parameters.get("algorithm", "MD5")
