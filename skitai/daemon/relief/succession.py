"""A server of one process begins anew, and nobody is refused meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn, Protocol

from twisted.logger import Logger

from skitai.daemon.again import same_command
from skitai.daemon.notify import Notifier
from skitai.daemon.polling import ReactorPoll
from skitai.daemon.relief.recruiting import Recruiting
from skitai.daemon.relief.standin import StandIn
from skitai.daemon.supervisor.nurseries import logical_folder
from skitai.formats import zone
from skitai.net.handing import hand_over
from skitai.net.sockets import Opened, pass_on
from skitai.processes.orders import BLOCKED
from skitai.processes.streams import flush_streams
from skitai.processes.terminal import Terminal

_log = Logger()


class Served(Protocol):
    """The server of this process. All methods are called in the reactor thread."""

    def duplicates(self) -> list[Opened]:
        """Return the sockets that it serves once more."""

    def give_way(self) -> None:
        """Begin to stop: others go on with the sockets."""

    def go_on(self) -> None:
        """Serve on: nothing takes its place."""

    def end(self) -> None:
        """Begin to stop for good."""


class Succession:
    """Replaces the process of ``server`` by a new one of the same command and with the same process id.

    ``inherited`` are descriptors of sockets that systemd passed. ``stand_in`` has served while this process
    began. ``seconds`` is what the end of a stand-in may take. All methods are called in the reactor thread;
    made in the main thread, before the working folder changes.
    """

    def __init__(
        self, reactor: Any, server: Served, inherited: Sequence[int], stand_in: StandIn | None, seconds: float
    ) -> None:
        self._reactor = reactor
        self._server = server
        self._inherited = inherited
        self._stand_in = stand_in
        self._seconds = seconds
        self._folder = logical_folder()
        self._command = same_command()  # before the link to a release is changed
        self._poll = ReactorPoll(reactor)
        self._notifier: Notifier | None = None
        self._recruiting: Recruiting | None = None
        self._sockets: Sequence[Opened] = ()
        self._is_loaded = self._is_due = False
        self._gives_way = self._is_to_end = False

    @property
    def has_stand_in(self) -> bool:
        """Whether another process serves until this one does."""
        return self._stand_in is not None and self._stand_in.serves and not self._is_to_end

    def start(self, notifier: Notifier) -> None:
        """Take signals. Called in the main thread, when the reactor runs."""
        self._notifier = notifier
        self._terminal = Terminal(self.begin, self._end_with_terminal)
        self._reactor.addSystemEventTrigger("after", "shutdown", self._ended)
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self._terminal.hung_up))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)

    def _end_with_terminal(self) -> None:
        self._is_to_end = True
        self._server.end()

    def told_to_end(self) -> None:
        """Take note of a signal that ends the server: nothing takes its place. Called in the main thread."""
        self._is_to_end = True

    def loaded(self) -> None:
        """Take note that the server serves."""
        self._is_loaded = True
        if self._stand_in is not None and self._stand_in.dismiss(self._poll):
            self._server.end()
        elif self._is_due:
            self.begin()

    def begin(self) -> None:
        """Begin anew, if all can be loaded; else the server goes on, and the log says why."""
        if self._gives_way or self._is_to_end:
            return
        self._is_due = not self._is_loaded
        if self._is_due:
            return
        _log.info("the config and the apps are loaded anew")
        if self._notifier is not None:
            self._notifier.reloading()
        if self._recruiting is not None:  # what it loads may be out of date
            self._recruiting.end()
        self._recruiting = Recruiting(
            self._poll, self._inherited, self._server.duplicates(), self._found, self._refused
        )
        self._recruiting.start(self._command, self._folder)

    def _refused(self, reason: str) -> None:
        self._recruiting = None
        _log.error(
            "what was loaded anew cannot serve, and the server of before goes on: {reason}", reason=reason
        )
        if self._notifier is not None:
            self._notifier.ready("the last reload was refused")
        self._server.go_on()

    def _found(self, stand_in: StandIn, sockets: Sequence[Opened]) -> None:
        self._recruiting, self._gives_way = None, True
        if self._stand_in is not None:
            self._stand_in.end(0)
        self._stand_in, self._sockets = stand_in, sockets
        self._server.give_way()

    # -- the end -------------------------------------------------------------------------------------------

    def stopping(self) -> None:
        """Take note that the server stops: nothing is to take its place, unless that serves already."""
        if self._recruiting is not None:
            self._recruiting.end()
            self._recruiting = None

    def _ended(self) -> None:
        if self._gives_way and not self._is_to_end:
            self._become()
        if self._stand_in is not None:
            self._stand_in.end(self._seconds)

    def _become(self) -> NoReturn:
        """Become a new process of the same command."""
        assert self._stand_in is not None
        # The new one takes them when it can.
        if self._terminal.is_ignored:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
        hand_over(self._sockets, os.environ)
        if self._inherited:
            pass_on(self._inherited, os.environ)
        self._stand_in.pass_on(os.environ)
        if self._notifier is not None:
            self._notifier.pass_on(os.environ)
        with suppress(OSError):
            os.chdir(self._folder)
        zone.restore(os.environ)
        flush_streams()
        os.execv(self._command[0], self._command)  # noqa: S606 - what was started before
