"""Greenlets of one thread that each run an asyncio loop of their own, or none.

asyncio notes for each thread which loop runs in it. A greenlet that waits must take that note along. Else the
next greenlet of the thread would pass for a part of that loop, and could not run its own.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import greenlet

T = TypeVar("T")

#: Returns the asyncio loop that runs in this thread, or None. asyncio exports this function and its setter,
#: underscores and all, for those who write loops.
running_loop: Callable[[], asyncio.AbstractEventLoop | None] = asyncio._get_running_loop
_switch = greenlet.greenlet.switch


def _keep_task(_loop: Any, task: Any) -> Any:
    return task


# Up to Python 3.13 asyncio notes the current task of each loop. Later it notes that of the thread, and has no
# public way to put the note aside.
_swap_task: Callable[[Any, Any], Any] = (
    asyncio.tasks._swap_current_task if sys.version_info >= (3, 14) else _keep_task  # type: ignore[attr-defined]
)


def switch_to(target: greenlet.greenlet) -> None:
    """Let ``target`` go on; return when somebody switches back. Called in any greenlet.

    This is ``switch`` of the class greenlet: gevent's hub has a ``switch`` of its own, for its own greenlets.
    """
    if running_loop() is None:
        _switch(target)
    else:
        without_loop(partial(_switch, target))


def without_loop(function: Callable[[], T]) -> T:
    """Return ``function()``, for which no asyncio loop runs in this thread.

    Every switch to another greenlet happens in such a function. Called in any greenlet.
    """
    loop = running_loop()
    if loop is None:
        return function()
    task = _swap_task(loop, None)
    hooks = sys.get_asyncgen_hooks()  # the loop counts the thread's asynchronous generators by these
    asyncio._set_running_loop(None)
    sys.set_asyncgen_hooks(None, None)
    try:
        return function()
    finally:
        sys.set_asyncgen_hooks(*hooks)
        asyncio._set_running_loop(loop)
        _swap_task(loop, task)
