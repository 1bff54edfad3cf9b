"""The process that serves until files have changed, and has its parent fork another one then."""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Callable, Collection
from contextlib import suppress
from time import monotonic, sleep
from typing import Any, Protocol

from twisted.logger import Logger

from skitai.daemon.notify import Notifier
from skitai.daemon.replacing.parent import Forked
from skitai.loop.native import start_thread
from skitai.processes.orders import BLOCKED, EXIT_ANEW, EXIT_RESTART
from skitai.processes.streams import flush_streams
from skitai.processes.terminal import Terminal

_log = Logger()

#: Seconds that requests under way get. Who has saved a file waits for them.
REQUEST_SECONDS = 3.0
#: Seconds in which the server ends then, whatever its apps do, and those for what they do at exit.
_END_SECONDS, _EXIT_SECONDS = 3.0, 1.0
#: How many files a line names.
_NAMES_MAX = 3


class Served(Protocol):
    """The server of this process. All methods are called in the reactor thread."""

    def give_way(self, seconds: float) -> None:
        """Begin to stop: others go on with the sockets. Requests under way have so many seconds."""

    def end(self) -> None:
        """Begin to stop for good."""

    def hurry(self) -> None:
        """Have the stop give what is under way a second at most."""


class Replacing:
    """Has ``server`` replaced, in a process that was ``forked``.

    ``check()`` returns what keeps the parent from beginning anew, or None. This has the methods of
    ``Succession``, which does the same in production. All are called in the reactor thread; made in the main
    thread.
    """

    #: Nobody serves beside this process.
    has_stand_in = False

    def __init__(self, reactor: Any, server: Served, forked: Forked, check: Callable[[], str | None]) -> None:
        self._reactor = reactor
        self._server = server
        self._forked = forked
        self._check = check
        self._ends = self._is_to_end = False

    @property
    def is_first(self) -> bool:
        """Whether no other child has served before."""
        return not self._forked.why

    def start(self, _notifier: Notifier) -> None:
        """Take signals. Called in the main thread, when the reactor runs."""
        self._terminal = Terminal(self.begin, self._end_with_terminal)
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self._terminal.hung_up))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)

    def _end_with_terminal(self) -> None:
        self._is_to_end = True
        self._server.end()

    def told_to_end(self) -> None:
        """Take note of a signal that ends the server: nothing takes its place. Called in the main thread."""
        self._is_to_end = True
        self._server.hurry()

    def loaded(self) -> None:
        """Say what was reloaded, and how: the server serves."""
        if self._forked.why:
            seconds = monotonic() - self._forked.since
            _log.info(
                "{why}: a new process serves, {seconds:.2f} s later", why=self._forked.why, seconds=seconds
            )

    def begin(self) -> None:
        """Begin anew, config and all."""
        self._replace("a reload was asked for", anew=True)

    def changed(self, paths: Collection[str], *, is_old: bool) -> bool:
        """Begin anew because files at ``paths`` have changed; ``is_old``: also such as the parent has loaded.

        Returns False if the changed files cannot be served.
        """
        return self._replace(f"{_named(paths)} changed", anew=is_old)

    def _replace(self, why: str, *, anew: bool) -> bool:
        if self._ends or self._is_to_end:
            return True
        wrong = self._check() if anew else None
        if wrong is not None:
            _log.error("{why}, but the server of before goes on: {wrong}", why=why, wrong=wrong)
            return False
        self._ends = True
        status = EXIT_ANEW if anew else EXIT_RESTART
        os.write(self._forked.tell, why.encode())
        self._reactor.addSystemEventTrigger("after", "shutdown", self._exit, status)
        start_thread(lambda: self._exit_late(status, REQUEST_SECONDS + _END_SECONDS), "skitai-replacing")
        self._server.give_way(REQUEST_SECONDS)
        return True

    def stopping(self) -> None:
        """Take note that the server stops."""

    def _exit(self, status: int) -> None:
        """End the process as the interpreter would, but do not wait for threads that an app has started."""
        if self._is_to_end:
            return
        start_thread(lambda: self._exit_late(status, _EXIT_SECONDS), "skitai-replaced")
        with suppress(Exception):
            atexit._run_exitfuncs()
        _exit_now(status)

    def _exit_late(self, status: int, seconds: float) -> None:
        sleep(seconds)
        if not self._is_to_end:
            _exit_now(status)


def _exit_now(status: int) -> None:
    flush_streams()
    os._exit(status)


def _named(paths: Collection[str]) -> str:
    """Return the files that have changed in a few words."""
    here = os.getcwd()
    names = sorted(os.path.relpath(path, here) if path.startswith(here + os.sep) else path for path in paths)
    more = len(names) - _NAMES_MAX
    return ", ".join(names[:_NAMES_MAX]) + (f" and {more} more" if more > 0 else "")
