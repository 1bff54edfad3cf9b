"""All mail that waits in the spool, by server: an index in memory that threads share."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition, RLock
from time import monotonic

from skitai.daemon.mail.lanes import Lane, Waiting
from skitai.daemon.mail.retries import Policy
from skitai.mail.envelope import Server

#: The server that a mail is for: its own, or (None) that of the configuration.
Key = Server | None

#: Threads in all, however many servers the mails name. They never keep the server of the configuration from
#: its own, which are few: those servers may be dead.
_WORKERS_MAX = 128


class Queue:
    """Knows which mail is next. Every method may be called in any thread.

    ``clock`` gives seconds since the epoch. ``hire(key)`` is called when a further worker for that server is
    wanted, which then calls ``take`` until that returns None, and ``left`` in any case. ``changed()`` is
    called when ``next_time`` may have become another one.
    """

    def __init__(
        self, clock: Callable[[], float], hire: Callable[[Key], object], changed: Callable[[], object]
    ) -> None:
        self._clock = clock
        self._hire = hire
        self._changed = changed
        self._lock = RLock()
        self._known: set[str] = set()
        self._lanes: dict[Key, Lane] = {}
        self._conditions: dict[Key, Condition] = {}
        self._limits = (1, 0)
        self._is_stopping = False

    def __len__(self) -> int:
        """How many mails are known, those in hand, too."""
        with self._lock:
            return len(self._known)

    def due(self) -> int:
        """Return how many mails are to be sent now, those in hand among them."""
        with self._lock:
            return sum(lane.due(self._clock()) for lane in self._lanes.values())

    def limit(self, connections: int, rate: int) -> None:
        """Set the limits for each server."""
        with self._lock:
            self._limits = (connections, rate)
            for lane in self._lanes.values():
                lane.connections, lane.rate = connections, rate

    # -- mails come and go ---------------------------------------------------------------------------------

    def knows(self, id: str) -> bool:  # noqa: A002 - as everywhere in the spool
        """Return whether the mail is here, or in somebody's hand."""
        return id in self._known

    def add(self, key: Key, mail: Waiting) -> None:
        """Take a mail that is new, or one that waits and is due now; one in hand is left alone."""
        with self._lock:
            lane = self._lane(key)
            if mail.id in self._known and not lane.remove(mail.id):
                return
            self._known.add(mail.id)
            self._put(key, mail)

    def later(self, key: Key, mail: Waiting) -> None:
        """Take back a mail that is to be tried at ``mail.at``."""
        with self._lock:
            self._put(key, mail)

    def put_back(self, key: Key, mail: Waiting) -> None:
        """Take back a mail that was not tried."""
        with self._lock:
            self._lane(key).put_back(mail)
            self._wake(key)

    def forget(self, id: str) -> None:  # noqa: A002
        """The mail is gone, or in another agent's hand."""
        with self._lock:
            self._known.discard(id)

    def _put(self, key: Key, mail: Waiting) -> None:
        self._lane(key).add(mail, self._clock())
        self._wake(key)

    def _lane(self, key: Key) -> Lane:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(*self._limits)
            self._conditions[key] = Condition(self._lock)
        return lane

    def _wake(self, key: Key) -> None:
        """See that somebody takes the next mail of the lane, or that a timer is set for it."""
        lane = self._lanes[key]
        self._conditions[key].notify()
        if not self._start_worker(key, lane):
            self._changed()

    def _start_worker(self, key: Key, lane: Lane) -> bool:
        if self._is_stopping or not lane.wants_worker(self._clock()):
            return False
        if key is not None and sum(each.workers for each in self._lanes.values()) >= _WORKERS_MAX:
            return False
        lane.workers += 1
        self._hire(key)
        return True

    def start_workers(self) -> None:
        """Hire whom the mails want that are due by now."""
        with self._lock:
            for key, lane in self._lanes.items():
                while self._start_worker(key, lane):
                    pass

    def next_time(self) -> float | None:
        """Return when ``start_workers`` is to be called next, in seconds since the epoch; None if never."""
        with self._lock:
            now = self._clock()
            times = [lane.next_time(now) for lane in self._lanes.values()]
        return min((time for time in times if time is not None), default=None)

    # -- workers -------------------------------------------------------------------------------------------

    def take(self, key: Key, patience: float) -> Waiting | None:
        """Return the next mail, waiting for one up to ``patience`` seconds; None ends the worker.

        When it has dealt with the mail, it calls ``free``.
        """
        ends = monotonic() + patience
        with self._lock:
            lane = self._lane(key)
            while not self._is_stopping:
                found = lane.take(self._clock())
                if isinstance(found, Waiting):
                    lane.busy += 1
                    return found
                left = ends - monotonic()
                if left <= 0 or (found is not None and found > left):
                    return None  # the timer starts another in time
                self._conditions[key].wait(left if found is None else found)
            return None

    def free(self, key: Key) -> None:
        """A worker has no mail in hand any more."""
        with self._lock:
            self._lane(key).busy -= 1

    def left(self, key: Key) -> None:
        """A worker has ended."""
        with self._lock:
            lane = self._lane(key)
            lane.workers -= 1
            if not lane.workers and not len(lane) and not lane.is_troubled and key is not None:
                del (
                    self._lanes[key],
                    self._conditions[key],
                )  # else a lane would stay for each server of a mail
            self.start_workers()
            self._changed()

    @property
    def workers(self) -> int:
        """How many workers there are."""
        with self._lock:
            return sum(lane.workers for lane in self._lanes.values())

    def stop(self) -> None:
        """Give out no mail any more."""
        with self._lock:
            self._is_stopping = True
            for condition in self._conditions.values():
                condition.notify_all()

    @property
    def is_stopping(self) -> bool:
        """Whether ``stop`` was called."""
        return self._is_stopping

    # -- servers -------------------------------------------------------------------------------------------

    def connected(self, key: Key, change: int) -> None:
        """A worker has got (1) or lost (-1) its connection."""
        with self._lock:
            self._lane(key).connected += change

    def expired(self, key: Key, before: float) -> list[Waiting]:
        """Take out and return the mails for the server that were made before that time."""
        with self._lock:
            return self._lane(key).expired(before)

    def works(self, key: Key) -> bool:
        """The server takes mail; return whether it did not before."""
        with self._lock:
            is_news = self._lane(key).works()
            if is_news:
                self.start_workers()
            return is_news

    def is_full(self, key: Key) -> bool:
        """A connection has failed; return whether others work, so that it was one too many."""
        with self._lock:
            return self._lane(key).is_full(self._clock())

    def failed(self, key: Key, trouble: str, policy: Policy) -> tuple[float, bool, float]:
        """The server takes nothing, and has said ``trouble``.

        Return until when its mail waits, whether ``trouble`` is news, and before which time a mail was
        made that is to be given up now.
        """
        with self._lock:
            lane, now = self._lane(key), self._clock()
            is_news, lane.trouble = lane.trouble != trouble, trouble
            until = lane.failed(now, policy)
            return until, is_news, lane.gives_up_before(now, policy)

    def retry(self) -> None:
        """Ask all servers again at once, whatever they have said."""
        with self._lock:
            for lane in self._lanes.values():
                lane.retry(self._clock())
            self.start_workers()
            self._changed()
