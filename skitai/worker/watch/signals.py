"""Keeps the server's signal handlers where apps set their own: both are called.

An app that is loaded in the main thread may set a handler for SIGTERM, as it may elsewhere. With the
server's own gone, nothing but SIGKILL would end it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import FrameType
from typing import Any

from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

_log = Logger()

#: What the server acts on, where it handles them: its end, a reload, children, new logs.
OWNED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1)
#: What would end the process although it means nothing, or nothing yet.
_STRAY = (signal.SIGUSR1, signal.SIGUSR2)
_KEPT = "{who} has set a handler for {name}: the server's own stays, and calls that one after itself"
_RESTORED = "an app has taken the handler of {name} away: the server's own is back"

Handler = Callable[[int, FrameType | None], Any]


def ignore_stray_signals() -> None:
    """Have signals that mean nothing do nothing, unless somebody handles them. Called in the main thread.

    A handler and not SIG_IGN: programs that the process starts would ignore them, too.
    """
    if threading.current_thread() is threading.main_thread():
        for number in _STRAY:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _nothing)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    pass


def handlers_of_apps() -> dict[int, Handler]:
    """Return what apps have set that were loaded before the server handles signals.

    Called in the main thread of a process that ignores these signals, and does so again from then on; it
    learns of its children by itself.
    """
    found: dict[int, Handler] = {}
    for number in OWNED:
        handler = signal.getsignal(number)
        if callable(handler) and handler not in (_nothing, signal.default_int_handler):
            found[number] = handler
        signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else signal.SIG_IGN)
    return found


class Chain:
    """Handles one signal: calls the server's own handler, and then those of apps."""

    def __init__(self, number: int, own: Handler, reactor: Any, tells: Callable[[], bool]) -> None:
        self._number = number
        self._tells = tells
        self._own = own
        self._reactor = reactor
        #: By where they were defined: a handler that is made anew replaces the one of before.
        self._others: dict[str, Handler] = {}
        self._is_running = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Call all of them. An app's handler may itself call what was there before it."""
        if self._is_running:
            return
        self._is_running = True
        try:
            self._own(number, frame)
            for who, handler in list(self._others.items()):
                self._call(who, handler, number, frame)
        finally:
            self._is_running = False

    def _call(self, who: str, handler: Handler, number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except SystemExit:
            pass  # the server ends in its own order
        except BaseException:  # noqa: BLE001 - it must not end what was interrupted
            failure = Failure()  # type: ignore[no-untyped-call]
            self._reactor.callFromThread(
                _log.failure, "the signal handler {who} failed", failure, who=who, level=LogLevel.error
            )

    def take(self) -> None:
        """Take the place of the present handler. Called in the main thread."""
        signal.signal(self._number, self)
        if self._number == signal.SIGCHLD:
            signal.siginterrupt(self._number, False)

    def hold(self) -> None:
        """Take the place again, if another handler has it. Called in the main thread."""
        present = signal.getsignal(self._number)
        if present is self:
            return
        self.take()
        if not callable(present) or present is signal.default_int_handler:
            self._warn(_RESTORED)
        else:
            self.add(present)

    def leave(self) -> None:
        """Leave the place to an app's handler, or to the default."""
        present: Any = signal.getsignal(self._number)
        if present is self:
            default = signal.default_int_handler if self._number == signal.SIGINT else signal.SIG_DFL
            signal.signal(self._number, next(reversed(self._others.values()), default))

    def add(self, handler: Handler) -> None:
        """Call ``handler``, too."""
        who = f"{getattr(handler, '__module__', '?')}.{getattr(handler, '__qualname__', repr(handler))}"
        if who not in self._others:
            self._warn(_KEPT, who=who)
        self._others[who] = handler

    def _warn(self, text: str, **values: str) -> None:
        if self._tells():
            _log.warn(text, name=signal.Signals(self._number).name, **values)


class SignalGuard:
    """Has a chain for each signal that the server handles. ``of_apps`` were set before.

    ``tells()`` says whether what apps set now is to be told in the log.
    """

    def __init__(
        self, reactor: Any, tells: Callable[[], bool], of_apps: dict[int, Handler] | None = None
    ) -> None:
        self._reactor = reactor
        self._tells = tells
        self._of_apps = of_apps or {}
        self._chains: list[Chain] = []

    def install(self, numbers: Iterable[int] = OWNED) -> None:
        """Take the places of the present handlers. Called in the main thread, when the reactor runs."""
        os.register_at_fork(after_in_child=self._forget)
        for number in numbers:
            own = signal.getsignal(number)
            if callable(own) and not isinstance(own, Chain):
                chain = Chain(number, own, self._reactor, self._tells)
                chain.take()
                self._chains.append(chain)
                if number in self._of_apps:
                    chain.add(self._of_apps[number])

    def _forget(self) -> None:
        """In a forked child, have signals do what an app says, or what they do by default."""
        chains, self._chains = self._chains, []
        with suppress(ValueError):  # if this is not the main thread
            for chain in chains:
                chain.leave()

    def look(self) -> None:
        """Take the places again that apps have taken. Called in the main thread, now and then."""
        for chain in self._chains:
            chain.hold()
