"""A shorter way from epoll to whom its events are for.

For each event Twisted has the log know whom it is for, in case that something is written to it: by way of
eleven calls, which take more time than a small read does. Here that takes one.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.python import context, log


class ShortReactor(EPollReactor):
    """The epoll reactor with a ``doPoll`` of its own; ``shorten`` turns an epoll reactor into one."""

    _poller: Any
    _selectables: dict[int, Any]

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
