"""The mails for one server: those that are due, those that wait, and when the server may be asked again.

Nothing here waits, or knows of files, sockets or threads: times are arguments.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import NamedTuple

import attrs

from skitai.daemon.mail.retries import Policy

#: Seconds for which a server that has refused one more connection gets none.
_FULL_SECONDS = 60.0
#: A clock that is set back by less is no matter.
_CLOCK_SECONDS = 60.0


class Waiting(NamedTuple):
    """A mail that is due at ``at``. Times are in seconds since the epoch."""

    at: float
    id: str
    created: float


@attrs.define
class Lane:
    """``connections`` and ``rate`` are the limits of the configuration; the rate is in mails a minute."""

    connections: int = 4
    rate: int = 0
    #: How many threads deliver, how many of them have a mail in hand, and how many a connection.
    workers: int = 0
    busy: int = 0
    connected: int = 0
    #: What the server said last when it took nothing at all; "" while all is well.
    trouble: str = ""
    _failures: int = 0
    _resume_at: float = 0.0
    _full_until: float = 0.0
    _full_at: int = 0
    _slot: float = 0.0
    _seen: float = 0.0
    _ready: deque[Waiting] = attrs.field(factory=deque)
    _waiting: list[Waiting] = attrs.field(factory=list)

    def __len__(self) -> int:
        return len(self._ready) + len(self._waiting)

    def due(self, now: float) -> int:
        """Return how many mails are to be sent now, those in hand among them."""
        self._promote(now)
        return len(self._ready) + self.busy

    def add(self, mail: Waiting, now: float) -> None:
        """Take a mail; without regard to others with its id."""
        if mail.at <= now:
            self._ready.append(mail)
        else:
            heapq.heappush(self._waiting, mail)

    def put_back(self, mail: Waiting) -> None:
        """Take a mail back that was not tried; it is the next."""
        self._ready.appendleft(mail)

    def remove(self, id: str) -> bool:  # noqa: A002 - as everywhere in the spool
        """Take out a mail; return whether it was here."""
        before = len(self)
        self._ready = deque(mail for mail in self._ready if mail.id != id)
        self._waiting = [mail for mail in self._waiting if mail.id != id]
        heapq.heapify(self._waiting)
        return len(self) < before

    def take(self, now: float) -> Waiting | float | None:
        """Return the next mail, or the seconds until there may be one; None if none is known."""
        self._promote(now)
        if self._resume_at > now:
            return self._resume_at - now if len(self) else None
        if not self._ready:
            return self._waiting[0].at - now if self._waiting else None
        if self.rate:
            if self._slot > now:
                return self._slot - now
            self._slot = max(self._slot, now - 1.0) + 60.0 / self.rate
        return self._ready.popleft()

    def wants_worker(self, now: float) -> bool:
        """Return whether one more thread would find work."""
        self._promote(now)
        if self._resume_at > now or self._slot > now:
            return False
        return self.workers - self.busy < len(self._ready) and self.workers < self._most(now)

    def _most(self, now: float) -> int:
        """Return how many connections there may be: one until the server is known to be well again."""
        if self._failures:
            return 1
        return self._full_at if self._full_until > now else self.connections

    def next_time(self, now: float) -> float | None:
        """Return when one more worker may be wanted, if no mail comes or goes; None if never."""
        if self.workers >= (1 if self._failures else self.connections):
            return None
        self._promote(now)
        if self._ready:
            at = max(self._resume_at, self._slot, self._full_until if self.workers else 0.0)
            return at if at > now else None
        return max(self._resume_at, self._waiting[0].at) if self._waiting else None

    def _promote(self, now: float) -> None:
        self._notice_clock(now)
        while self._waiting and self._waiting[0].at <= now:
            self._ready.append(heapq.heappop(self._waiting))

    def _notice_clock(self, now: float) -> None:
        """Have nobody wait longer because the clock was set back."""
        change, self._seen = now - self._seen, now
        if change < -_CLOCK_SECONDS:
            self._resume_at += change
            self._full_until += change
            self._slot += change
            # A heap stays one.
            self._waiting = [mail._replace(at=mail.at + change) for mail in self._waiting]

    # -- the server as a whole -----------------------------------------------------------------------------

    def works(self) -> bool:
        """Take note that the server has taken or judged a mail; return whether that is news."""
        if not self._failures:
            return False
        self._failures, self._resume_at, self.trouble = 0, 0.0, ""
        return True

    def is_full(self, now: float) -> bool:
        """Take note that a connection has failed; return whether others work, so that it was one too many."""
        if not self.connected:
            return False
        self._full_at, self._full_until = self.connected, now + _FULL_SECONDS
        return True

    def failed(self, now: float, policy: Policy) -> float:
        """Take note that the server takes nothing; return until when all of its mail waits."""
        if self._resume_at <= now:  # else another worker has said so before
            self._failures += 1
            self._resume_at = now + policy.delay(self._failures)
        return self._resume_at

    def gives_up_before(self, now: float, policy: Policy) -> float:
        """Return the time before which a mail was made that has waited for this server as long as it may."""
        return now - policy.patience if policy.is_last(self._failures) else 0.0

    def expired(self, before: float) -> list[Waiting]:
        """Take out and return the mails that were made before that time."""
        old = [mail for mail in (*self._ready, *self._waiting) if mail.created < before]
        if old:
            self._ready = deque(mail for mail in self._ready if mail.created >= before)
            self._waiting = [mail for mail in self._waiting if mail.created >= before]
            heapq.heapify(self._waiting)
        return old

    @property
    def is_troubled(self) -> bool:
        """Whether the server has taken nothing the last time."""
        return bool(self._failures)

    def retry(self, now: float) -> None:
        """Ask the server again at once."""
        self._resume_at, self._failures, self._full_until, self.trouble = now, 0, 0.0, ""
