"""gevent's hub, as the hub of the reactor's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import greenlet

from skitai.loop.hub import Hub


class GeventHub(Hub):
    """Greenlets of apps wait in gevent's hub, as all greenlets of a patched process do.

    The reactor runs in the main greenlet. When the hub calls a function, that function may switch to other
    greenlets, but not wait; code in the main greenlet may wait, but must not switch to others, because those
    switch to the hub in turn, which would go on with somebody else.
    """

    def __init__(self) -> None:
        self.parent: Any = gevent.get_hub()
        self.idle_code = type(self.parent).run.__code__
        self._run_callback = self.parent.loop.run_callback

    def start(self) -> None:
        """Take the current greenlet as the reactor's."""
        self.reactor_greenlet = greenlet.getcurrent()

    def run(self, function: Callable[[], object]) -> None:
        """Have the hub call ``function`` and whatever else is due; return after that."""
        me = greenlet.getcurrent()

        def run_and_return() -> None:
            try:
                function()
            finally:
                me.switch()

        self._run_callback(run_and_return)
        self.parent.switch()

    def give_way(self) -> None:
        """Have the hub call what is due. Called in the reactor's greenlet."""
        self._run_callback(greenlet.getcurrent().switch)
        self.parent.switch()
