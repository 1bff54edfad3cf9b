"""skitaid at work: it waits for signals, commands and children."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import IO, Any

from twisted.logger import Logger

from skitai.daemon.notify import Notifier
from skitai.daemon.ownlog import OwnLog
from skitai.daemon.skitaid.child import Child
from skitai.daemon.skitaid.control import Control
from skitai.daemon.skitaid.keeper import Keeper
from skitai.daemon.skitaid.places import Places
from skitai.loop.native import DefaultSelector
from skitai.processes.family import adopt_orphans
from skitai.processes.signals import Signals

_log = Logger()

_READ = 1
#: Seconds between two looks at the folder and at all children.
_LOOK_SECONDS = 1.0


class AlreadyRunsError(Exception):
    """Another skitaid has the same places."""


class Skitaid:
    """Keeps what ``places`` say running until a signal ends it; ``log`` is its own.

    Raises AlreadyRunsError, and OSError where a folder cannot be made. Used in the main thread.
    """

    def __init__(self, places: Places, notifier: Notifier, log: OwnLog, *, is_verbose: bool) -> None:
        self._notifier = notifier
        self._own_log = log
        places.make_folders()
        self._pid_file = _lock(places)
        self._keeper = Keeper(places, is_verbose=is_verbose)
        self._began = monotonic()
        self._look_at = self._began
        self._is_leaving = False
        self._selector = DefaultSelector()
        self._control = Control(places.socket, self._obey)
        self._handlers: dict[int, Callable[[], object]] = {
            signal.SIGTERM: self._leave,
            signal.SIGINT: self._leave,
            signal.SIGQUIT: self._leave_at_once,
            signal.SIGHUP: self._restart_all,
            signal.SIGUSR1: self._rotate_all,
            signal.SIGCHLD: self._reap,
        }
        signals = Signals(self._handlers)
        self._selector.register(self._control, _READ, self._control.serve)
        self._selector.register(
            signals, _READ, lambda: [self._handlers[number]() for number in signals.taken()]
        )

    def run(self) -> None:
        """Run until a signal ends it, and all children have ended."""
        adopt_orphans()  # what an app has left behind ends here, and not as somebody else's
        self._keeper.start(monotonic())
        self._notifier.ready("servers are started")
        while not (self._is_leaving and self._keeper.is_over):
            for key, _ in self._selector.select(max(self._look_at - monotonic(), 0)):
                key.data()
            now = monotonic()
            if now >= self._look_at:
                self._look_at = now + _LOOK_SECONDS
                self._own_log.look()
                self._keeper.look(now)
                self._notifier.alive()
        self._control.close()
        _log.info("skitaid has ended")
        os.truncate(self._pid_file.name, 0)

    # -- signals -------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        if self._is_leaving:
            self._leave_at_once()
            return
        _log.info("skitaid stops")
        self._end(at_once=False)

    def _leave_at_once(self) -> None:
        _log.info("skitaid stops at once")
        self._end(at_once=True)

    def _end(self, *, at_once: bool) -> None:
        self._is_leaving = True
        self._notifier.stopping()
        self._keeper.stop(monotonic(), at_once=at_once)

    def _restart_all(self) -> None:
        if not self._is_leaving:
            _log.info("all children are restarted")
            for child in self._keeper.children():
                child.restart(monotonic())

    def _rotate_all(self) -> None:
        self._own_log.reopen()
        for child in self._keeper.children():
            child.reopen_logs()
        _log.info("the logs were opened anew")

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                self._keeper.ended(*found, monotonic())

    # -- commands ------------------------------------------------------------------------------------------

    def _obey(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do what a command says, to one child or to all; return how all are."""
        do, name = command.get("do"), command.get("name")
        found = [child for child in self._keeper.children() if name in (None, child.name)]
        if not found:
            names = ", ".join(child.name for child in self._keeper.children())
            return {"error": f"there is no {name}: there are {names}"}
        if do == "rotate" and name is None:
            self._rotate_all()
        elif do != "status":
            action = self._action(do)
            if action is None or self._is_leaving:
                return {"error": "skitaid stops" if self._is_leaving else f"there is no command {do}"}
            for child in found:
                action(child)
        now = monotonic()
        return {
            "pid": os.getpid(),
            "uptime": round(now - self._began, 1),
            "children": [child.figures(now) for child in found],
        }

    def _action(self, do: object) -> Callable[[Child], None] | None:
        now = monotonic()
        actions: dict[object, Callable[[Child], None]] = {
            "start": lambda child: child.start(now),
            "stop": lambda child: child.stop(),
            "terminate": lambda child: child.stop(at_once=True, now=now),
            "restart": lambda child: child.restart(now),
            "rotate": lambda child: child.reopen_logs(),
        }
        return actions.get(do)


def _lock(places: Places) -> IO[str]:
    """Return the file with our process id, which stays locked while we live."""
    file = open(places.pid_file, "a+", encoding="ascii")  # noqa: SIM115 - open as long as the process is
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise AlreadyRunsError(f"skitaid runs already (pid {running_pid(places)})") from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def running_pid(places: Places) -> int | None:
    """Return the process id of the skitaid that has these places; None if none runs."""
    try:
        with open(places.pid_file, encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read())
    except (OSError, ValueError):
        pass
    return None
