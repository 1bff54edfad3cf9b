"""WWW-Authenticate: Basic (RFC 7617) and Digest (RFC 7616) on the server's side."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote, unquote_to_bytes

from skitai.http.basic import basic_credentials
from skitai.http.digest import HASHES, parse_parameters, proof_of, secret_of
from skitai.http.fields import quoted
from skitai.saddle.login.nonces import Nonces
from skitai.saddle.login.users import Users, WaitFor, same

#: Characters of an Authorization field. A longer one is not read.
HEADER_MAX = 8192

_CONTROL = re.compile("[\x00-\x1f\x7f]")
_COUNT = re.compile("[0-9a-fA-F]{8}")
#: The parameters that Digest credentials must have besides names, with a value that is not empty.
_NEEDED = ("nonce", "uri", "response", "qop", "nc", "cnonce")
_AUTHORITY = re.compile("https?://[^/?#]*", re.IGNORECASE)

#: The best first, because clients take the first that they support (RFC 7616, section 3.7).
ALGORITHMS = ("SHA-256", "MD5")


@dataclass(frozen=True, slots=True)
class Challenge:
    """The client has not logged in: the response is 401 with these ``headers``."""

    headers: list[tuple[str, str]]


class Authenticator:
    """Finds the user of a request by its Authorization field.

    ``users`` maps names to passwords, and may change at any time. Or it is a function, also ``async def``,
    which is called for each request in the thread of ``check`` and may raise anything. For ``"basic"`` it
    takes name and password, and returns True if they are right, else False or None. For ``"digest"`` it takes
    a name, and returns the password, or None for an unknown name. Any other value is a TypeError.

    The client shows ``realm`` to its user. ``secret`` signs the nonces of Digest; processes that share it
    accept each other's nonces. ``algorithms`` are those of Digest, in the order of the challenges. Some
    clients look at the first one only: that of Python's urllib knows MD5, and no other until Python 3.14.
    ``seconds`` is the clock. Raises ValueError for a malformed scheme, realm, users, secret or algorithm.
    """

    def __init__(
        self,
        scheme: Literal["basic", "digest"],
        realm: str,
        users: Mapping[str, str] | Callable[..., Any],
        secret: bytes,
        *,
        algorithms: Sequence[str] = ALGORITHMS,
        seconds: Callable[[], float] = time.time,
    ) -> None:
        if scheme not in ("basic", "digest"):
            raise ValueError(f"the scheme must be one of 'basic', 'digest', not {scheme!r}")
        if not isinstance(realm, str) or _CONTROL.search(realm):
            raise ValueError(f"realm {realm!r} must be text on one line")
        if not secret:
            raise ValueError("the secret that signs nonces must not be empty")
        if scheme == "basic" and isinstance(users, Mapping):
            _refuse_colons(users)
        if isinstance(algorithms, str) or not algorithms or not set(ALGORITHMS).issuperset(algorithms):
            raise ValueError(f"the algorithms of Digest must be some of {ALGORITHMS}, not {algorithms!r}")
        self._algorithms = tuple(algorithms)
        self._realm = realm
        self._users = Users(users)
        self._nonces = Nonces(secret, seconds)
        # Sent because some clients expect it. It is not checked: the nonce has all that is needed.
        self._opaque = secrets.token_hex(16)
        self._check = self._check_basic if scheme == "basic" else self._check_digest
        self._challenge = self._challenge_basic if scheme == "basic" else self._challenge_digest

    def check(self, method: str, uri: str, authorization: str | None, wait_for: WaitFor) -> str | Challenge:
        """Return the name of the user who has logged in, or the challenge to send.

        ``uri`` is the request target with its query. ``authorization`` is the field as WSGI gives it (bytes
        as latin-1), or None; no value of it raises an exception. ``wait_for`` runs a coroutine and returns
        its result. Called in any thread.
        """
        if not authorization or len(authorization) > HEADER_MAX:
            return self._challenge()
        scheme, _, credentials = authorization.strip().partition(" ")
        return self._check(scheme.lower(), credentials, method, uri, wait_for)

    # -- Basic -----------------------------------------------------------------------------------------------

    def _challenge_basic(self) -> Challenge:
        return Challenge([("WWW-Authenticate", f'Basic realm={_quoted(self._realm)}, charset="UTF-8"')])

    def _check_basic(
        self,
        scheme: str,
        credentials: str,
        method: str,  # noqa: ARG002 - only a digest covers the request line
        uri: str,  # noqa: ARG002
        wait_for: WaitFor,
    ) -> str | Challenge:
        known = basic_credentials(credentials) if scheme == "basic" else None
        if known is None or _CONTROL.search("".join(known)):
            return self._challenge()
        name, password = known
        return name if self._users.has(name, password, wait_for) else self._challenge()

    # -- Digest ----------------------------------------------------------------------------------------------

    def _challenge_digest(self, *, stale: bool = False) -> Challenge:
        nonce = self._nonces.issue()
        more = ", stale=true" if stale else ""
        return Challenge(
            [
                (
                    "WWW-Authenticate",
                    f'Digest realm={_quoted(self._realm)}, qop="auth", algorithm={algorithm},'
                    f' nonce="{nonce}", opaque="{self._opaque}", charset=UTF-8{more}',
                )
                for algorithm in self._algorithms
            ]
        )

    def _check_digest(
        self, scheme: str, credentials: str, method: str, uri: str, wait_for: WaitFor
    ) -> str | Challenge:
        fields = _digest_fields(credentials) if scheme == "digest" else None
        name = _user_name(fields) if fields is not None else None
        if (
            fields is None
            or name is None
            or fields["algorithm"] not in self._algorithms
            or _utf8(fields.get("realm")) != self._realm
            or not _same_target(fields["uri"], uri)
        ):
            return self._challenge_digest()
        password, is_known = self._users.password(name, wait_for)
        algorithm = HASHES[fields["algorithm"]]
        secret = secret_of(algorithm, *(_bytes(text) for text in (name, self._realm, password)))
        count, nonce = fields["nc"], fields["nonce"]
        expected = proof_of(
            algorithm, secret, method, fields["uri"], nonce, count=count, cnonce=fields["cnonce"]
        )
        if not same(fields["response"].lower(), expected) or not is_known:
            return self._challenge_digest()
        if not self._nonces.accept(nonce, int(count, 16)):
            # The client knows the password and need not ask for it again (RFC 7616, section 3.3).
            return self._challenge_digest(stale=True)
        return name


def _digest_fields(credentials: str) -> dict[str, str] | None:
    """Return the parameters of Digest credentials; None if one is missing or malformed."""
    try:
        credentials.encode("latin-1")
    except UnicodeEncodeError:  # not a field as WSGI gives it
        return None
    fields = parse_parameters(credentials)
    if fields is None or not all(fields.get(name) for name in _NEEDED):
        return None
    fields["algorithm"] = fields.get("algorithm", "MD5").upper()  # MD5: RFC 7616, section 3.4
    return fields if fields["qop"] == "auth" and _COUNT.fullmatch(fields["nc"]) else None


def _user_name(fields: Mapping[str, str]) -> str | None:
    """Return the user's name, from ``username`` or ``username*`` (RFC 7616, section 3.4; RFC 8187)."""
    plain, extended = fields.get("username"), fields.get("username*")
    if (plain is None) == (extended is None):
        return None
    name = _utf8(plain) if extended is None else _decoded(extended)
    return None if name is None or _CONTROL.search(name) else name


def _decoded(extended: str) -> str | None:
    charset, _, rest = extended.partition("'")
    try:
        return unquote(rest.partition("'")[2], errors="strict") if charset.upper() == "UTF-8" else None
    except UnicodeDecodeError:
        return None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _utf8(native: str | None) -> str | None:
    """Return the text of a field whose bytes are UTF-8, and which WSGI gives as latin-1; else None."""
    try:
        return None if native is None else native.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return None


def _same_target(theirs: str, ours: str) -> bool:
    """Whether the credentials are for this request. Escapes are decoded first: WSGI has decoded ours."""
    path, _, query = _AUTHORITY.sub("", theirs, count=1).partition("?")
    our_path, _, our_query = ours.partition("?")
    return unquote_to_bytes(path or "/") == unquote_to_bytes(our_path or "/") and query == our_query


def _quoted(text: str) -> str:
    """Return a quoted string as WSGI wants it: UTF-8 as latin-1."""
    return quoted(text).encode().decode("latin-1")


def _refuse_colons(names: Iterable[object]) -> None:
    for name in names:
        if isinstance(name, str) and ":" in name:
            raise ValueError(f"user {name!r}: Basic has no way to send a name with a colon")
