"""What waits for a thread or a greenlet: who is next, and who has waited in vain.

Each mount has a line. Lines that share threads take turns, so that a long one does not hold up the others.
While a server keeps up, a line is served in order. Where its first has waited for a tenth of
``queue_timeout``, the newest is served first: it still has the patience that the others have used up.
docs/decisions.md has the figures.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Protocol

import attrs
from twisted.logger import Logger

from skitai.loop import native

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

_log = Logger()

Task = Callable[[], None]
#: Calls a function in a number of seconds: the reactor's way.
CallLater = Callable[[float, Callable[[], None]], "IDelayedCall"]

#: The share of ``queue_timeout`` after which the newest is served first.
_STANDING = 0.1
#: Seconds between two looks for those who have left, and between a look and the next at least.
_LOOK_SECONDS, _LOOK_SECONDS_MIN = 0.1, 0.01


class Client(Protocol):
    """Who waits for an answer."""

    #: Whether the client may have left: ``Waiter.has_left`` says whether it counts as that.
    leaving: bool


class Waiter(Protocol):
    """A request that may be refused as long as it waits."""

    request: Client
    #: Since when it waits: ``Lines`` writes it.
    since: float

    def run(self) -> None:
        """Begin, where apps run."""

    def has_left(self, standing: bool) -> bool:
        """Return whether nobody wants it any more; ``standing`` is whether the line does not keep up.

        It is asked where ``request.leaving``. Called in any thread; it must not wait.
        """

    def refuse(self) -> None:
        """End it without having begun: it has waited too long, or nobody wants it. Reactor thread."""


@attrs.frozen
class Limits:
    """How many may wait in a line, and for how many seconds; ``inf`` and 0: there is no limit."""

    queue_max: float = inf
    queue_timeout: float = 0.0


NO_LIMITS = Limits()


class Line:
    """Those who wait at one mount, and what became of the others: plain figures, read in any thread.

    ``name`` is the mount point. ``waited`` is how many seconds those who have begun had waited in all: after
    the end of the turn in which they came. ``full``, ``late`` and ``left`` count requests that were refused
    because too many waited, that had waited too long, and that were not begun because their clients had left.
    """

    __slots__ = (
        "_lines",
        "came",
        "full",
        "held",
        "late",
        "left",
        "most",
        "name",
        "room",
        "standing_after",
        "timeout",
        "waited",
        "waiting",
    )

    def __init__(self, lines: Lines, name: str, limits: Limits) -> None:
        self.name = name
        #: How many were handed out.
        self.came = 0
        self.full = self.late = self.left = 0
        self.waited = 0.0
        self.most, self.timeout = limits.queue_max, limits.queue_timeout or inf
        #: Seconds after which the newest is served first. Without a time-out those who wait longest might
        #: wait for ever.
        self.standing_after = self.timeout * _STANDING
        #: How many may be held before ``is_full`` must be asked.
        self.room = self.most
        self._lines = lines
        #: What is handed out when the reactor's turn ends, and what was handed out and has not begun.
        self.held: deque[Waiter] = deque()
        self.waiting: deque[Waiter] = deque()

    @property
    def begun(self) -> int:
        """How many have begun."""
        return self.came - len(self.waiting) - self.late - self.left

    @property
    def queued(self) -> int:
        """How many wait."""
        return len(self.waiting) + len(self.held)

    @property
    def is_full(self) -> bool:
        """Whether one more would be too many. Read in the reactor thread."""
        queued = len(self.waiting) + len(self.held)
        # For as many as could begin there is a thread at the end of the turn.
        return queued >= self.most and queued >= self.most + self._lines.idle()

    def submit(self, waiter: Waiter) -> None:
        """Have ``waiter`` begin as soon as it is its turn. Called in the reactor thread."""
        held = self.held
        held.append(waiter)
        if len(held) == 1:
            self._lines.due.append(self)
            if len(self._lines.due) == 1:
                self._lines.wake()

    # -- called by Lines, which holds its lock ---------------------------------------------------------------

    def next(self, now: float, gone: list[Waiter]) -> Waiter | None:
        """Take the next one out; append to ``gone`` whom nobody wants any more. None: all have left.

        ``Lines.take`` does the same by itself where the next is the first, and stays.
        """
        waiting = self.waiting
        while waiting:
            waiter = waiting.popleft()
            waited = now - waiter.since
            standing = waited > self.standing_after
            if standing:
                waiting.appendleft(waiter)
                waiter = waiting.pop()
                waited = now - waiter.since
            if waiter.request.leaving and waiter.has_left(standing):
                self.left += 1
                gone.append(waiter)
                continue
            self.waited += waited
            return waiter
        return None

    def sweep(self, now: float, gone: list[Waiter]) -> None:
        """Take those out, and append them to ``gone``, who have waited too long or have left."""
        waiting = self.waiting
        standing = now - waiting[0].since > self.standing_after
        while waiting and now - waiting[0].since >= self.timeout:
            self.late += 1
            gone.append(waiting.popleft())
        left = [waiter for waiter in waiting if waiter.request.leaving and waiter.has_left(standing)]
        if left:
            self.left += len(left)
            gone.extend(left)
            kept = set(map(id, left))
            self.waiting = deque(waiter for waiter in waiting if id(waiter) not in kept)


class _Server:
    """The client of what the server does for itself: it stays."""

    leaving = False


class _Task:
    """What is done in any case."""

    __slots__ = ("run", "since")
    request: Client = _Server()
    since: float

    def __init__(self, run: Task) -> None:
        self.run = run

    def has_left(self, standing: bool) -> bool:  # noqa: ARG002 - a Waiter
        """Return that it is wanted."""
        return False

    def refuse(self) -> None:
        """Never called: its line has no limits."""


class Lines:
    """The lines before one executor.

    ``wake()`` is called when something was submitted: ``hand_out`` is to be called when the reactor's turn
    ends. ``idle()`` returns how many could begin at once; ``inf`` if only the turn shows it: then ``trim`` is
    to be called at its end. ``call_later`` is the reactor's; without it nobody is refused for having waited
    too long. ``seconds`` is the clock.
    """

    def __init__(
        self,
        wake: Callable[[], object],
        idle: Callable[[], float],
        call_later: CallLater | None = None,
        seconds: Callable[[], float] = monotonic,
    ) -> None:
        self.idle = idle
        self.seconds = seconds
        #: Has ``hand_out`` called when the turn ends: whoever puts the first line in ``due`` calls it.
        self.wake = wake
        self._call_later = call_later
        self._timer: IDelayedCall | None = None
        self._lock = native.Lock()
        #: Lines with something held, and lines with something handed out, the next in turn first.
        self.due: list[Line] = []
        self.active: deque[Line] = deque()
        #: How many were handed out, and then taken out again without a call of ``take``.
        self._surplus = 0
        self._gone: list[Waiter] = []
        self._is_looking = self._is_used = False
        # The ends of responses, loads, messages of websockets.
        self._tasks = Line(self, "", NO_LIMITS)
        self._lines = [self._tasks]

    def line(self, name: str, limits: Limits) -> Line:
        """Return a new line. Called before the start."""
        line = Line(self, name, limits)
        self._lines.append(line)
        return line

    def __iter__(self) -> Iterator[Line]:
        """Iterate over the lines of mounts."""
        return iter(self._lines[1:])

    # -- in the reactor thread ------------------------------------------------------------------------------

    def submit(self, task: Task) -> None:
        """Have ``task`` begin as soon as it is its turn, however long that takes."""
        self._tasks.submit(_Task(task))

    def take_held(self) -> tuple[Line, deque[Waiter]] | None:
        """Take what was submitted in this turn past its line, if nobody else waits; None if there is none.

        ``give_back`` undoes that at the end of the turn: what begins in a turn has not waited.
        """
        if self.active or len(self.due) != 1:
            return None
        line = self.due.pop()
        held, line.held = line.held, deque()
        line.came += len(held)
        return line, held

    def give_back(self, line: Line, waiters: deque[Waiter], since: float) -> None:
        """Put ``waiters`` in ``line``, for whom the turn that began at ``since`` had no time."""
        for waiter in waiters:
            waiter.since = since
        line.waiting.extend(waiters)
        line.room = line.most - len(line.waiting)
        self.active.append(line)
        self._look_soon()

    def hand_out(self) -> int:
        """Let what was submitted begin; return how many calls of ``take`` that needs."""
        due, self.due = self.due, []
        count, now = 0, self.seconds()
        with self._lock:
            for line in due:
                held, line.held = line.held, deque()
                count += len(held)
                for waiter in held:
                    waiter.since = now
                if not line.waiting:
                    self.active.append(line)
                line.waiting.extend(held)
                line.came += len(held)
                line.room = line.most - len(line.waiting)
            spent = min(count, self._surplus)
            self._surplus -= spent
        self._look_soon()
        return count - spent

    def trim(self) -> None:
        """Refuse the newest of those who have not begun where more wait than may."""
        gone = []
        with self._lock:
            for line in self.active:
                while len(line.waiting) > line.most:
                    gone.append(line.waiting.pop())
                    line.came -= 1
                    line.full += 1
            self._surplus += len(gone)
            self._drop_empty()
        _refuse(gone)

    def look(self) -> None:
        """Refuse those who have waited too long, and let go of those who have left."""
        now = self.seconds()
        with self._lock:
            before = len(self._gone)
            for line in self.active:
                line.sweep(now, self._gone)
            self._surplus += len(self._gone) - before
            self._drop_empty()
            gone, self._gone = self._gone, []
        _refuse(gone)

    def _drop_empty(self) -> None:
        self.active = deque(line for line in self.active if line.waiting)

    def _look_soon(self) -> None:
        self._is_used = True
        if not self._is_looking:
            self._look_later()

    def _look_later(self) -> None:
        if self._call_later is not None:
            self._is_looking = True
            self._timer = self._call_later(self._pause(), self._look_again)

    def stop(self) -> None:
        """Look no more: what still waits begins, or is let go by others. Called in the reactor thread."""
        self._call_later = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _look_again(self) -> None:
        self._is_looking = False
        self.look()
        # One timer in a while, and none in a server that has nothing to do.
        if self.active or self._is_used:
            self._is_used = False
            self._look_later()

    def _pause(self) -> float:
        """Return the seconds until the next look: to the moment when somebody will have waited too long."""
        now = self.seconds()
        with self._lock:
            ends = [line.waiting[0].since + line.timeout - now for line in self.active]
        return max(min([_LOOK_SECONDS, *ends]), _LOOK_SECONDS_MIN)

    # -- in any thread --------------------------------------------------------------------------------------

    @property
    def queued(self) -> int:
        """How many wait."""
        return sum(line.queued for line in self._lines)

    def longest_wait(self) -> float:
        """Return for how many seconds the first of all has waited; 0 if nobody waits."""
        now = self.seconds()
        with self._lock:
            return max((now - line.waiting[0].since for line in self.active), default=0.0)

    def take(self, now: float) -> Task | None:
        """Return what is to begin at the time ``now``; None if it was refused or has left meanwhile."""
        with self._lock:
            active = self.active
            while active:
                line = active[0]
                waiting = line.waiting
                first = waiting[0]
                waited = now - first.since
                if waited > line.standing_after or first.request.leaving:
                    gone = len(self._gone)
                    waiter = line.next(now, self._gone)
                    self._surplus += len(self._gone) - gone
                else:
                    waiter = waiting.popleft()
                    line.waited += waited
                if not waiting:
                    active.popleft()
                elif len(active) > 1:
                    active.rotate(-1)
                if waiter is not None:
                    return waiter.run
            self._surplus = max(self._surplus - 1, 0)
            return None


def _refuse(waiters: Iterable[Waiter]) -> None:
    for waiter in waiters:
        try:
            waiter.refuse()
        except Exception:  # noqa: BLE001 - the others wait for their answer, too
            _log.failure("a request that waited cannot be refused")
