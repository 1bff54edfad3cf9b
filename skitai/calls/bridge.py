"""The way between app code, in a thread or a greenlet, and the reactor.

App code may run in an operating-system thread, in a greenlet on the reactor thread, or (by mistake) in the
reactor itself. The bridge finds out which it is each time, so nothing above it needs to know.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock, get_ident
from typing import Any

import greenlet

from skitai.errors import MisuseError


class Pending:
    """Something that is over once, and that may be waited for with ``Bridge.wait``."""

    __slots__ = ("_wakers", "over")

    def __init__(self) -> None:
        self.over = False
        self._wakers: list[Callable[[], object]] = []

    def end(self) -> None:
        """Mark it over and wake who waits. Called in the reactor thread, or in the one thread that waits."""
        self.over = True
        # A waker that a thread appends while this loop runs is either seen here, or its thread sees ``over``.
        while self._wakers:
            self._wakers.pop()()


class Bridge:
    """Carries functions to the reactor thread, and lets app code wait for what happens there.

    ``reactor`` gives the time and the timers. Wake-ups of the reactor are coalesced: however many functions
    threads hand over while it is busy, it is woken once.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._ident: int | None = None
        self._hub: greenlet.greenlet | None = None
        self._inbox: deque[Callable[[], object]] = deque()
        self._woken = False

    def start(self) -> None:
        """Take the current thread as the reactor's. Called in the reactor thread, outside any app."""
        self._ident = get_ident()
        self._hub = greenlet.getcurrent()

    def seconds(self) -> float:
        """The reactor's clock, in seconds. Called in any thread."""
        now: float = self._reactor.seconds()
        return now

    def submit(self, function: Callable[[], object]) -> None:
        """Run ``function`` in the reactor thread: now when this is it, else soon. Called in any thread."""
        if get_ident() == self._ident:
            function()
            return
        self._inbox.append(function)
        if not self._woken:
            self._woken = True
            self._reactor.callFromThread(self._empty_inbox)

    def _empty_inbox(self) -> None:
        # Lowered first: what is appended from here on either is seen by this loop or wakes the reactor again.
        self._woken = False
        inbox = self._inbox
        while inbox:
            inbox.popleft()()

    def wait(self, pending: Pending, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds for ``pending``; return whether it is over.

        Called in a thread or in a greenlet. Raises MisuseError on the reactor thread outside a greenlet,
        because that would stop every connection of the server.
        """
        if pending.over:
            return True
        if get_ident() == self._ident:
            self._wait_in_greenlet(pending, timeout)
        else:
            _wait_in_thread(pending, timeout)
        return pending.over

    def _wait_in_greenlet(self, pending: Pending, timeout: float) -> None:
        waiting, hub = greenlet.getcurrent(), self._hub
        if waiting is hub or hub is None:
            raise MisuseError(
                "waiting here would block the reactor thread: wait in a view, or `await` in a coroutine"
            )
        if timeout <= 0:
            return
        asleep = True

        def wake() -> None:
            # Only the hub may switch to a waiting greenlet: another app's greenlet that did would be left
            # behind for ever, since greenlets return to the hub.
            nonlocal asleep
            if not asleep:
                return
            if greenlet.getcurrent() is hub:
                asleep = False
                if timer.active():
                    timer.cancel()
                waiting.switch()
            else:
                self._reactor.callLater(0, wake)

        timer = self._reactor.callLater(timeout, wake)
        pending._wakers.append(wake)
        hub.switch()


def _wait_in_thread(pending: Pending, timeout: float) -> None:
    gate = Lock()
    gate.acquire()
    pending._wakers.append(gate.release)
    if not pending.over and timeout > 0:
        gate.acquire(timeout=timeout)
