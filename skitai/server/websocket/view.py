"""A view that keeps its websockets: in a thread of its own, a greenlet, or as a coroutine in the reactor."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from inspect import iscoroutinefunction
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from skitai.context import call_with_was, start_with_was
from skitai.server.websocket.calls import WebSocketCall, call_app
from skitai.server.websocket.state import Accepted, WebSockets
from skitai.websocket.closing import WebSocketClosed


class View:
    """Runs the app, or what it gave to be run, with ``socket``: a websocket or a room.

    ``over(ok)`` is called in the reactor thread when it has ended, ``ok`` is whether without a failure.
    """

    def __init__(
        self, websockets: WebSockets, accepted: Accepted, socket: Any, over: Callable[[bool], None]
    ) -> None:
        self._websockets = websockets
        self._accepted = accepted
        self._socket = socket
        self._over = over
        self._running: Deferred[Any] | None = None
        self._stopped = False

    def start(self) -> None:
        """Begin to run. Raises RuntimeError where there is no thread for it. Called in the reactor thread."""
        accepted, websockets = self._accepted, self._websockets
        environ = accepted.environ
        environ["websocket"] = self._socket
        serve = accepted.init.serve
        if serve is not None and iscoroutinefunction(serve):
            websockets.began(self)
            # Not in the greenlet that has answered the handshake: that may wait, and a coroutine may not.
            websockets.bridge.submit_to_reactor(partial(self._begin, partial(serve, self._socket)))
        else:
            websockets.run(accepted.executor, self._run)
            websockets.began(self)

    def stop(self) -> None:
        """End it if that is possible: a coroutine is cancelled. Called in the reactor thread."""
        self._stopped = True
        if self._running is not None:
            self._running.cancel()

    # -- in the app's thread or greenlet -------------------------------------------------------------------

    def _run(self) -> None:
        accepted = self._accepted
        ok = False
        try:
            ok = WebSocketCall(accepted.resource, accepted.environ, accepted.line).run(self._serve, False)
        finally:
            self._websockets.bridge.submit(partial(self._ended, ok))

    def _serve(self) -> bool:
        """Return whether the view has ended well. That its peer has left may end it, and is no failure."""
        accepted = self._accepted
        try:
            if accepted.init.serve is None:
                return call_app(accepted.app, accepted.environ).is_ok
            accepted.init.serve(self._socket)
        except WebSocketClosed:
            if not self._socket.closed:  # it is about another websocket
                raise
        return True

    # -- in the reactor thread -----------------------------------------------------------------------------

    def _begin(self, serve: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Start the coroutine of ``serve``, unless it is too late."""
        if self._stopped:
            self._ended(ok=False)
            return
        accepted = self._accepted
        self._running = start_with_was(accepted.resource.services, serve, accepted.environ)
        self._running.addBoth(self._coroutine_over)

    def _coroutine_over(self, outcome: Any) -> None:
        self._running = None
        ok = not isinstance(outcome, Failure)
        if not ok and not self._is_expected(outcome):
            accepted = self._accepted
            report = partial(accepted.resource.app_failed, outcome.value, accepted.line, outcome)
            # As of the request: its context has ended with the coroutine.
            Context().run(call_with_was, accepted.resource.services, lambda _was: report(), accepted.environ)
        self._ended(ok)

    def _is_expected(self, failure: Failure) -> bool:
        """Return whether a coroutine has failed because it was told to end."""
        if failure.check(CancelledError) is not None:  # type: ignore[no-untyped-call]
            return True
        return self._socket.closed and failure.check(WebSocketClosed) is not None  # type: ignore[no-untyped-call]

    def _ended(self, ok: bool) -> None:
        self._websockets.ended(self)
        self._over(ok)
