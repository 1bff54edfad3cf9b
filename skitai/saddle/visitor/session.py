"""``was.session``: what an app remembers of a visitor, encrypted in a cookie or kept in a store."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import attrs

from skitai.saddle.visitor.cookies import Cookies
from skitai.saddle.visitor.mapping import DictMethods
from skitai.saddle.visitor.seal import Opened, SecureBox, require_json
from skitai.saddle.visitor.sessionstore import StoredSessions

COOKIE: Final = "SESSION"
HIDDEN: Final = (COOKIE, f"{COOKIE}_*")
"""The names to hide from ``was.cookie``: those of the session and of the named sessions."""

_CLOCK_SKEW: Final = 60.0
_log: Final = logging.getLogger("skitai.saddle")
_NAME: Final = re.compile(r"[0-9A-Za-z_-]{1,40}")


@attrs.define
class SessionState:
    """One session, as it came with the request and as the view has left it.

    ``private`` is for Saddle itself; apps do not see it. ``source`` is the address of the last access, None
    in a new session, and ``visitor`` that of this one. ``received`` tells whether the request had a cookie of
    this app, ``used`` whether the session was accessed. ``path`` is that of the cookie, None for the whole
    site. Browsers do not send the path, so it is stored in the session. ``ticket`` leads to a session in a
    store, and ``cleared`` tells whether it was to end.
    """

    cookie: str
    visitor: str
    values: dict[str, Any] = attrs.field(factory=dict)
    private: dict[str, Any] = attrs.field(factory=dict)
    source: str | None = None
    received: bool = False
    used: bool = False
    path: str | None = None
    ticket: str | None = None
    cleared: bool = False


class Session(DictMethods):
    """The session of one request: a dictionary of JSON values by text. A missing key is None.

    From each access it lasts ``session_timeout`` seconds. Made by ``Sessions.load``, for one thread at a
    time.
    """

    def __init__(self, load: Callable[[str], SessionState], cookie: str) -> None:
        self._load = load
        self._main = cookie
        self._states: dict[str, SessionState] = {}
        self._state = self._loaded(cookie)

    def set(self, key: str, val: Any) -> None:
        """Store ``val``; raise TypeError, with key and type, if it is not a JSON value."""
        if not isinstance(key, str):
            raise TypeError(f"a session's keys must be text, not {type(key).__name__} ({key!r})")
        require_json(f"session[{key!r}]", val)
        self._used().values[key] = val

    def getv(self, key: str, default: Any = None) -> Any:
        """Return the value of ``key`` if ``source_verified()``, else ``default``."""
        return self.get(key, default) if self.source_verified() else default

    def source_verified(self) -> bool:
        """Return whether this request comes from the address of the last access, or is the first."""
        return self._state.source in (None, self._state.visitor)

    def clear(self) -> None:
        """Remove everything, also the cookie. CSRF tokens made so far are worth nothing then.

        With ``app.session_store`` the session has ended for every copy of the cookie, too, and what is set
        after that is a new one. Without, a copy is good until it expires.
        """
        state = self._used()
        state.cleared = True
        state.values.clear()
        state.private.clear()

    def mount(self, name: str | None = None, *, path: str | None = None) -> Session:
        """Switch to the session ``name``, which has a cookie of its own; None switches to the first one.

        ``path`` limits the cookie of a new session to a part of the site; an existing session keeps its path.
        Returns the session itself. Raises ValueError for a name that is not 1 to 40 letters, digits, ``-``
        and ``_``.
        """
        self._state = self._loaded(self._cookie_of(name))
        if path is not None and self._state.source is None:
            self._state.path = path
        return self

    def exists(self, name: str | None = None) -> bool:
        """Return whether the session ``name`` (None: the first) holds anything."""
        return bool(self._loaded(self._cookie_of(name)).values)

    @property
    def saddle_private(self) -> dict[str, Any]:
        """The values that Saddle itself stores in the first session, by name."""
        state = self._states[self._main]
        state.used = True
        return state.private

    def states(self) -> Iterator[SessionState]:
        """Yield the sessions that this request has accessed, for ``Sessions``."""
        yield from self._states.values()

    def __getitem__(self, key: str) -> Any:
        return self._held().get(key)

    def __repr__(self) -> str:
        return f"<Session {self._state.cookie} with {sorted(self._state.values)}>"

    def _held(self) -> Mapping[str, Any]:
        return self._used().values

    def _put(self, key: str, value: Any) -> None:
        self.set(key, value)

    def _drop(self, key: str) -> None:
        del self._used().values[key]

    def _used(self) -> SessionState:
        self._state.used = True
        return self._state

    def _cookie_of(self, name: str | None) -> str:
        if name is None:
            return self._main
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"a session's name must be 1 to 40 letters, digits, - and _, not {name!r}")
        return f"{self._main}_{name}"

    def _loaded(self, cookie: str) -> SessionState:
        if cookie not in self._states:
            self._states[cookie] = self._load(cookie)
        return self._states[cookie]


class Sessions:
    """Reads sessions from cookies and writes them back: one for an app, in any thread.

    ``timeout`` is the app's session_timeout in seconds. ``warn`` takes a line for each cookie that is
    refused; the session is then empty. Raises ValueError for a timeout that is not positive.
    """

    def __init__(
        self,
        box: SecureBox,
        timeout: float,
        *,
        seconds: Callable[[], float] = time.time,
        warn: Callable[[str], None] = _log.warning,
    ) -> None:
        if not timeout > 0:
            raise ValueError(f"session_timeout is {timeout!r}: give the seconds that a session lasts unused")
        self._box = box
        self._timeout = timeout
        self._seconds = seconds
        self._warn = warn

    def load(
        self,
        cookie_value: str | None,
        remote_addr: str,
        name: str = COOKIE,
        *,
        read: Callable[[str], str | None] | None = None,
        stored: StoredSessions | None = None,
    ) -> Session:
        """Return the session in the cookie ``name``; ``read`` gives the cookies of named sessions by name.

        If it is ``stored``, the cookie only holds its ticket.
        """
        first: Mapping[str, str | None] = {name: cookie_value}

        def load_state(cookie: str) -> SessionState:
            value = first[cookie] if cookie in first else read(cookie) if read else None
            return self._state(cookie, value, remote_addr, stored)

        return Session(load_state, name)

    def save(self, session: Session) -> str | None:
        """Return the cookie of the first session: text to set, "" to remove it, or None to leave it alone.

        Raises TypeError or ValueError if the view has put anything but JSON values into a list or dict, and
        SealedTooLargeError for too many of them.
        """
        return self._saved(next(session.states()), None)

    def store(self, session: Session, cookies: Cookies, stored: StoredSessions | None = None) -> None:
        """Set or remove the cookies of all sessions that the request used; raises as ``save`` does."""
        for state in session.states():
            value = self._saved(state, stored)
            if value is not None:
                cookies.write_hidden(state.cookie, value, self._timeout, state.path)

    def _state(
        self, cookie: str, value: str | None, remote_addr: str, stored: StoredSessions | None
    ) -> SessionState:
        if not value:
            return SessionState(cookie, remote_addr)
        now = self._seconds()
        opened = self._box.look(_purpose(cookie, stored), value, now)
        reason = opened.reason or self._too_far_ahead(opened, now)
        if reason:
            self._warn(f"the cookie {cookie} from {remote_addr} is no session: {reason}; it starts empty")
            # Another app may have a cookie of this name: only our own is ever removed.
            return SessionState(cookie, remote_addr, received=opened.genuine)
        if stored is None:
            return SessionState(cookie, remote_addr, received=True, **opened.value)
        held = stored.load(cookie, opened.value)
        if held is None:
            self._warn(f"the session {cookie} from {remote_addr} has ended already; it starts empty")
            return SessionState(cookie, remote_addr, received=True)
        return SessionState(cookie, remote_addr, received=True, ticket=opened.value, **held)

    def _too_far_ahead(self, opened: Opened, now: float) -> str | None:
        """Refuse a session that was sealed with a longer session_timeout, or by a wrong clock."""
        latest = now + self._timeout + _CLOCK_SKEW
        return "it expires later than session_timeout allows" if (opened.expires or 0) > latest else None

    def _saved(self, state: SessionState, stored: StoredSessions | None) -> str | None:
        is_empty = not state.values and not state.private
        if stored is not None and state.ticket is not None and (is_empty or state.cleared):
            stored.end(state.cookie, state.ticket)
            state.ticket = None
        if is_empty:
            return "" if state.received else None
        if not state.used:
            return None
        for key, value in state.values.items():
            require_json(f"session[{key!r}]", value)
        now = self._seconds()
        held: dict[str, Any] = {"values": state.values, "private": state.private, "source": state.visitor}
        if state.path is not None:
            held["path"] = state.path
        kept: Any = held
        if stored is not None:
            kept = state.ticket = stored.save(state.cookie, state.ticket, held)
            if kept is None:
                self._warn(f"the session {state.cookie} from {state.visitor} has ended meanwhile")
                return ""
        purpose = _purpose(state.cookie, stored)
        return self._box.seal(purpose, kept, expires=now + self._timeout, now=now)


def _purpose(cookie: str, stored: StoredSessions | None) -> str:
    # Different, so that a cookie from before there was a store cannot come back after a logout.
    return f"the session {cookie}" if stored is None else f"the ticket of the session {cookie}"
