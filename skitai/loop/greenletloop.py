"""An asyncio loop in a greenlet of the reactor's thread, which lets the others go on while it waits."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from skitai.loop import native
from skitai.loop.bridge import Bridge, Pending

T = TypeVar("T")

#: Seconds of one wait of a loop that has no timer.
_LOOK_SECONDS = 60.0


def run_in_greenlet(bridge: Bridge, coroutine: Coroutine[Any, Any, T], context: Context) -> T:
    """Run ``coroutine`` in an asyncio loop of its own and in ``context``; return what it returns.

    As ``asyncio.run`` does, this cancels the tasks that are left at the end. Called in a greenlet of the
    reactor's thread, in which no asyncio loop runs.
    """
    loop = GreenletLoop(bridge)
    try:
        return loop.run_until_complete(loop.create_task(coroutine, context=context))
    finally:
        try:
            loop.run_until_complete(_end_rest(loop))
        finally:
            loop.close()


async def _end_rest(loop: asyncio.AbstractEventLoop) -> None:
    rest = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


class GreenletLoop(asyncio.SelectorEventLoop):
    """An asyncio loop that waits through ``bridge``.

    asyncio wakes a loop by a byte through a pair of sockets, which take as long to make as all the rest. Here
    the bridge wakes it. A version of asyncio with other names for these methods would go on as it does.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._waits = _Selector(bridge)
        super().__init__(self._waits)

    def _make_self_pipe(self) -> None:
        pass

    def _close_self_pipe(self) -> None:
        pass

    def _write_to_self(self) -> None:
        self._waits.wake()


class _Selector(native.DefaultSelector):
    """The selector of the system; where that would wait, the greenlet waits for its descriptor."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge
        self._waking = Pending()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready, at the latest after ``timeout`` seconds."""
        if timeout is None or timeout > 0:
            self._wait(_LOOK_SECONDS if timeout is None else timeout)
        if not self.get_map():
            return []
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        return ready

    def wake(self) -> None:
        """Have ``select`` return soon. Called in any thread."""
        self._waking.end()

    def _wait(self, seconds: float) -> None:
        if not self.get_map():
            self._bridge.wait(self._waking, seconds)
        else:
            reader = _Reader(self.fileno(), self._waking)
            self._bridge.watch(reader)
            try:
                self._bridge.wait(self._waking, seconds)
            finally:
                self._bridge.unwatch(reader)
        # Not before: what wakes it until here has been put into the loop, which looks at that next.
        self._waking = Pending()


@implementer(IReadDescriptor)
class _Reader:
    """Ends ``pending`` when ``descriptor`` is ready."""

    def __init__(self, descriptor: int, pending: Pending) -> None:
        self._descriptor = descriptor
        self._pending = pending

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "asyncio"

    def doRead(self) -> None:
        self._pending.end()

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002 - named by the interface
        self._pending.end()
