"""A reactor in a thread of its own, for programs that have no use for one in their main thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.error import ReactorNotRestartable, ReactorNotRunning
from twisted.python.failure import Failure
from twisted.python.threadable import isInIOThread

from skitai.errors import MisuseError
from skitai.loop.bridge import Pending, wait_in_thread
from skitai.loop.native import start_thread, threads_are_greenlets

#: Seconds between two looks whether the reactor runs yet.
_LOOK_SECONDS = 1.0
#: Seconds that the reactor has to end when the process does.
_END_SECONDS = 1.0


class BackgroundReactor:
    """Runs ``reactor`` in a daemon thread, unless somebody else runs it already.

    No method may be called in the reactor thread: all of them wait.
    """

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self._begun = Pending()
        self._ended = Pending()
        self._error: BaseException | None = None
        self._is_own = False

    def start(self) -> None:
        """Run the reactor, unless it runs.

        Raises MisuseError if it has ended, because it cannot run a second time, or if it cannot have a thread
        because gevent has replaced what it waits with.
        """
        if self.reactor.running:
            return
        if threads_are_greenlets():
            raise MisuseError("gevent has patched the standard library: the reactor cannot run in a thread")
        self._is_own = True
        self._error = None
        self._begun, self._ended = Pending(), Pending()
        self.reactor.callWhenRunning(self._begun.end)
        # Or a thread that looks up a name would keep the process from ending.
        self.reactor.getThreadPool().threadFactory = partial(Thread, daemon=True)
        start_thread(self._run, "skitai-reactor")
        while not wait_in_thread(self._begun, _LOOK_SECONDS):
            pass
        if isinstance(self._error, ReactorNotRestartable):
            message = "Twisted's reactor was stopped in this process, and it cannot run a second time"
            raise MisuseError(message) from self._error
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self.reactor.run(installSignalHandlers=False)
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits for the start
            self._error = error
        finally:
            self._ended.end()
            self._begun.end()

    def call(self, function: Callable[[], Any]) -> Any:
        """Return what ``function()``, or the Deferred that it returns, gives in the reactor thread.

        Raises what it raises, and MisuseError if the reactor ends meanwhile.
        """
        if isInIOThread():  # type: ignore[no-untyped-call]
            raise MisuseError("this would wait in the reactor thread for the reactor itself")
        done = Pending()
        outcome: list[Any] = []

        def run() -> None:
            deferred = maybeDeferred(function)
            deferred.addBoth(outcome.append)
            deferred.addBoth(lambda _: done.end())

        self.reactor.callFromThread(run)
        while not wait_in_thread(done, _LOOK_SECONDS):
            if not self.reactor.running:
                raise MisuseError("Twisted's reactor was stopped in this process")
        if isinstance(outcome[0], Failure):
            outcome[0].raiseException()
        return outcome[0]

    def stop(self) -> None:
        """End the reactor, if it was begun here, and wait for that for a second at most."""
        if self._is_own and self.reactor.running:
            self.reactor.callFromThread(self._stop)
            wait_in_thread(self._ended, _END_SECONDS)

    def _stop(self) -> None:
        try:
            self.reactor.stop()
        except ReactorNotRunning:
            """Somebody else has stopped it."""
