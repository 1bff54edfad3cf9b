"""Python's debugger as ``breakpoint()`` starts it in apps.

Python's own also takes Ctrl-C for itself when the code goes on in the main thread, which is the one of
greenlets: the server could not be ended by it any more.
"""

from __future__ import annotations

import pdb
import sys
from typing import IO, Any, cast

from skitai.loop.breakpoints import Lines, Turns


class Debugger(pdb.Pdb):
    """Stops when no other one is at the prompt. The first time, it is its turn already."""

    def __init__(self, turns: Turns, stdin: Lines | None = None) -> None:
        # With a stream of its own it also writes to one.
        stream = cast("IO[str] | None", stdin)
        super().__init__(stdin=stream, stdout=sys.stdout if stdin else None, nosigint=True)
        self._turns = turns
        self._has_turn = True
        self.prompt = "(Pdb) "

    def interaction(self, *args: Any) -> None:
        """Have a dialogue with the user."""
        if not self._has_turn:
            self._turns.begin()
            self._has_turn = True
        goes_on = False
        try:
            super().interaction(*args)
            goes_on = not self.quitting and self.stopframe is not self.botframe  # it will stop again
        finally:
            if not goes_on:
                self._has_turn = False
                self._turns.end()
