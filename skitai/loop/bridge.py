"""The way between app code, in a thread or a greenlet, and the reactor.

App code may run in an operating-system thread, in a greenlet on the reactor thread, or (by mistake) in the
reactor itself. The bridge finds out which it is at each call, so nobody else needs to know.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from math import inf
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING, Any, TypeVar

import greenlet
from twisted.logger import Logger

from skitai.errors import MisuseError
from skitai.loop.contexts import current_context, run_in
from skitai.loop.deadlines import Deadlines, Sleeper
from skitai.loop.native import Lock, get_ident
from skitai.loop.switching import switch_to
from skitai.loop.turn import Stage, turn_end_of

if TYPE_CHECKING:
    from contextvars import Context

    from twisted.internet.interfaces import IDelayedCall, IReadDescriptor

T = TypeVar("T")

_log = Logger()

_RESUME = Stage.RESUME  # looking up the member of an Enum takes long


class Pending:
    """Something that will be over, and that ``Bridge.wait`` can wait for."""

    __slots__ = ("_wakers", "over")

    def __init__(self) -> None:
        self.over = False
        self._wakers: list[Callable[[], object]] = []

    def end(self) -> None:
        """Mark it as over and call the wakers. A second call does nothing. Called in any thread."""
        self.over = True
        if self._wakers:
            self._wake()

    def on_end(self, waker: Callable[[], object]) -> None:
        """Have ``waker`` called once when it is over: in the thread that ends it, or now if it is over.

        What it raises is logged. Called in any thread.
        """
        self._wakers.append(waker)
        # Checked after the append: either ``end`` finds the waker, or this finds that it is over.
        if self.over:
            self._wake()

    def _wake(self) -> None:
        wakers = self._wakers
        while wakers:
            try:
                waker = wakers.pop(0)
            except IndexError:  # another thread took the last one
                return
            try:
                waker()
            except Exception:  # noqa: BLE001 - the other wakers must still be called
                _log.failure("a waker failed")


class Bridge:
    """Carries functions to the reactor thread, and lets app code wait for what happens there.

    ``reactor`` gives the time and the timers. Wake-ups of the reactor are coalesced: however many functions
    threads hand over while it is busy, it is woken once.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        #: The reactor's clock, in seconds. Called in any thread.
        self.seconds: Callable[[], float] = reactor.seconds
        self._inbox: deque[Callable[[], object]] = deque()
        self._woken = False
        self._context: Context | None = None
        self._turn_end = turn_end_of(reactor)
        self._hub = self._turn_end.hub
        self._deadlines = Deadlines(reactor)

    def start(self) -> None:
        """Take the current thread and context as the reactor's. Called in that thread, outside any app."""
        self._context = current_context()
        self._hub.start()

    def call_later(self, delay: float, function: Callable[..., object], *args: Any) -> IDelayedCall:
        """Call ``function(*args)`` in ``delay`` seconds. Called in the reactor thread."""
        timer: IDelayedCall = self._reactor.callLater(delay, function, *args)
        return timer

    def watch(self, reader: IReadDescriptor) -> None:
        """Call ``reader.doRead()`` whenever its descriptor is ready. Called in the reactor thread."""
        self._reactor.addReader(reader)

    def unwatch(self, reader: IReadDescriptor) -> None:
        """Undo ``watch``. Called in the reactor thread."""
        self._reactor.removeReader(reader)

    def submit(self, function: Callable[[], object]) -> None:
        """Run ``function`` in the reactor thread: now when this is it, else soon. Called in any thread.

        It runs in the reactor's context, not in that of a request. If it runs now, what it raises is raised
        here; otherwise it is logged.
        """
        if get_ident() == self._hub.ident:
            # As ``run_in`` does, with fewer calls: this runs several times for each request.
            me, context = greenlet.getcurrent(), self._context
            former = me.gr_context
            if former is context:
                function()
                return
            me.gr_context = context
            try:
                function()
            finally:
                me.gr_context = former
            return
        self._inbox.append(function)
        if not self._woken:
            self._woken = True
            self._reactor.callFromThread(self._empty_inbox)

    def ask(self, function: Callable[[], T], timeout: float) -> T:
        """Return what ``function()`` returns in the reactor thread, or raise what it raises there.

        Raises TimeoutError if the reactor has not run it within ``timeout`` seconds. Called in any thread.
        """
        if self.in_reactor_thread():
            assert self._context is not None
            return run_in(self._context, function)
        outcome: Future[T] = Future()

        def run() -> None:
            try:
                outcome.set_result(function())
            except BaseException as error:  # noqa: BLE001 - raised where it was asked for
                outcome.set_exception(error)

        self.submit(run)
        return outcome.result(timeout)

    def submit_to_reactor(self, function: Callable[[], object]) -> None:
        """Run ``function`` soon in the reactor itself, outside the greenlets of apps. Called in any thread.

        ``submit`` runs it in the current greenlet, if that is one of the reactor's thread.
        """
        self.submit(lambda: self._turn_end.call(Stage.CALL, function))

    def _empty_inbox(self) -> None:
        # Lowered first: what is appended from here on is either seen by this loop or wakes the reactor again.
        self._woken = False
        inbox = self._inbox
        while inbox:
            try:
                inbox.popleft()()
            except BaseException:  # noqa: BLE001 - the rest of the inbox must still be run
                _log.failure("a function that a thread handed to the reactor failed")

    def _rouse(self, go_on: Callable[[], None]) -> None:
        """Have a greenlet go on when the reactor's turn ends. Called in any thread.

        Not at once: the turn may bring more of what it waits for. And where this is called in a greenlet, a
        switch would abandon that one, because greenlets return to the hub and not to each other.
        """
        if get_ident() == self._hub.ident:
            self._turn_end.call(_RESUME, go_on)
        else:
            self.submit(lambda: self._turn_end.call(_RESUME, go_on))

    def in_reactor_thread(self) -> bool:
        """Whether this is the reactor's thread, in a greenlet or not."""
        return get_ident() == self._hub.ident

    def may_wait(self) -> bool:
        """Whether code may wait here: in a thread or a greenlet, not in the reactor itself."""
        return not self.in_reactor_thread() or greenlet.getcurrent() is not self._hub.reactor_greenlet

    def blocks_here(self) -> bool:
        """Whether code that blocks here, for a lock or for a descriptor, holds up the reactor."""
        return self.in_reactor_thread() and not self._hub.cooperates

    def wait(self, pending: Pending, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds for ``pending``; return whether it is over.

        ``inf`` waits without a limit. Called in a thread or in a greenlet. Raises
        MisuseError on the reactor thread outside a greenlet, because that would stop every connection of the
        server, and in a process that an app has forked.
        """
        if pending.over:
            return True
        if self._hub.is_forked:
            raise MisuseError("this process was forked by an app: the reactor runs in the server alone")
        if get_ident() == self._hub.ident:
            self._wait_in_greenlet(pending, timeout)
        else:
            wait_in_thread(pending, timeout)
        return pending.over

    def _wait_in_greenlet(self, pending: Pending, timeout: float) -> None:
        hub = self._hub
        me = greenlet.getcurrent()
        if hub.parent is None or me is hub.reactor_greenlet:
            raise MisuseError(
                "waiting here would block the reactor thread: wait in a view, or `await` in a coroutine"
            )
        sleeper = Sleeper(me, self._rouse)
        # Even if no time is left, the reactor gets a turn: a reply may have come while the app computed.
        if timeout != inf:
            self._deadlines.add(sleeper, timeout)
        pending.on_end(sleeper.wake)
        try:
            switch_to(hub.parent)
        finally:  # also if an exception is thrown into the greenlet
            sleeper.end()
            if timeout != inf:
                self._deadlines.discard_one()


def wait_in_thread(pending: Pending, timeout: float) -> bool:
    """Block the thread for at most ``timeout`` seconds, until ``pending`` is over; return whether it is."""
    gate = Lock()
    gate.acquire()
    pending.on_end(gate.release)
    if timeout > 0:
        gate.acquire(timeout=min(timeout, TIMEOUT_MAX))
    return pending.over
