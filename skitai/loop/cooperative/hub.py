"""gevent's hub, as the hub of the reactor's thread."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import gevent
import greenlet
from gevent import core
from gevent._hub_local import set_default_hub_class, set_hub
from gevent.exceptions import HubDestroyed
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from skitai.loop.cooperative.locks import Lock
from skitai.loop.hub import Hub
from skitai.loop.switching import switch_to, without_loop

_log = Logger()

#: What has a greenlet go on: it waits for an event, or is due already.
_WAKERS = (core.watcher, core.callback)


class LoggingHub(gevent.hub.Hub):  # type: ignore[misc]
    """gevent's hub, which a greenlet of an app cannot end: what it raises is logged.

    The original prints it, and raises SystemExit and KeyboardInterrupt in the main greenlet: in the reactor.
    Greenlets that wait here may run asyncio loops, each its own.
    """

    def switch(self) -> Any:
        """Let others go on, and return when the current greenlet goes on."""
        return without_loop(super().switch)

    def handle_error(self, context: Any, type: Any, value: Any, tb: Any) -> None:  # noqa: A002
        """Log what a greenlet or a callback of the loop raised. Called by the loop."""
        error = value if isinstance(value, BaseException) else type(value)
        if isinstance(error, HubDestroyed):
            raise error
        if not isinstance(error, self.NOT_ERROR):
            failure = Failure(error, type, tb)  # type: ignore[no-untyped-call]
            _log.failure("{context} failed", failure, context=context, level=LogLevel.error)


class GeventHub(Hub):
    """Greenlets of apps wait in gevent's hub, as all greenlets of a patched process do.

    Only the hub switches to them. The reactor has the main greenlet, which the hub switches to, too. So the
    reactor may wait as they do, and while it does, they go on. ``reactor_waits`` says that it waits for
    events, and that nobody has roused it yet.
    """

    cooperates = True

    def __init__(self) -> None:
        super().__init__()
        set_default_hub_class(LoggingHub)
        set_hub(None)  # the patch may have made one
        self.gevent: Any = gevent.get_hub()
        self.idle_code = type(self.gevent).run.__code__
        self._run_callback = self.gevent.loop.run_callback
        self.reactor_waits = False

    def start(self) -> None:
        """Take the current greenlet as the reactor's."""
        super().start()
        self.parent = self.gevent

    def run(self, function: Callable[[], object]) -> None:
        """Have the hub call ``function`` and whatever else is due; return after that."""
        me = greenlet.getcurrent()

        def run_and_return() -> None:
            function()
            if not self.is_forked:
                me.switch()

        self._run_callback(run_and_return)
        self.let_run()

    def give_way(self) -> None:
        """Have the hub call what is due. Called in the reactor's greenlet."""
        self._run_callback(greenlet.getcurrent().switch)
        self.let_run()

    def let_run(self) -> None:
        """Switch to the hub, which switches back when told to. Called in the reactor's greenlet."""
        switch_to(self.gevent)

    def keep_only_current(self) -> None:
        """Let only the current greenlet go on: nothing happens any more for which others wait."""
        super().keep_only_current()
        self.reactor_waits = False
        gc.unfreeze()  # or what waits since the apps were loaded is not found
        for found in gc.get_objects():
            if isinstance(found, _WAKERS):
                found.stop()
            elif isinstance(found, Lock):
                found.forget_waiters()
