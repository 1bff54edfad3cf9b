"""Where app code runs: in a few threads, or in a greenlet for each request."""

from __future__ import annotations

from skitai.loop.greenlets import GreenletExecutor
from skitai.loop.hub import Hub
from skitai.loop.threadpool import CallSoon, ThreadExecutor


def executor_for(
    threads: int, call_soon: CallSoon, hub: Hub | None = None
) -> ThreadExecutor | GreenletExecutor:
    """Return the executor for the config's ``threads``: greenlets, which wait in ``hub``, for 0."""
    return ThreadExecutor(threads, call_soon) if threads else GreenletExecutor(call_soon, hub)
