"""Who is wanted, who is replaced, and when: the rules of a supervisor, without processes or clocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import Protocol

import attrs

from skitai.daemon.supervisor.pauses import STARTED_SECONDS, Pauses
from skitai.processes import State
from skitai.processes.orders import EXIT_CONFIG

#: Seconds that a hung worker has to write down where it is, before it is killed.
STACKS_SECONDS = 1.0
#: How many times ``worker_timeout`` a worker may take for its start.
_START_FACTOR = 10
#: Generations that may have workers which still end. Those of older ones are hurried.
DRAINING_GENERATIONS_MAX = 2
#: How much earlier than its limit a worker may be replaced: all have the same limit, and began together.
_JITTER = 0.2


@attrs.frozen
class Limits:
    """What a generation wants: how many workers, and what each may use; 0 for no limit.

    Times are in seconds. ``end_seconds`` is what a worker may take to end before it is killed.
    """

    processes: int
    worker_timeout: float = 0.0
    end_seconds: float = 30.0
    max_requests: int = 0
    max_memory: int = 0


@attrs.frozen
class Seen:
    """What the board says of a worker."""

    heartbeat: float = 0.0
    requests: int = 0
    memory: int = 0


@attrs.define(eq=False)
class Worker:
    """A worker, from the order to fork it to its end. Times are by the supervisor's clock, in seconds."""

    slot: int
    generation: int
    began: float
    limits: Limits
    max_requests: float = inf
    max_memory: float = inf
    pid: int = 0
    state: State = State.STARTING
    ready_at: float = 0.0
    #: It is to be replaced when another one is ready.
    is_outworn: bool = False
    #: When it is killed.
    kill_at: float = inf
    #: Whether it was asked for the stacks of its threads, because it hangs.
    is_asked: bool = False
    is_killed: bool = False

    @property
    def stays(self) -> bool:
        """Whether it serves, or soon will."""
        return self.state is not State.DRAINING


class Hands(Protocol):
    """What the roster has done to processes."""

    def fork(self, worker: Worker) -> None:
        """Have the nursery of ``worker.generation`` fork it."""

    def ask_to_end(self, worker: Worker) -> None:
        """Ask a worker to end in good order; the second time, at once."""

    def kill(self, worker: Worker) -> None:
        """End a worker, whatever it does."""

    def ask_for_stacks(self, worker: Worker) -> None:
        """Have a worker write down what its threads do."""

    def say(self, text: str, *, is_bad: bool = False) -> None:
        """Write a line to the log."""

    def refused(self, generation: int, reason: str, status: int) -> None:
        """Take note that ``generation`` does not come to serve.

        ``status`` is the exit status of a server that has no other one.
        """

    def retire(self, generation: int) -> None:
        """Let the nursery of ``generation`` end: it forks no more workers, and has none."""


class Roster:
    """The workers of a server. ``slots()`` returns the numbers of free slots; ``random`` numbers from 0 to 1.

    The ``current`` generation serves. Another one, the ``candidate``, replaces it when its first worker is
    ready: then its workers come one by one, and one of the others goes whenever one of them is ready. All
    methods may call the ``hands``, and are told the time ``now``.
    """

    def __init__(self, hands: Hands, slots: Callable[[], Iterable[int]], random: Callable[[], float]) -> None:
        self.workers: dict[int, Worker] = {}
        self.current: int | None = None
        self.candidate: int | None = None
        #: How many workers there are to be.
        self.count = 0
        self.is_ending = False
        self._hands = hands
        self._slots = slots
        self._random = random
        self._limits: dict[int, Limits] = {}
        self._pauses = Pauses(random)
        #: Heartbeats before this time do not count against anybody: the supervisor itself was stopped.
        self._spared = 0.0

    # -- generations ---------------------------------------------------------------------------------------

    def nominate(self, generation: int, limits: Limits, now: float) -> None:
        """Take note that ``generation`` is loaded and can fork."""
        if self.candidate is not None:
            self._refuse(self.candidate, "something newer was loaded meanwhile")
        self.candidate, self._limits[generation] = generation, limits
        if self.current is None:  # there is nothing to keep
            self._promote(generation, now)
        self.settle(now)

    def _promote(self, generation: int, now: float) -> None:
        self.current, self.candidate = generation, None
        self.count = self._limits[generation].processes
        self._pauses.reset()
        draining = {worker.generation for worker in self.workers.values() if not worker.stays}
        for old in sorted(draining)[:-DRAINING_GENERATIONS_MAX]:
            for worker in self._of(old):
                self._hurry(worker, now)

    def _refuse(self, generation: int, reason: str) -> None:
        self.candidate = None
        for worker in self._of(generation):  # they have served nobody
            worker.state = State.DRAINING
            self._hands.kill(worker)
        self._hands.refused(generation, reason, EXIT_CONFIG)
        self._retire_unused()

    def lose(self, generation: int, now: float) -> None:
        """Take note that the nursery of ``generation`` is gone: its workers end by themselves."""
        for worker in self._of(generation):
            worker.state, worker.kill_at = State.DRAINING, now + worker.limits.end_seconds
        if generation == self.candidate:
            self._refuse(generation, "its process is gone")
        if generation == self.current:
            self.current = None
        self._limits.pop(generation, None)

    def _retire_unused(self) -> None:
        used = {self.current, self.candidate, *(worker.generation for worker in self.workers.values())}
        for generation in [each for each in self._limits if each not in used]:
            del self._limits[generation]
            self._hands.retire(generation)

    # -- what becomes of workers ---------------------------------------------------------------------------

    def ready(self, slot: int, failed: Iterable[str], now: float) -> None:
        """Take note that a worker serves; ``failed`` says which of its apps cannot be loaded."""
        worker = self.workers.get(slot)
        if worker is None or worker.state is not State.STARTING:
            return
        worker.state, worker.ready_at = State.READY, now
        if worker.generation == self.candidate:
            reasons = list(failed)
            if reasons:
                self._refuse(worker.generation, "\n".join(reasons))
            else:
                self._promote(worker.generation, now)
        self.settle(now)

    def gone(self, slot: int, reason: str, now: float, *, is_final: bool = False) -> None:
        """Take note that a worker has ended: ``reason`` says how.

        ``is_final`` is whether the others would end for the same reason.
        """
        worker = self.workers.pop(slot, None)
        if worker is None:
            return
        if worker.generation == self.candidate:
            self._refuse(worker.generation, f"its first worker ended at its start: {reason}")
        elif worker.stays and not self.is_ending:
            self._missed(worker, reason, now, is_final=is_final)
        self._retire_unused()
        self.settle(now)

    def _missed(self, worker: Worker, reason: str, now: float, *, is_final: bool) -> None:
        started = worker.state is State.READY and now - worker.ready_at >= STARTED_SECONDS
        said = f"worker {worker.slot} (pid {worker.pid}) is gone: {reason}"
        if started:
            self._hands.say(f"{said}; it is replaced", is_bad=True)
            return
        if is_final and self._was_never_served(worker.generation):
            self._hands.refused(worker.generation, f"a worker ended at its start: {reason}", EXIT_CONFIG)
            return
        seconds = self._pauses.failed(now)
        after = f"in {seconds:.1f} s, after {self._pauses.failures} that ended at their start"
        self._hands.say(f"{said}; it is replaced{f' {after}' if seconds else ''}", is_bad=True)

    def _was_never_served(self, generation: int) -> bool:
        return not any(worker.ready_at for worker in self.workers.values()) and generation == self.current

    def _drain(self, worker: Worker, now: float) -> None:
        if worker.stays:
            worker.state = State.DRAINING
            worker.kill_at = now + worker.limits.end_seconds
            self._hands.ask_to_end(worker)

    def _hurry(self, worker: Worker, now: float) -> None:
        self._hands.ask_to_end(worker)
        worker.kill_at = min(worker.kill_at, now + 2 * STACKS_SECONDS)

    def settle(self, now: float) -> None:
        """Fork who is missing, and let go of who is not wanted any more."""
        if self.is_ending:
            return
        if self.candidate is not None and not self._of(self.candidate):
            self._fork(self.candidate, now)
        if self.current is None:
            return
        staying = [
            worker for worker in self.workers.values() if worker.stays and worker.generation != self.candidate
        ]
        fresh = [worker for worker in staying if self._is_fresh(worker)]
        lacking = self.count - len(staying)
        if lacking <= 0 and all(worker.state is State.READY for worker in staying):
            lacking = 1  # the first of those that replace others
        if now >= self._pauses.until:
            for _ in range(min(self.count - len(fresh), lacking)):
                self._fork(self.current, now)
        ready = [worker for worker in staying if worker.state is State.READY]
        ready.sort(key=lambda worker: (self._is_fresh(worker), worker.generation, -worker.slot))
        for worker in ready[: max(len(ready) - self.count, 0)]:
            self._drain(worker, now)

    def _is_fresh(self, worker: Worker) -> bool:
        return worker.generation == self.current and not worker.is_outworn

    def _fork(self, generation: int, now: float) -> None:
        slot = next(iter(self._slots()), None)
        if slot is None:
            return  # some will be free when workers that drain have ended
        limits = self._limits[generation]
        worker = Worker(slot, generation, now, limits)
        jitter = 1 - _JITTER * self._random()
        if limits.max_requests:
            worker.max_requests = limits.max_requests * jitter
        if limits.max_memory:
            worker.max_memory = limits.max_memory * jitter
        self.workers[slot] = worker
        self._hands.fork(worker)

    def _of(self, generation: int) -> list[Worker]:
        return [worker for worker in self.workers.values() if worker.generation == generation]

    # -- now and then --------------------------------------------------------------------------------------

    def spare(self, now: float) -> None:
        """Count no heartbeat that was missed until ``now``: the supervisor itself did not run."""
        self._spared = now

    def look(self, seen: Callable[[Worker], Seen], now: float) -> None:
        """Judge all workers by what the board says of them, and by the time."""
        for worker in list(self.workers.values()):
            figures = seen(worker)
            if worker.state is State.READY:
                if now - worker.ready_at >= STARTED_SECONDS:
                    self._pauses.started(worker.began)
                self._judge_use(worker, figures)
            if now >= worker.kill_at:
                self._kill(worker)
            elif worker.limits.worker_timeout and worker.stays:
                self._judge_heartbeat(worker, figures.heartbeat, now)
        self.settle(now)

    def _kill(self, worker: Worker) -> None:
        self._hands.kill(worker)
        if not worker.is_killed:
            worker.is_killed = True
            late = "did not end in time" if worker.state is State.DRAINING else "hangs"
            self._hands.say(f"worker {worker.slot} (pid {worker.pid}) {late}: it is killed", is_bad=True)

    def _judge_use(self, worker: Worker, figures: Seen) -> None:
        if worker.is_outworn:
            return
        if figures.requests >= worker.max_requests:
            used = f"{figures.requests} requests"
        elif figures.memory >= worker.max_memory:
            used = f"{figures.memory >> 20} MB"
        else:
            return
        worker.is_outworn = True
        self._hands.say(f"worker {worker.slot} (pid {worker.pid}) is replaced after {used}")

    def _judge_heartbeat(self, worker: Worker, heartbeat: float, now: float) -> None:
        factor = _START_FACTOR if worker.state is State.STARTING else 1
        since = max(heartbeat, worker.began, self._spared)
        silent = now - since > worker.limits.worker_timeout * factor
        if not silent:
            if worker.is_asked:  # it was slow, and no more
                worker.is_asked, worker.kill_at = False, inf
            return
        if not worker.is_asked and worker.pid:
            worker.is_asked = True
            worker.kill_at = now + STACKS_SECONDS
            self._hands.ask_for_stacks(worker)

    # -- by order ------------------------------------------------------------------------------------------

    def resize(self, by: int, now: float) -> None:
        """Have more or fewer workers, but at least one, until the next generation."""
        self.count = max(self.count + by, 1)
        self.settle(now)

    def end(self, now: float, *, at_once: bool = False) -> None:
        """Let all workers end; ``at_once``: kill them."""
        self.is_ending = True
        for worker in self.workers.values():
            if at_once:
                self._hands.kill(worker)
            else:
                self._drain(worker, now)
        self._retire_unused()
