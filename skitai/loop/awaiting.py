"""Waiting in a coroutine: in one of the reactor, or in one that an app's asyncio loop runs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from math import inf

from twisted.internet.defer import CancelledError, Deferred

from skitai.loop.bridge import Bridge, Pending
from skitai.loop.greenletloop import GreenletLoop
from skitai.loop.switching import running_loop

#: What a coroutine that is cancelled sees.
CANCELLATIONS = (CancelledError, asyncio.CancelledError)


def in_asyncio(bridge: Bridge) -> bool:
    """Whether this code runs in an asyncio loop of an app.

    The reactor's own loop, where Twisted runs on one, does not count.
    """
    return running_loop() is not None and bridge.may_wait()


async def until_over(bridge: Bridge, pending: Pending, seconds: float) -> bool:
    """Wait at most ``seconds`` for ``pending``; return whether it is over.

    ``inf`` waits without a limit. Awaited in a coroutine of the reactor or of an asyncio loop, in any thread.
    An asyncio loop goes on meanwhile. Where it would hold up the reactor, because it runs in a greenlet and
    waits for the system itself, the greenlet waits instead.
    """
    if pending.over:
        return True
    if in_asyncio(bridge):
        await _in_app_loop(bridge, pending, seconds)
        return pending.over
    ended: Deferred[None] = Deferred()

    def end() -> None:
        if not ended.called:
            ended.callback(None)

    timer = None if seconds == inf else bridge.call_later(max(seconds, 0), end)
    pending.on_end(partial(bridge.submit, end))
    try:
        await ended
    finally:
        if timer is not None and timer.active():
            timer.cancel()
    return pending.over


async def _in_app_loop(bridge: Bridge, pending: Pending, seconds: float) -> None:
    if bridge.blocks_here() and not isinstance(asyncio.get_running_loop(), GreenletLoop):
        bridge.wait(pending, seconds)
    else:
        await _in_loop(pending, max(seconds, 0))


async def _in_loop(pending: Pending, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    def tell() -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(end)

    timer = None if seconds == inf else loop.call_later(seconds, end)
    pending.on_end(tell)
    try:
        await ended
    finally:
        if timer is not None:
            timer.cancel()
