"""Sessions on the server's side: a cookie only holds a ticket, so that an end is an end for every copy."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable
from inspect import isawaitable
from threading import Lock
from typing import Any

from zope.interface import implementer

from skitai.formats.jsontext import as_json
from skitai.interfaces import ISessionStore

#: Expired sessions are looked for when so many have been added. That costs each of them a microsecond or so.
_SWEEP_EACH = 1000


@implementer(ISessionStore)
class MemorySessions:
    """Keeps at most ``maximum`` sessions in the memory of this process. Used in any thread.

    They end with the process, and no other worker knows them. Where there are too many, the one that would
    expire first goes. ``seconds`` is the clock.
    """

    def __init__(self, maximum: int = 100_000, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._maximum = maximum
        self._seconds = seconds
        self._kept: dict[str, tuple[bytes, float]] = {}
        self._added = 0
        self._changing = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def load(self, key: str) -> bytes | None:
        """Return what is kept, or None."""
        data, until = self._kept.get(key, (None, 0.0))
        return data if self._seconds() < until else None

    def create(self, key: str, data: bytes, seconds: float) -> None:
        """Keep ``data`` under a new key."""
        with self._changing:
            self._added += 1
            if self._added % _SWEEP_EACH == 0 or len(self._kept) >= self._maximum:
                self._make_room()
            self._kept[key] = data, self._seconds() + seconds

    def replace(self, key: str, data: bytes, seconds: float) -> bool:
        """Keep ``data`` in the place of what is there; return False if nothing is."""
        with self._changing:
            if self.load(key) is None:
                return False
            self._kept[key] = data, self._seconds() + seconds
            return True

    def remove(self, key: str) -> None:
        """Forget what is there, if anything."""
        with self._changing:
            self._kept.pop(key, None)

    def _make_room(self) -> None:
        now = self._seconds()
        self._kept = {key: kept for key, kept in self._kept.items() if now < kept[1]}
        excess = len(self._kept) - self._maximum + 1
        if excess > 0:
            # More than needed, or each further one would look through all of them.
            by_end = sorted(self._kept, key=lambda key: self._kept[key][1])
            for key in by_end[: max(excess, self._maximum // 10)]:
                del self._kept[key]


class StoredSessions:
    """Sessions in ``store``, each of which lasts ``timeout`` seconds from its last use.

    ``wait_for`` returns the result of a coroutine: methods of the store may be ``async def``. What they raise
    is passed on. Called in the app's thread.
    """

    def __init__(self, store: Any, timeout: float, wait_for: Callable[[Any], Any]) -> None:
        self._store = store
        self._timeout = timeout
        self._wait_for = wait_for

    def load(self, cookie: str, ticket: str) -> dict[str, Any] | None:
        """Return what the session of a ticket holds, or None if it has ended."""
        data = self._result(self._store.load(_key(cookie, ticket)))
        if data is None:
            return None
        held: dict[str, Any] = json.loads(data)
        return held

    def save(self, cookie: str, ticket: str | None, held: dict[str, Any]) -> str | None:
        """Keep a session, a new one if there is no ticket; return its ticket, None if it has ended meanwhile.

        It must not come back then: another request of the same visitor may have been the logout.
        """
        data = as_json(held)
        if ticket is None:
            ticket = secrets.token_urlsafe(32)
            self._result(self._store.create(_key(cookie, ticket), data, self._timeout))
            return ticket
        return (
            ticket if self._result(self._store.replace(_key(cookie, ticket), data, self._timeout)) else None
        )

    def end(self, cookie: str, ticket: str) -> None:
        """End a session: its ticket is worth nothing any more, whoever has a copy."""
        self._result(self._store.remove(_key(cookie, ticket)))

    def _result(self, value: Any) -> Any:
        return self._wait_for(value) if isawaitable(value) else value


def _key(cookie: str, ticket: str) -> str:
    """Return the key of a session: who can read the store cannot make a ticket of it."""
    return hashlib.sha256(f"{cookie} {ticket}".encode()).hexdigest()
