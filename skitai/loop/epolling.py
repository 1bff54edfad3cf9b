"""A shorter turn of the reactor, and a shorter way from epoll to whom its events are for.

For each event Twisted has the log know whom it is for, in case that something is written to it: by way of
eleven calls, which take more time than a small read does. Here the log finds that out when something is. A
turn in which no timer is due does not look for one twice, and what is to be done at the end of a turn takes
no timer.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from select import EPOLLIN
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.logger import Logger
from twisted.python import context, log
from twisted.python.runtime import seconds as seconds_now

_log = Logger()

#: Seconds: the most that epoll takes, in milliseconds (epoll_wait(2)), which are rounded up.
_LONGEST = float((2**31 - 1) // 1000)
#: Logs what is raised within it.
_LOGGED = _log.failureHandler("the turn of the reactor failed")


class _Whom(dict[Any, Any]):
    """What the log knows of one event: whom it is for, looked up only where something is logged.

    A function that is called in a thread of the reactor's pool has it until it returns.
    """

    __slots__ = ("selectable",)

    selectable: Any

    def __missing__(self, key: Any) -> dict[str, Any]:
        if key is not log.ILogContext:
            raise KeyError(key)
        return {"system": self.selectable.logPrefix()}


class ShortReactor(EPollReactor):
    """The epoll reactor with a loop of its own; ``shorten`` turns an epoll reactor into one."""

    _poller: Any
    _selectables: dict[int, Any]
    _reads: set[int]
    _writes: set[int]
    _continuousPolling: Any
    waker: Any
    #: What is to be called when the turn ends.
    _due: list[Callable[[], object]]
    #: What the log knows of the reactor's thread, the innermost last.
    _contexts: list[dict[Any, Any]]

    #: How many times it has waited for events, and whether it does so now. Read in any thread.
    waits = 0
    is_waiting = False

    def begin_anew(self) -> None:
        """Set what Twisted's own does not have: this was one until now. Called in the reactor thread."""
        self._due = []
        self._contexts = _contexts_here()
        # The change of its class has left it with a dict that shares its keys. There CPython 3.11 looks for
        # each attribute at length, a hundred times for each connection; not so in a dict of its own.
        self.__dict__ = {**vars(self)}

    def mainLoop(self) -> None:
        """Run until the reactor stops."""
        self._contexts = _contexts_here()
        while self._started:
            with _LOGGED:
                while True:  # as in GreenletExecutor._work
                    if not self._started:
                        break
                    if self._due and not self.threadCallQueue:  # else what threads have done ends with it
                        self._end_turn()
                    seconds = self.timeout()
                    if seconds == 0.0 or self.threadCallQueue or self._justStopped:
                        self.runUntilCurrent()
                        seconds = self.timeout()
                    self.doIteration(seconds if self.running else 0.0)
        super().mainLoop()  # which says that it is over

    def wakeUp(self) -> None:
        """End the wait for events. Called in any thread.

        Twisted's own writes the same by way of a module with deprecated names, which takes as long again.
        """
        if self.waker is None:  # it does not run
            return
        try:  # noqa: SIM105 - for each result that a thread waits for: three calls less
            os.write(self.waker.o, b"x")
        except BlockingIOError:
            pass  # it has been told often enough

    def call_at_end(self, function: Callable[[], object]) -> None:
        """Call ``function`` once when the turn ends: after its events, before the next poll.

        It must not raise. Called in the reactor thread, within a turn.
        """
        self._due.append(function)

    def runUntilCurrent(self) -> None:
        """Call what is due, and then what was put off to the end of the turn."""
        super().runUntilCurrent()
        self._end_turn()

    def _end_turn(self) -> None:
        due, self._due = self._due, []
        for function in due:
            function()

    def timeout(self) -> float | None:
        """Return the seconds until there is something to call; None if that is at no time."""
        if self._due:
            return 0.0
        if self._newTimedCalls:
            self._insertNewDelayedCalls()
        pending = self._pendingTimedCalls
        if not pending:
            return None
        seconds: float = pending[0].time - seconds_now()
        if seconds <= 0.0:
            return 0.0
        return seconds if seconds < _LONGEST else _LONGEST

    def doPoll(self, timeout: float | None) -> None:
        """Wait for events for at most ``timeout`` seconds, and tell those whom they are for."""
        selectables, contexts = self._selectables, self._contexts
        self.is_waiting = True
        events = self._poller.poll(-1 if timeout is None else timeout, len(selectables))
        self.is_waiting = False
        self.waits += 1
        for descriptor, event in events:
            selectable = selectables.get(descriptor)
            if selectable is None:  # an earlier event of this turn has ended it
                continue
            whom = _Whom()
            whom.selectable = selectable
            contexts.append(whom)
            try:
                if event != EPOLLIN:
                    self._doReadOrWrite(selectable, descriptor, event)  # type: ignore[no-untyped-call]
                    continue
                # As that does it: nearly all events are no more than this.
                try:
                    why = selectable.doRead()
                except BaseException as error:  # noqa: BLE001 - of the protocol: its connection ends
                    log.err()  # type: ignore[no-untyped-call]
                    why = error
                if why:
                    self._disconnectSelectable(selectable, why, isRead=True)  # type: ignore[no-untyped-call]
            except KeyboardInterrupt:
                raise
            except BaseException:  # noqa: BLE001 - such as from a connectionLost; the others are told, too
                log.err()  # type: ignore[no-untyped-call]
            finally:
                contexts.pop()

    doIteration = doPoll

    def addReader(self, reader: Any) -> None:
        """Tell ``reader`` when it can read."""
        descriptor = reader.fileno()
        if descriptor in self._selectables:  # it can write, or is told already
            super().addReader(reader)  # type: ignore[no-untyped-call]
            return
        try:
            self._poller.register(descriptor, EPOLLIN)
        except PermissionError:  # a file, which epoll does not take
            self._continuousPolling.addReader(reader)
            return
        self._reads.add(descriptor)
        self._selectables[descriptor] = reader

    def removeReader(self, reader: Any) -> None:
        """Tell ``reader`` no more that it can read."""
        descriptor = reader.fileno()
        if descriptor not in self._reads or descriptor in self._writes:
            super().removeReader(reader)  # type: ignore[no-untyped-call]
            return
        self._reads.remove(descriptor)
        del self._selectables[descriptor]
        self._poller.unregister(descriptor)

    def removeWriter(self, writer: Any) -> None:
        """Tell ``writer`` no more that it can write. Most that end never asked for that."""
        if self._writes or self._continuousPolling._writers:
            super().removeWriter(writer)  # type: ignore[no-untyped-call]


def _contexts_here() -> list[dict[Any, Any]]:
    contexts: list[dict[Any, Any]] = context.theContextTracker.currentContext().contexts  # type: ignore[no-untyped-call]
    return contexts


def shorten(reactor: Any) -> None:
    """Make ``reactor`` a ShortReactor, if it is Twisted's own that uses epoll.

    It may run already: called in the reactor thread then.
    """
    if type(reactor) is EPollReactor:
        reactor.__class__ = ShortReactor
        assert isinstance(reactor, ShortReactor)
        reactor.begin_anew()
