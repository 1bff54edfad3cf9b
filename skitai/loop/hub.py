"""Where greenlets go back to when they wait."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import CodeType
from typing import Any
from weakref import WeakSet

import greenlet

from skitai.loop.astray import FORKS, end_child
from skitai.loop.native import get_ident


class Hub:
    """The greenlet that lets the others wait: here, the one that the reactor runs in.

    ``reactor_greenlet`` is the one that the reactor runs in: nothing may wait there. ``parent`` is the one to
    which greenlets of apps switch when they wait or end. Both are set by ``start``. ``idle_code`` is the
    function in which the thread waits for the system when nothing is to be done, if that is not the reactor's
    own. ``is_forked`` says that an app has forked this process. Only the greenlet that did so goes on here.
    """

    #: Whether a greenlet that blocks in the standard library lets the others go on.
    cooperates = False
    idle_code: CodeType | None = None

    def __init__(self) -> None:
        self.is_forked = False
        #: The reactor's thread.
        self.ident: int | None = None
        self.reactor_greenlet: greenlet.greenlet | None = None
        self.parent: greenlet.greenlet | None = None

    def start(self) -> None:
        """Take the current thread and greenlet as the reactor's."""
        self.ident = get_ident()
        self.reactor_greenlet = self.parent = greenlet.getcurrent()
        FORKS.serve()
        _started.add(self)

    def run(self, function: Callable[[], object]) -> None:
        """Call ``function``, which may switch to greenlets of apps. It must not raise.

        Called in the reactor's greenlet; it returns when ``function`` has.
        """
        function()

    def keep_only_current(self) -> None:
        """Let only the current greenlet go on: an app has forked this process, and the others are copies.

        If the reactor ran here, too, it would take connections away from the server, and each request under
        way would go on twice. So a child that returns from its request ends.
        """
        self.is_forked = True
        self.ident = None  # what is handed to the reactor is not done here
        me = greenlet.getcurrent()
        if me.parent is not None:
            me.parent = greenlet.greenlet(lambda *_: end_child(), me.parent)


def hub_of(reactor: Any) -> Hub:
    """Return the hub of a reactor: one of its own, if it has any, or else a new plain one."""
    found: Hub | None = getattr(reactor, "hub", None)
    return Hub() if found is None else found


_started: WeakSet[Hub] = WeakSet()


def _keep_only_current() -> None:
    for hub in list(_started):
        if hub.reactor_greenlet is not greenlet.getcurrent():  # else the reactor's owner forked, on purpose
            hub.keep_only_current()


os.register_at_fork(after_in_child=_keep_only_current)
