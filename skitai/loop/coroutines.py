"""Runs a coroutine in the reactor, while the thread or greenlet of an app waits for its outcome."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from skitai.loop.bridge import Bridge, Pending
from skitai.loop.contexts import current_context, start_in

#: Seconds of one wait in a loop without a deadline: the waits of the coroutine have their own deadlines.
_LOOK_SECONDS = 60.0


def run_coroutine(bridge: Bridge, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run ``coroutine`` in the reactor, where it may ``await was.get(...)``, and return what it returns.

    It runs in the caller's context, not in a copy. Raises what it raises. If an exception ends the wait, as
    in a greenlet that is killed, the coroutine is cancelled. Called in a thread or a greenlet; MisuseError in
    the reactor.
    """
    ended = Pending()
    outcome: list[Any] = []
    running: list[Deferred[Any]] = []

    def start() -> None:
        deferred = start_in(context, coroutine)
        running.append(deferred)
        deferred.addBoth(outcome.append)
        deferred.addBoth(lambda _: ended.end())

    def cancel() -> None:
        for deferred in running:
            deferred.cancel()

    context = current_context()
    bridge.submit_to_reactor(start)
    try:
        while not bridge.wait(ended, _LOOK_SECONDS):
            pass
    except BaseException:
        bridge.submit(cancel)
        raise
    result = outcome[0]
    if isinstance(result, Failure):
        result.raiseException()
    return result
