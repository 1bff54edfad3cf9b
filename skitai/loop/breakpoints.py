"""``breakpoint()`` in apps: one request after the other stops at the terminal, and no other waits for it.

Python's debugger reads its commands in a way that blocks. In a thread that is right. In a greenlet it would
hold up the reactor, and so all requests: there, a thread reads and the greenlet waits for the line.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from math import inf
from types import FrameType
from typing import Any

from skitai.loop.bridge import Bridge, Pending
from skitai.loop.native import Lock, start_thread


def install(bridge: Bridge) -> None:
    """Have ``breakpoint()`` stop in apps as described, unless something else was installed for it."""
    if sys.breakpointhook is sys.__breakpointhook__ and not os.environ.get("PYTHONBREAKPOINT"):
        sys.breakpointhook = Breakpoints(bridge)


def is_somebody_there() -> bool:
    """Whether a request has stopped at the terminal. Any thread, also in a signal handler."""
    hook = sys.breakpointhook
    return isinstance(hook, Breakpoints) and hook.has_stopped


class Breakpoints:
    """Takes the place of ``sys.breakpointhook``; called in any thread or greenlet."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._turns = Turns(bridge)

    @property
    def has_stopped(self) -> bool:
        """Whether a request has the terminal."""
        return self._turns.is_taken

    def __call__(self, *_args: Any, **_options: Any) -> None:
        """Stop in the code that calls this."""
        from skitai.loop.debugger import Debugger  # what it needs takes memory, and is hardly ever wanted

        frame: FrameType | None = sys._getframe(1)
        waits = self._bridge.blocks_here() and self._bridge.may_wait()
        # Before Python calls the debugger: it calls no other one of the same thread until that returns.
        self._turns.begin()
        Debugger(self._turns, Lines(self._bridge) if waits else None).set_trace(frame)


class Turns:
    """Lets one debugger after the other have the terminal."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        #: Whether somebody has the terminal.
        self.is_taken = False
        self._waiting: deque[Pending] = deque()
        self._changing = Lock()

    def begin(self) -> None:
        """Wait for the terminal. In the reactor itself, which may not wait, take it."""
        with self._changing:
            if not (self.is_taken and self._bridge.may_wait()):
                self.is_taken = True
                return
            mine = Pending()
            self._waiting.append(mine)
        try:
            self._bridge.wait(mine, inf)
        except BaseException:  # the server ends
            with self._changing:
                was_next = mine not in self._waiting
                if not was_next:
                    self._waiting.remove(mine)
            if was_next:
                self.end()
            raise

    def end(self) -> None:
        """Leave the terminal to the next one."""
        with self._changing:
            following = self._waiting.popleft() if self._waiting else None
            self.is_taken = following is not None
        if following is not None:
            following.end()


class Lines:
    """Standard input for a greenlet."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def readline(self) -> str:
        """Return the next line; it is empty at the end (Ctrl-D)."""
        if not self._bridge.may_wait():  # one has stepped from an app into the reactor
            return sys.stdin.readline()
        read = Pending()
        lines = [""]

        def wait() -> None:
            try:
                lines[0] = sys.stdin.readline()
            finally:
                read.end()

        start_thread(wait, "skitai-breakpoint")
        self._bridge.wait(read, inf)
        return lines[0]
