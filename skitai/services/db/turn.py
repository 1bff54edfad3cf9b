"""Taking turns: who may use a connection."""

from __future__ import annotations

from collections import OrderedDict

from twisted.internet.defer import CancelledError, Deferred, succeed


class Turn:
    """A lock that goes to whoever wants it, in order. All of it is called in the reactor thread.

    Twisted's DeferredLock calls the next holder from within ``release``. Where thousands wait and each gives
    the lock back at once, such as the statements behind one that failed, the stack would be as deep.
    """

    def __init__(self) -> None:
        self.locked = False
        self._waiting: OrderedDict[Deferred[None], None] = OrderedDict()
        self._serving = False

    def acquire(self) -> Deferred[None]:
        """Fire when the caller has the lock. Cancelling gives up."""
        if not self.locked and not self._waiting:
            self.locked = True
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._give_up)
        self._waiting[waiter] = None
        return waiter

    def release(self) -> None:
        """Give the lock to the next one."""
        self.locked = False
        if self._serving:
            return
        self._serving = True
        while self._waiting and not self.locked:
            self.locked = True
            self._waiting.popitem(last=False)[0].callback(None)
        self._serving = False

    def _give_up(self, waiter: Deferred[None]) -> None:
        del self._waiting[waiter]
        waiter.errback(CancelledError())
