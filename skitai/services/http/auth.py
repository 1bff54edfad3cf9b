"""Logging in at an upstream: Basic (RFC 7617) and Digest (RFC 7616), after a challenge and then at once."""

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

# Without it, a password could be found by trying words against a cache key that was logged.
_FINGERPRINT_KEY = secrets.token_bytes(32)


@attrs.frozen
class Credentials:
    """A user and the password."""

    user: str
    password: str = attrs.field(repr=False)

    @property
    def fingerprint(self) -> str:
        """What tells them from others without giving them away."""
        return fingerprint(f"{self.user}:{self.password}")


def fingerprint(secret: str) -> str:
    """Return what tells ``secret`` from others without giving it away, in this process."""
    return hashlib.blake2b(secret.encode("utf-8", "surrogatepass"), key=_FINGERPRINT_KEY).hexdigest()


def parse_auth(auth: Any) -> Credentials:
    """Return the credentials of ``(user, password)`` or ``"user:password"``.

    Raises TypeError or ValueError, without repeating them. Called in the app's thread.
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
        raise ValueError("auth holds a lone surrogate, which UTF-8 cannot say") from None
    return Credentials(user, password)


class Login(Protocol):
    """The answer to one challenge, for any number of requests."""

    stale: bool

    def header(self, method: str, target: str) -> str:
        """Return the value of Authorization for one request."""


class BasicLogin:
    """The credentials themselves."""

    stale = False

    def __init__(self, credentials: Credentials) -> None:
        token = b64encode(f"{credentials.user}:{credentials.password}".encode())
        self._header = f"Basic {token.decode('ascii')}"

    def header(self, method: str, target: str) -> str:  # noqa: ARG002 - Digest needs them
        """Return the value of Authorization, the same for all requests."""
        return self._header


class DigestLogin:
    """Proof of the credentials, another for each request: the nonce count rises.

    ``challenge`` holds the parameters of one that ``_strength`` approves of. ``stale`` says that the server
    refused nothing but the nonce of the last one.
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
        else:  # as RFC 2069 had it
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
        # Header text is latin-1 here, and what the server hashes are its bytes.
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
    """The logins that worked, by node and credentials: later requests need no challenge.

    The least recently used are forgotten. Used in the reactor thread.
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
        """Ask for a challenge the next time."""
        self._kept.pop((node, credentials), None)


def answer(credentials: Credentials, headers: Iterable[tuple[str, str]]) -> Login | None:
    """Return the login for the strongest challenge among a 401's headers, or None for unknown ones only."""
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
    """Return how strong a challenge is, less than 0 for one that cannot be answered."""
    if scheme == "basic":
        return 0
    if scheme != "digest" or not {"realm", "nonce"} <= parameters.keys():
        return -1
    qualities = split_list(parameters.get("qop", "auth").lower())
    return _STRENGTH.get(algorithm_of(_algorithm(parameters))[0], -1) if "auth" in qualities else -1


def _algorithm(parameters: Mapping[str, str]) -> str:
    return parameters.get("algorithm", "MD5")
