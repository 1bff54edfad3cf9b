"""The supervisor at work: it waits for signals, nurseries and workers, and does what the roster decides."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from twisted.logger import Logger

from skitai.daemon.mail.keeping import AgentKeeper
from skitai.daemon.notify import Notifier
from skitai.daemon.relief.standin import StandIn
from skitai.daemon.supervisor.crew import Crew, reason_of
from skitai.daemon.supervisor.generations import Generations
from skitai.daemon.supervisor.hub import HubKeeper
from skitai.daemon.supervisor.nurseries import Nursery
from skitai.daemon.supervisor.pauses import Pauses
from skitai.daemon.supervisor.roster import Limits, Roster, Seen, Worker
from skitai.daemon.supervisor.sockets import Sockets
from skitai.loop.native import DefaultSelector
from skitai.processes import Board
from skitai.processes.family import adopt_orphans
from skitai.processes.link import LinkClosedError
from skitai.processes.orders import BLOCKED, EXIT_CONFIG, HURRY, LEAVE, READY, SERVE, said_of
from skitai.processes.rotation import Period, RotatedLog, Rotation
from skitai.processes.signals import Signals, ignored_from_start
from skitai.processes.terminal import Terminal

_log = Logger()

_READ = 1
#: Seconds between two looks at the board.
_LOOK_SECONDS = 0.5
#: Seconds that the supervisor itself was late, from which on heartbeats of that time do not count.
_LATE_SECONDS = 2.0
#: Seconds that a stand-in has for its end where the workers never came to serve.
_STAND_IN_SECONDS = 5.0
#: The slots of the board: for all workers, those that replace them, and those that still end.
_SLOTS = 256


class Supervisor:
    """Keeps the workers of one server running, until it is told to end.

    ``command`` starts a nursery. ``sockets`` are those of before. ``reopen()`` opens the log anew.
    ``stand_in`` serves until the workers do. ``run`` returns the exit status.
    """

    def __init__(
        self,
        command: Sequence[str],
        sockets: Sockets,
        notifier: Notifier,
        reopen: Callable[[], object],
        stand_in: StandIn | None = None,
    ) -> None:
        self._notifier = notifier
        self._reopen = reopen
        self._stand_in = stand_in
        self._selector = DefaultSelector()
        self._watched: dict[Any, Any] = {}
        self._board = Board.given(os.environ) or Board.create(_SLOTS)
        self._crew = Crew(self._board, self, self._listen)
        self._roster = Roster(self, self._free_slots, random.random)
        self._generations = Generations(command, sockets, self._board, self, self)
        self._hub = HubKeeper(self.watch, self.unwatch)
        self._mail = AgentKeeper()
        #: How long to wait where nurseries cannot be had while none is there.
        self._pauses = Pauses(random.random)
        self._status = 0
        self._is_leaving = self._was_served = self._is_fast = False
        self._sign_at = 0.0
        self._rotation = Rotation((), keep=0, reopen=self._reopen_logs)

    # -- the loop ------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Serve until a signal, or an app, ends it. Returns the exit status. Called in the main thread."""
        adopt_orphans()
        terminal = Terminal(self._load_anew, self._end_with_terminal)
        handlers: dict[int, Callable[[], None]] = {
            signal.SIGTERM: self._leave,
            signal.SIGINT: self._leave,
            signal.SIGQUIT: self._leave_at_once,
            signal.SIGHUP: terminal.hung_up,
            signal.SIGUSR1: self._reopen_logs,
            signal.SIGUSR2: lambda: None,
            signal.SIGTTIN: lambda: self._resize(1),
            signal.SIGTTOU: lambda: self._resize(-1),
            signal.SIGCHLD: self._reap,
        }
        signals = Signals(handlers.keys() - ignored_from_start())
        self.watch(signals, lambda: [handlers[number]() for number in signals.taken()])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)
        self._generations.load()
        look_at = monotonic() + _LOOK_SECONDS
        while not (self._is_leaving and not self._roster.workers and self._mail.is_over):
            for key, _ in self._selector.select(max(look_at - monotonic(), 0)):
                if self._watched.get(key.fileobj) is key:  # else one before has let go of it
                    key.data()
            now = monotonic()
            if now >= look_at:
                if now - look_at > _LATE_SECONDS:
                    self._roster.spare(now)
                look_at = now + _LOOK_SECONDS
                self._look(now)
        if self._stand_in is not None:
            self._stand_in.end(_STAND_IN_SECONDS)
        self._generations.close()
        self._hub.close()
        return self._status

    def watch(self, source: Any, call: Callable[[], object]) -> None:
        """Call ``call`` whenever ``source`` can be read."""
        self._watched[source] = self._selector.register(source, _READ, call)

    def unwatch(self, source: Any) -> None:
        """Undo ``watch``; the second time, do nothing."""
        if self._watched.pop(source, None) is not None:
            self._selector.unregister(source)

    def _look(self, now: float) -> None:
        self._roster.look(self._seen, now)
        self._generations.look(now)
        self._hub.look(now)
        self._mail.look()
        self._rotation.look()
        if self._roster.current is None and not self._generations.is_loading and now >= self._pauses.until:
            self._load()
        if self._notifier.watchdog and now >= self._sign_at:
            self._sign_at = now + self._notifier.watchdog / 2 - _LOOK_SECONDS
            self._notifier.alive()

    def _seen(self, worker: Worker) -> Seen:
        slot = self._board[worker.slot]
        return Seen(slot.heartbeat, slot.requests, slot.memory)

    def _free_slots(self) -> Iterator[int]:
        return (number for number in range(len(self._board)) if number not in self._roster.workers)

    # -- signals -------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        if self._is_leaving:
            self._leave_at_once()
        else:
            self._end("the server stops")

    def _leave_at_once(self) -> None:
        self._end("the server stops at once", at_once=True)

    def _end(self, text: str, *, at_once: bool = False) -> None:
        self._is_leaving = True
        _log.info("{text}", text=text)
        self._notifier.stopping()
        self._generations.stop_loading()
        self._generations.stop_listening()
        self._roster.end(monotonic(), at_once=at_once)
        self._mail.end(at_once=at_once)

    def _end_with_terminal(self) -> None:
        if not self._is_leaving:
            self._end("the terminal is gone: the server stops")

    def _load_anew(self) -> None:
        if self._is_leaving:
            return
        if self._was_served:
            _log.info("the config and the apps are loaded anew")
            self._notifier.reloading()
        self._load()

    def _load(self) -> None:
        if not self._is_leaving:
            self._generations.load()

    def _resize(self, by: int) -> None:
        if self._roster.current is not None and not self._is_leaving:
            self._roster.resize(by, monotonic())
            _log.info("there are to be {count} workers", count=self._roster.count)

    def _reopen_logs(self) -> None:
        self._reopen()
        for worker in self._roster.workers.values():
            self._crew.signal(worker, signal.SIGUSR1)
        self._mail.reopen_log()
        _log.info("the logs were opened anew")

    def _reap(self) -> None:
        """Take note of children that have ended: nurseries, and orphans, of which this is the parent now."""
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                pid, status = found
                self._generations.ended(pid, said_of(status))
                self._hub.ended(pid, said_of(status))
                self._mail.ended(pid, said_of(status))
                for worker in list(self._roster.workers.values()):
                    if worker.pid == pid:  # its nursery ended before it
                        self.gone(worker.slot, worker.generation, status, None)

    # -- what nurseries say --------------------------------------------------------------------------------

    def loaded(self, nursery: Nursery) -> None:
        """Take note that a nursery can fork."""
        wishes = nursery.wishes
        assert wishes is not None
        limits = Limits(
            wishes.processes,
            wishes.worker_timeout,
            wishes.end_seconds,
            wishes.max_requests,
            wishes.max_memory,
        )
        logs = [RotatedLog(Path(path), Period(period)) for path, period in wishes.logs]
        self._rotation = Rotation(logs, keep=wishes.logs_kept, reopen=self._reopen_logs)
        self._pauses.reset()
        self._roster.nominate(nursery.generation, limits, monotonic())

    def forked(self, slot: int, pid: int) -> None:
        """Take note that the worker of ``slot`` has the process ``pid``."""
        worker = self._roster.workers.get(slot)
        if worker is not None:
            self._crew.forked(worker, pid)

    def gone(self, slot: int, generation: int, status: int | None, reason: str | None) -> None:
        """Take note that the worker of ``slot`` has ended."""
        worker = self._roster.workers.get(slot)
        if worker is None or worker.generation != generation:
            return
        self._crew.gone(worker)
        is_final = status is not None and os.WIFEXITED(status) and os.WEXITSTATUS(status) == EXIT_CONFIG
        self._roster.gone(slot, reason_of(status, reason), monotonic(), is_final=is_final)

    def lost(self, generation: int, reason: str) -> None:
        """Take note that a nursery which had loaded has ended."""
        was_current = generation == self._roster.current
        self._roster.lose(generation, monotonic())
        for worker in list(self._roster.workers.values()):
            if worker.generation == generation and not worker.pid:  # it was never forked
                self.gone(worker.slot, generation, None, None)
        if was_current and not self._is_leaving:
            _log.error("the process that forks workers is gone: {reason}; all are replaced", reason=reason)
            if not self._pauses.failed(monotonic()):
                self._load()

    # -- what workers say ----------------------------------------------------------------------------------

    def _listen(self, worker: Worker, message: dict[str, Any]) -> None:
        if message["kind"] == READY:
            worker.pid = worker.pid or message["pid"]
            self._roster.ready(worker.slot, message["failed"], monotonic())
            if worker.stays:
                self._crew.send(worker, {"kind": SERVE})
            self._tell_when_full()
        elif message["kind"] == LEAVE:
            self._asked_to_leave(restart=message["restart"], fast=message["fast"])

    def _asked_to_leave(self, *, restart: bool, fast: bool) -> None:
        self._is_fast = fast
        if restart:
            self._load_anew()
        elif not self._is_leaving:
            self._end("an app has asked the server to stop")

    def _tell_when_full(self) -> None:
        """Say that the server serves when all workers are there, and when they are all new ones."""
        current = self._roster.current
        workers = self._roster.workers.values()
        serving = [worker for worker in workers if worker.ready_at and worker.generation == current]
        if current is None or len(serving) < self._roster.count or self._generations.announced == current:
            return
        self._was_served, self._is_fast = True, False
        self._mail.want(self._generations.announce(current).mail)
        self._notifier.ready(f"{len(serving)} workers serve")
        if self._stand_in is not None and self._stand_in.dismiss(self):
            self._end("an app has asked the server to stop")

    # -- the hands of the roster ---------------------------------------------------------------------------

    def fork(self, worker: Worker) -> None:
        """Have the nursery of ``worker.generation`` fork it."""
        with suppress(LinkClosedError, BlockingIOError):  # the nursery is gone, which will be noticed
            self._crew.fork(worker, self._generations.link(worker.generation))

    def ask_to_end(self, worker: Worker) -> None:
        """Ask a worker to end in good order; the second time, at once."""
        if self._is_fast:
            self._crew.send(worker, {"kind": HURRY})
        else:
            self._crew.signal(worker, signal.SIGTERM)

    def kill(self, worker: Worker) -> None:
        """End a worker, whatever it does."""
        self._crew.kill(worker)

    def ask_for_stacks(self, worker: Worker) -> None:
        """Have a worker write down what its threads do."""
        self._crew.ask_for_stacks(worker)

    def say(self, text: str, *, is_bad: bool = False) -> None:
        """Write a line to the log."""
        (_log.error if is_bad else _log.info)("{text}", text=text)

    def refused(self, generation: int, reason: str, status: int) -> None:  # noqa: ARG002
        """Take note that ``generation`` does not come to serve."""
        if self._was_served:
            _log.error(
                "what was loaded anew cannot serve, and the workers of before go on: {reason}", reason=reason
            )
            self._pauses.failed(monotonic())
            self._notifier.ready("the last reload was refused")
        elif not self._is_leaving:
            print(reason, file=sys.stderr)
            self._status = status
            self._is_leaving = True
            self._roster.end(monotonic(), at_once=True)
            self._mail.end(at_once=True)

    def retire(self, generation: int) -> None:
        """Let the nursery of ``generation`` end: it forks no more workers, and has none."""
        self._generations.drop(generation)
