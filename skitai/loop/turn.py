"""What is put off to the end of the reactor's turn, where work of one kind is done together.

A turn that reads one request, runs its app, sends its answer and then reads the next one has the processor
fetch the code of each part anew each time; all reads, then all apps, then all sends take a quarter less.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any
from weakref import WeakValueDictionary

from twisted.logger import Logger

_log = Logger()


class Stage(IntEnum):
    """The order in which the end of a turn goes."""

    #: Who waited for something goes on.
    RESUME = 0
    #: Apps begin with new requests.
    START = 1
    #: What all of these have to say leaves.
    SEND = 2
    #: What was done is written to the log.
    LOG = 3


class TurnEnd:
    """Calls functions when the turn of ``reactor`` ends. All methods are called in the reactor thread.

    What a stage puts off to a later one is done at the same end, the rest at that of the next turn.
    """

    __slots__ = ("__weakref__", "_functions", "_is_due", "_reactor")

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._functions: tuple[list[Callable[[], object]], ...] = tuple([] for _ in Stage)
        self._is_due = False

    def call(self, stage: Stage, function: Callable[[], object]) -> None:
        """Call ``function`` once, when it is its stage's turn; what it raises is logged."""
        self._functions[stage].append(function)
        if not self._is_due:
            self._come_back()

    def _come_back(self) -> None:
        self._is_due = True
        # Runs when the reactor has dealt with all that it found ready, and before it looks again.
        self._reactor.callLater(0, self._run)

    def _run(self) -> None:
        for functions in self._functions:
            due = functions[:]
            functions.clear()
            for function in due:
                try:
                    function()
                except BaseException:  # noqa: BLE001 - the others have nothing to do with it
                    _log.failure("what was put off to the end of the reactor's turn failed")
        self._is_due = False
        if any(self._functions):
            self._come_back()


# By the identity of the reactor, which no other object has as long as its TurnEnd is there.
_turn_ends: WeakValueDictionary[int, TurnEnd] = WeakValueDictionary()


def turn_end_of(reactor: Any) -> TurnEnd:
    """Return the one ``TurnEnd`` of a reactor: only where all share it are the stages in order."""
    found = _turn_ends.get(id(reactor))
    if found is None:
        found = _turn_ends[id(reactor)] = TurnEnd(reactor)
    return found
