"""A shorter turn of the reactor, and a shorter way from epoll to whom its events are for.

For each event Twisted has the log know whom it is for, in case that something is written to it: by way of
eleven calls, which take more time than a small read does. Here that takes one. Each turn takes three calls
less.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.logger import Logger
from twisted.python import context, log

_log = Logger()

#: Seconds: the most that epoll takes, in milliseconds (epoll_wait(2)).
_LONGEST = 2**31 // 1000
#: Logs what is raised within it.
_LOGGED = _log.failureHandler("the turn of the reactor failed")


class ShortReactor(EPollReactor):
    """The epoll reactor with a loop of its own; ``shorten`` turns an epoll reactor into one."""

    _poller: Any
    _selectables: dict[int, Any]

    def mainLoop(self) -> None:
        """Run until the reactor stops."""
        while self._started:
            with _LOGGED:
                while self._started:
                    self.runUntilCurrent()
                    seconds = self.timeout()
                    self.doIteration(seconds if self.running else 0)
        super().mainLoop()  # which says that it is over

    def timeout(self) -> float | None:
        """Return the seconds until the next timer is due; None if there is none."""
        if self._newTimedCalls:
            self._insertNewDelayedCalls()
        if not self._pendingTimedCalls:
            return None
        return max(0, min(_LONGEST, self._pendingTimedCalls[0].time - self.seconds()))

    def doPoll(self, timeout: float | None) -> None:
        """Wait for events for at most ``timeout`` seconds, and tell those whom they are for."""
        selectables = self._selectables
        events = self._poller.poll(-1 if timeout is None else timeout, len(selectables))
        contexts = context.theContextTracker.currentContext().contexts  # type: ignore[no-untyped-call]
        for descriptor, event in events:
            selectable = selectables.get(descriptor)
            if selectable is None:  # an earlier event of this turn has ended it
                continue
            contexts.append({log.ILogContext: {"system": selectable.logPrefix()}})
            try:
                self._doReadOrWrite(selectable, descriptor, event)  # type: ignore[no-untyped-call]
            except KeyboardInterrupt:
                raise
            except BaseException:  # noqa: BLE001 - such as from a connectionLost; the others are told, too
                log.err()  # type: ignore[no-untyped-call]
            finally:
                contexts.pop()

    doIteration = doPoll


def shorten(reactor: Any) -> None:
    """Make ``reactor`` a ShortReactor, if it is Twisted's own that uses epoll. It may run already."""
    if type(reactor) is EPollReactor:
        reactor.__class__ = ShortReactor
