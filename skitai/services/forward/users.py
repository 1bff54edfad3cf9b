"""Who may use the forward proxy: Basic authentication (RFC 7617, RFC 9110, section 11.7)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from skitai.http.basic import basic_credentials
from skitai.services.forward.passwords import checker_of, parse_htpasswd
from skitai.services.forward.refusals import Refused

_log = Logger()

#: Characters of a Proxy-Authorization field. A longer one is not read.
_FIELD_MAX = 1024
#: Logins that are remembered: a hash of htpasswd takes milliseconds, and each request brings one.
_REMEMBERED = 1000
#: Hashes that are computed at a time, and those that may wait.
_AT_ONCE, _WAITING_MAX = 2, 100


class Users(Protocol):
    """Says whether a name and a password belong together; takes as long for names that do not exist."""

    def check(self, name: str, password: str) -> Deferred[bool] | bool:
        """Return whether they do, or a Deferred of it. May raise Refused. Called in the reactor thread."""


class ListedUsers:
    """The users of the config itself."""

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._digests = {name: _digest(password) for name, password in passwords.items()}
        self._nobodys = secrets.token_bytes(32)

    def check(self, name: str, password: str) -> bool:
        """Return whether it is the password of the user."""
        expected = self._digests.get(name, self._nobodys)
        return hmac.compare_digest(_digest(password), expected)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


class FileUsers:
    """The users of a htpasswd file, which is read again when it changes.

    Raises ValueError or OSError where it cannot be used. Later, what was read before holds on.
    """

    def __init__(self, path: Path, reactor: Any) -> None:
        self._path = path
        self._reactor = reactor
        self._stamp = _stamp(path)
        self._hashes = parse_htpasswd(path.read_text("utf-8"))
        self._key = secrets.token_bytes(32)
        self._known: dict[bytes, None] = {}
        self._turn = DeferredSemaphore(_AT_ONCE)

    def check(self, name: str, password: str) -> Deferred[bool] | bool:
        """Return whether it is the password of the user; the hash is computed in a thread."""
        self._look()
        written = self._hashes.get(name)
        # Anybody's hash stands for that of an unknown user: it takes as long.
        entry = written or next(iter(self._hashes.values()), None)
        if entry is None:
            return False
        checker = checker_of(entry)
        assert checker is not None
        secret = f"{len(name)}:{name}:{entry}:{password}".encode("utf-8", "surrogatepass")
        login = hmac.digest(self._key, secret, "sha256")
        if written is not None and login in self._known:
            return True
        if len(self._turn.waiting) >= _WAITING_MAX:
            page = "too many logins are being checked"
            raise Refused(503, "proxy_users", page, fields=(("Retry-After", "1"),))
        data = password.encode("utf-8", "surrogatepass")
        checking: Deferred[bool] = self._turn.run(
            deferToThreadPool, self._reactor, self._reactor.getThreadPool(), checker, data
        )
        return checking.addCallback(self._checked, written is not None, login)

    def _checked(self, same: bool, exists: bool, login: bytes) -> bool:
        if same and exists:
            while len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[login] = None
        return same and exists

    def _look(self) -> None:
        """Read the file again if it has changed."""
        try:
            stamp = _stamp(self._path)
            if stamp != self._stamp:
                self._stamp = stamp
                self._hashes = parse_htpasswd(self._path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            self._stamp = None
            _log.error("proxy_users: {path} holds on as it was: {error}", path=self._path, error=error)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def read_credentials(field: bytes | None) -> tuple[str, str] | None:
    """Return name and password of a Proxy-Authorization; None for anything but Basic."""
    if field is None or len(field) > _FIELD_MAX:
        return None
    scheme, _, token = field.decode("latin-1").partition(" ")
    return basic_credentials(token) if scheme.lower() == "basic" else None
