"""Where greenlets go back to when they wait."""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType
from typing import Any

import greenlet


class Hub:
    """The greenlet that lets the others wait: here, the one that the reactor runs in.

    ``reactor_greenlet`` is the one that the reactor runs in: nothing may wait there. ``parent`` is the one to
    which greenlets of apps switch when they wait or end. Both are set by ``start``. ``idle_code`` is the
    function in which the thread waits for the system when nothing is to be done, if that is not the reactor's
    own.
    """

    idle_code: CodeType | None = None

    reactor_greenlet: greenlet.greenlet | None = None
    parent: greenlet.greenlet | None = None

    def start(self) -> None:
        """Take the current greenlet as the reactor's."""
        self.reactor_greenlet = self.parent = greenlet.getcurrent()

    def run(self, function: Callable[[], object]) -> None:
        """Call ``function``, which may switch to greenlets of apps. It must not raise.

        Called in the reactor's greenlet; it returns when ``function`` has.
        """
        function()


def hub_of(reactor: Any) -> Hub:
    """Return the hub of a reactor: one of its own, if it has any, or else a new plain one."""
    found: Hub | None = getattr(reactor, "hub", None)
    return Hub() if found is None else found
