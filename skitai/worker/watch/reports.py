"""What the log says of code that blocks and of threads that are busy."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
from twisted.logger import Logger

from skitai.worker.watch.queues import Refusals
from skitai.worker.watch.stacks import Stack

_log = Logger()

#: How one and many are, and were.
_BE = {(True, False): "is", (False, False): "are", (True, True): "was", (False, True): "were"}

#: Takes what is to be logged when the frames have been let go: meanwhile other threads may run.
Say = Callable[[Callable[[], None]], object]


@attrs.frozen
class Busy:
    """A thread that runs a task: where it is (None if it has just ended), and for how many seconds."""

    stack: Stack | None
    seconds: float

    def __str__(self) -> str:
        if self.stack is None:
            return f"has ended a task after {self.seconds:.1f} s"
        return f"{_subject(self.stack)}, for {self.seconds:.1f} s{_where(self.stack)}"


def report_blocked(stack: Stack, seconds: float) -> None:
    """Log that the reactor is held up in ``stack``, for ``seconds`` up to now."""
    _log.warn(
        "{task} has held up all other requests for {seconds:.2f} s so far, at {place}\n{stack}",
        task=_subject(stack),
        seconds=seconds,
        place=stack.place,
        stack=stack.shown(),
    )


def report_slow(busy: Busy) -> None:
    """Log that a request takes long in its thread."""
    if busy.stack is not None:
        _log.warn("slow: {busy}\n{stack}", busy=str(busy), stack=busy.stack.shown())


def report_all_busy(
    mounts: Iterable[str], threads: int, tasks: Iterable[Busy], waiting: int, refused: int
) -> None:
    """Log that ``waiting`` tasks wait long for a thread, that some were refused, and what all threads do.

    ``mounts`` are the mount points that share the ``threads``. Some of these may run no task any more.
    """
    lines = [str(task) for task in tasks]
    is_over = len(lines) < threads
    _log.warn(
        "{threads} of {mounts} {were} busy, and requests {waited} too long ({waiting} wait, {refused} got"
        " 503 so far): raise `threads`, or see what takes long{lines}",
        threads="the only thread" if threads == 1 else f"all {threads} threads",
        mounts=", ".join(mounts),
        were=_BE[threads == 1, is_over],
        waited="waited" if is_over else "wait",
        waiting=waiting,
        refused=refused,
        lines="".join(f"\n{line}" for line in lines),
    )


def report_crowded(mounts: Iterable[str], waiting: int, refused: int) -> None:
    """Log that ``waiting`` tasks wait long for their turn in the reactor's thread, and some were refused."""
    _log.warn(
        "requests of {mounts} wait too long ({waiting} wait, {refused} got 503 so far): one thread cannot do"
        " what they compute; see what takes long, or raise `threads` or `processes`",
        mounts=", ".join(mounts),
        waiting=waiting,
        refused=refused,
    )


def report_over(mounts: Iterable[str], refusals: Refusals, seconds: float) -> None:
    """Log that requests do not wait long any more, and what became of those that did."""
    _log.warn(
        "requests of {mounts} do not wait too long any more: in {seconds:.0f} s, {refused} got 503 ({late}"
        " after waiting, {full} at once), and {left} were not begun because their clients had left",
        mounts=", ".join(mounts),
        seconds=seconds,
        refused=refusals.refused,
        late=refusals.late,
        full=refusals.full,
        left=refusals.left,
    )


def _subject(stack: Stack) -> str:
    return stack.task or "code outside of requests"


def _where(stack: Stack) -> str:
    return f", {stack.waits}, at {stack.place}" if stack.waits else f", at {stack.place}"
