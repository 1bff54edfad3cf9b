"""The lock of a patched standard library: greenlets and real threads may share it.

gevent's own loses wake-ups between threads (its issues 1744 and 2013): a function of ``was.run`` that writes
to the log at the same time as a view could stop the server for ever. The rest of ``threading`` and ``queue``
is made of locks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import TIMEOUT_MAX
from typing import Any

import greenlet
from gevent import get_hub
from gevent._hub_local import get_hub_if_exists

from skitai.loop import native


class Lock:
    """Does what ``threading.Lock`` does, in greenlets and in threads. Those who wait get it in turn."""

    __slots__ = ("__weakref__", "_lock", "_waiters")

    def __init__(self) -> None:
        self._lock = native.Lock()
        self._waiters: deque[ThreadWaiter | GreenletWaiter] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it, waiting for ``timeout`` seconds at most, -1 for ever; return whether it was taken."""
        if not blocking and timeout != -1:
            raise ValueError("can't specify a timeout for a non-blocking call")
        if timeout < 0 and timeout != -1:
            raise ValueError("timeout value must be a non-negative number")
        if timeout > TIMEOUT_MAX:
            raise OverflowError("timeout value is too large")
        return self._lock.acquire(False) or (blocking and self._wait(timeout))

    def release(self) -> None:
        """Give it to the one who has waited for longest, if any. Raises RuntimeError if nobody has it."""
        self._pass_on()

    def _pass_on(self) -> None:
        """Do so, whatever ``release`` means in a subclass."""
        self._lock.release()
        # ``_wait`` tries again after it has entered: either it finds the lock free, or this finds the waiter.
        while self._waiters and self._lock.acquire(False):
            try:
                waiter = self._waiters.popleft()
            except IndexError:  # the last one has given up meanwhile
                self._lock.release()
            else:
                waiter.give()
                return

    def locked(self) -> bool:
        """Return whether somebody has it."""
        return self._lock.locked()

    def forget_waiters(self) -> None:
        """Give it to none of those who wait now: in a forked child they are copies, which never go on."""
        self._waiters.clear()

    def __enter__(self) -> bool:
        return self._lock.acquire(False) or self._wait(-1)

    def __exit__(self, *_: object) -> None:
        self.release()

    def _wait(self, timeout: float) -> bool:
        # In a thread without a hub there are no other greenlets that could go on.
        waiter = ThreadWaiter() if get_hub_if_exists() is None else GreenletWaiter()
        self._waiters.append(waiter)
        if self._lock.acquire(False):
            self._withdraw(waiter)
            return True
        try:
            waiter.wait(timeout)
        except BaseException:
            if not self._withdraw(waiter):
                waiter.when_given(self._pass_on)
            raise
        if not waiter.is_given:
            if self._withdraw(waiter):
                return False
            waiter.wait(-1)  # it was being given when the time was over
        waiter.close()
        return True

    def _withdraw(self, waiter: ThreadWaiter | GreenletWaiter) -> bool:
        """Let ``waiter`` wait no longer; return False if it was given the lock, or is just about to be."""
        try:
            self._waiters.remove(waiter)
        except ValueError:
            return False
        waiter.close()
        return True

    def _at_fork_reinit(self) -> None:
        """Be free in a child process, where those who had it or waited for it are not."""
        self.forget_waiters()
        self._lock = native.Lock()

    def __repr__(self) -> str:
        return f"<{'locked' if self.locked() else 'unlocked'} {type(self).__name__} at {id(self):#x}>"


class Sentinel(Lock):
    """The lock for which ``Thread.join`` waits, before Python 3.13: a thread has it until it ends.

    After that nobody has it, though all take it who join: each of them asserts that it is not locked.
    """

    __slots__ = ("_has_ended",)

    def __init__(self) -> None:
        super().__init__()
        self._has_ended = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it for the thread, or wait for the thread's end; return whether that is so."""
        taken = super().acquire(blocking, timeout)
        if taken and self._has_ended:
            self._pass_on()
        return taken

    def release(self) -> None:
        """Note that the thread ends. Those who have waited for that call this, too."""
        if not self._has_ended:
            self._has_ended = True
            self._pass_on()

    def locked(self) -> bool:
        """Return whether the thread runs."""
        return not self._has_ended and super().locked()

    def _at_fork_reinit(self) -> None:
        super()._at_fork_reinit()
        self._has_ended = False


class ThreadWaiter:
    """Waits with its whole thread."""

    __slots__ = ("_gate", "is_given")

    def __init__(self) -> None:
        self.is_given = False
        self._gate = native.Lock()
        self._gate.acquire()

    def wait(self, timeout: float) -> None:
        """Wait until it is given, for ``timeout`` seconds at most."""
        self.is_given = self._gate.acquire(timeout=timeout)

    def give(self) -> None:
        """End the wait. Called in any thread, once."""
        self._gate.release()

    def when_given(self, function: Callable[[], None]) -> None:
        """Call ``function`` when it is given, which is about to happen."""
        self._gate.acquire()
        function()

    def close(self) -> None:
        """Do nothing: it holds nothing."""


class GreenletWaiter:
    """Waits in the hub of its thread."""

    __slots__ = ("_greenlet", "_hub", "_is_late", "_then", "_watcher", "is_given")

    def __init__(self) -> None:
        self.is_given = self._is_late = False
        self._then: Callable[[], None] | None = None
        self._greenlet: greenlet.greenlet | None = None
        self._hub: Any = get_hub()
        # It carries the news from other threads. And the hub does not end for want of something to wait for.
        self._watcher = self._hub.loop.async_()
        self._watcher.start(self._take)

    def wait(self, timeout: float) -> None:
        """Wait until it is given, for ``timeout`` seconds at most. Called in the greenlet that made it."""
        timer = None if timeout < 0 else self._hub.loop.timer(timeout)
        try:
            self._is_late = False
            if timer is not None:
                timer.start(self._be_late)
            while not (self.is_given or self._is_late):
                self._greenlet = greenlet.getcurrent()
                self._hub.switch()
        finally:
            self._greenlet = None
            if timer is not None:
                timer.close()

    def give(self) -> None:
        """End the wait. Called in any thread, once."""
        self._watcher.send()

    def when_given(self, function: Callable[[], None]) -> None:
        """Call ``function`` in the hub when it is given, or now if it is."""
        self._then = function
        if self.is_given:
            self._take()

    def close(self) -> None:
        """Let go of the watcher."""
        self._watcher.close()

    def _take(self) -> None:
        self.is_given = True
        if self._then is None:
            self._go_on()
        else:
            self.close()
            self._then()

    def _be_late(self) -> None:
        self._is_late = True
        self._go_on()

    def _go_on(self) -> None:
        waiting, self._greenlet = self._greenlet, None
        if waiting is not None:
            waiting.switch()
