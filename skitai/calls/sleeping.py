"""``was.sleep``: waiting for nothing but time."""

from __future__ import annotations

from collections.abc import Awaitable
from math import inf

from twisted.internet.defer import Deferred

from skitai.calls.deadline import checked_seconds
from skitai.errors import OperationError, stopping
from skitai.loop.awaiting import in_asyncio, until_over
from skitai.loop.bridge import Bridge, Pending


class Sleeps:
    """Those who sleep at present. The stop of the server wakes them all."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._sleeping: set[_Sleep] = set()
        self._stopped = False

    def __len__(self) -> int:
        return len(self._sleeping)

    def sleep(self, seconds: float) -> Awaitable[None] | None:
        """Wait for ``seconds``, at least 0; in the reactor or an asyncio loop, return what is to be awaited.

        Raises OperationError (code 705) if the server stops meanwhile, TypeError or ValueError if ``seconds``
        is no such number. Called in any thread.
        """
        if not 0 <= checked_seconds("seconds", seconds) < inf:
            raise ValueError(f"seconds must be 0 or more, and finite, not {seconds!r}")
        sleep = _Sleep()
        self._sleeping.add(sleep)
        if self._stopped:  # looked at after the entry: ``stop`` finds the sleep, or this finds the stop
            sleep.end()
        if in_asyncio(self._bridge):
            return self._in_coroutine(sleep, seconds)
        if not self._bridge.may_wait():
            return Deferred.fromCoroutine(self._in_coroutine(sleep, seconds))
        try:
            woken = self._bridge.wait(sleep, seconds)
        finally:
            self._sleeping.discard(sleep)
        if woken:
            raise stopping(OperationError)
        return None

    async def _in_coroutine(self, sleep: _Sleep, seconds: float) -> None:
        try:
            woken = await until_over(self._bridge, sleep, seconds)
        finally:
            self._sleeping.discard(sleep)
        if woken:
            raise stopping(OperationError)

    def wake_all(self) -> None:
        """End all sleeps with an OperationError; new ones may begin. Called in the reactor thread."""
        for sleep in list(self._sleeping):
            sleep.end()

    def stop(self) -> None:
        """End all sleeps with an OperationError, also those to come. Called in the reactor thread."""
        self._stopped = True
        self.wake_all()


class _Sleep(Pending):
    """One sleep; it is over when it is woken before its time."""

    __slots__ = ()
