"""The server as the program of a process: it takes signals, says where it serves, and begins anew."""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
import threading
from contextlib import suppress
from typing import Any

from twisted.internet.defer import DeferredList
from twisted.logger import Logger

from skitai.config.describe import mounted
from skitai.daemon.logs import reopen
from skitai.daemon.mail.beside import wait_for_end
from skitai.daemon.mail.keeping import AgentKeeper
from skitai.daemon.notify import Notifier
from skitai.daemon.refusing import or_exit
from skitai.daemon.relief.succession import Succession
from skitai.daemon.replacing.child import Replacing
from skitai.formats import zone
from skitai.loop import breakpoints
from skitai.net.sockets import Opened
from skitai.processes.orders import EXIT_BROKEN, EXIT_RESTART
from skitai.processes.streams import flush_streams
from skitai.worker.logs import rotation_of
from skitai.worker.serving import Server
from skitai.worker.watch.interrupts import Interrupter
from skitai.worker.watch.lastresort import LastResort
from skitai.worker.watch.signals import SignalGuard

#: How many new objects there may be before the collector looks at the youngest. Python's 700 come with one or
#: two requests of a framework; looking at them, nearly all still in use, took a twelfth of a busy worker's
#: time.
_YOUNG_OBJECTS = 5000
#: Seconds after which a server that reloads, and was told to end, is ended: its requests had less.
_DEVELOPERS_SECONDS = 2.0

_log = Logger()


class Announced(Server):
    """A server that says where it serves, and exits when it cannot."""

    #: Whether this process can open all that it has opened once more.
    may_begin_anew = True
    #: The stream of the server's own log.
    own_log: Any = None
    #: The signal handlers of apps that were loaded before the process took signals.
    signals_of_apps: dict[int, Any] | None = None
    _guard: SignalGuard | None = None
    _has_loaded = False
    #: How it begins anew while it serves; None for a worker, and under ``twistd``.
    succession: Succession | Replacing | None = None
    #: Whether the process ends, with status 1, if an app cannot be loaded when it starts.
    needs_apps = False
    #: The command of the delivery agent; empty if there is none, or if a supervisor keeps it.
    agent_command: tuple[str, ...] = ()

    def startService(self) -> None:
        """Start, or print one line and exit with status 2."""
        _raise_descriptor_limit()
        breakpoints.install(self.bridge)
        self.reactor.callWhenRunning(self._take_signals)  # before apps are loaded: one may block for ever
        self._notifier = Notifier(os.environ)
        self._agent = AgentKeeper()
        if self._notifier.watchdog:
            self._figures.at_beat.append(self._notifier.alive)
        or_exit(super().startService)
        if self._line is None:  # else the supervisor does both
            self._figures.at_beat.append(rotation_of(self.config, self.own_log, self.reopen_logs).look)
            self._figures.at_beat.append(self._agent.look)
            if not self.needs_apps:
                self._say_where()

    @property
    def _is_replaced(self) -> bool:
        """Whether it is a developer's, and is replaced as a whole."""
        return isinstance(self.succession, Replacing)

    def _say_where(self) -> None:
        urls = ", ".join(self.urls)
        if self.is_first:
            _log.info("Skitai serves {name} on {urls}", name=self.config.server.name, urls=urls)
            _log.info("Mounted: {mounts}", mounts=mounted(self.config.hosts))

    def _take_signals(self) -> None:
        interrupter = Interrupter()
        patience = _DEVELOPERS_SECONDS if self._is_replaced else self.config.server.stop_seconds + 1
        last_resort = LastResort(self.reactor, patience, interrupter)
        is_main = threading.current_thread() is threading.main_thread()
        if is_main:  # before the last resort looks who else handles signals
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._ending_once(signal.getsignal(number)))
            signal.signal(signal.SIGUSR1, lambda *_: self.reactor.callFromThread(self.reopen_logs))
            if self.succession is not None:
                self.succession.start(self._notifier)
            self._guard = SignalGuard(self.reactor, self._tells_of_signals, self.signals_of_apps)
            self._guard.install()
            self._figures.at_beat.append(self._look_at_signals)
        if last_resort.install():
            self._watcher.interrupter = interrupter

    def _tells_of_signals(self) -> bool:
        """Whether to tell of a handler that an app sets: all workers set it as they load, a view in one."""
        return self._has_loaded or self.is_first

    def _look_at_signals(self) -> None:
        if self._guard is not None and self.running:
            self._guard.look()

    def _ending_once(self, handler: Any) -> Any:
        """Return a handler that has the reactor stop by ``handler``; a second time is for the last resort."""

        def handle(number: int, frame: Any) -> None:
            if self.succession is not None:
                self.succession.told_to_end()
            if number == signal.SIGINT and breakpoints.is_somebody_there():
                self.hurry()  # else the request at the prompt would be waited for, as one that is under way
            if self.running and not self._is_ending:  # a reactor that stops cannot be told to stop again
                self._is_ending = True
                handler(number, frame)

        return handle if callable(handler) else handler

    def reopen_logs(self) -> None:
        """Go on in new files, also in that of the server's own log."""
        reopen(self.own_log)
        self._agent.reopen_log()
        super().reopen_logs()

    def _apps_loaded(self, result: object) -> None:
        if self.running and self.needs_apps and self._builder.failures():
            _log.error("Skitai ends, for this is its only app; with --reload it waits until that is mended")
            self.reactor.addSystemEventTrigger("after", "shutdown", _end_broken)
            self.end()
            return
        super()._apps_loaded(result)
        self._look_at_signals()
        self._has_loaded = True
        if self.running:
            if self.needs_apps and self._line is None:
                self._say_where()
            self._notifier.ready("serving")
            if self.succession is not None:
                self.succession.loaded()
            if self._line is None:
                self._agent.want(self.agent_command)
            if not self.config.server.reloader:  # frozen modules would outlive their reload
                _spare_the_collector()

    def _close(self) -> Any:
        if self.succession is not None:
            self.succession.stopping()
        if not self._leaves_sockets:
            self._notifier.stopping()
        self._agent.end()
        return DeferredList(
            [super()._close(), wait_for_end(self._agent, self.reactor)], fireOnOneErrback=True
        )

    @property
    def is_first(self) -> bool:
        """Whether this process tells what its successors during development need not repeat."""
        succession = self.succession
        return super().is_first and (not isinstance(succession, Replacing) or succession.is_first)

    @property
    def others_serve(self) -> bool:
        """Whether this server gives way to another process, or that stands in for it."""
        return super().others_serve or (self.succession is not None and self.succession.has_stand_in)

    # -- for its succession --------------------------------------------------------------------------------

    def duplicates(self) -> list[Opened]:
        """Return the sockets that are served once more."""
        return [listening.duplicate() for listening in self._listening]

    def give_way(self, seconds: float | None = None) -> None:
        """Begin to stop: others go on with the sockets. Requests under way have ``seconds``, if given."""
        self._leaves_sockets = True
        if seconds is not None:
            self._patience, self._idle_seconds = min(self._patience, seconds), 0.0
        super()._end_process(restart=True, fast=False)

    def go_on(self) -> None:
        """Serve on: nothing takes its place."""
        self._patience = self.config.server.stop_seconds  # who asked may have been in a hurry

    def end(self) -> None:
        """Begin to stop for good."""
        super()._end_process(restart=False, fast=False)

    def _code_changed(self, changed: set[str], *, is_old: bool) -> None:
        if isinstance(self.succession, Replacing) and not self.succession.changed(changed, is_old=is_old):
            self.code.forgive()

    def _end_process(self, restart: bool, fast: bool) -> None:
        if self._line is not None:
            self._line.ask_to_leave(restart=restart, fast=fast)
            return
        if restart and self.succession is not None:
            self.succession.begin()
            return
        if restart:
            by_others = bool(self._inherited) or not self.may_begin_anew
            self._notifier.pass_on(os.environ)
            self.reactor.addSystemEventTrigger("after", "shutdown", _begin_anew, by_others)
        super()._end_process(restart, fast)


def _begin_anew(by_others: bool) -> None:
    """Become a new process of the same command; or end, if a supervisor that holds the sockets starts it."""
    flush_streams()
    if by_others:
        os._exit(EXIT_RESTART)
    zone.restore(os.environ)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - what was started before


def _end_broken() -> None:
    flush_streams()
    os._exit(EXIT_BROKEN)


def _spare_the_collector() -> None:
    """Exempt what the process has loaded from garbage collection, and collect less often.

    A full collection would go through all modules, and every request would wait. A busy server has several a
    minute, because its requests look like objects that live long. An app that set a higher threshold, or
    none, keeps it.
    """
    gc.collect()
    gc.freeze()
    young, middle, old = gc.get_threshold()
    if 0 < young < _YOUNG_OBJECTS:
        gc.set_threshold(_YOUNG_OBJECTS, middle, old)


def _raise_descriptor_limit() -> None:
    """Allow as many descriptors as the system lets us: the soft limit is usually 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # some systems name a hard limit that they do not grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
