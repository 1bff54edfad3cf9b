"""The end of the reactor's turn, where work of one kind is done together.

If each request is read, run and answered before the next one is read, the processor must fetch the code of
each part again each time. All reads, then all apps, then all sends take a quarter less time.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from twisted.logger import Logger

from skitai.loop.hub import Hub, hub_of

_log = Logger()

#: Has a function called when the reactor's turn ends: ``TurnEnd.call`` for one stage.
CallSoon = Callable[[Callable[[], None]], object]


class Stage(IntEnum):
    """The order in which the end of a turn goes."""

    #: Greenlets that waited for something go on.
    RESUME = 0
    #: Apps begin with new requests.
    START = 1
    #: What apps handed over is done in the reactor itself, where nothing may wait.
    CALL = 2
    #: What they wrote is sent.
    SEND = 3
    #: What was done is written to the log.
    LOG = 4


class TurnEnd:
    """Calls functions when the turn of ``reactor`` ends. All methods are called in the reactor thread.

    A function may put off work: to a later stage, then it is done in the same run, or to an earlier one, then
    in the next run. ``hub`` is where greenlets of the reactor's thread wait. ``runs`` counts the turns that
    ended with something to do. ``sleepers`` are called once, and forgotten, when there is something to do
    again; any thread may append to them.
    """

    __slots__ = (
        "__weakref__",
        "_apps",
        "_functions",
        "_is_due",
        "_reactor",
        "_rest",
        "_run_apps",
        "hub",
        "runs",
        "sleepers",
    )

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._functions: tuple[list[Callable[[], object]], ...] = tuple([] for _ in Stage)
        self._apps = self._functions[: Stage.CALL]
        self._rest = self._functions[Stage.CALL :]
        self._is_due = False
        self.hub = hub_of(reactor)
        #: Made once: it is called in nearly each turn.
        self._run_apps = partial(_call_all, self._apps, self.hub)
        self.runs = 0
        self.sleepers: list[Callable[[], object]] = []

    def wake_sleepers(self) -> None:
        """Call the ``sleepers``. Whoever begins with something looks first whether there are any."""
        while self.sleepers:
            self.sleepers.pop()()

    def call(self, stage: Stage, function: Callable[[], object]) -> None:
        """Call ``function`` once, in its stage; what it raises is logged."""
        self._functions[stage].append(function)
        if not self._is_due:
            self._come_back()

    def _come_back(self) -> None:
        self._is_due = True
        if self.sleepers:
            self.wake_sleepers()
        # Runs when the reactor has handled all that was ready, before it polls again.
        reactor = self._reactor
        call_at_end = getattr(reactor, "call_at_end", None)  # a ShortReactor's, which it may become
        if call_at_end is None:
            reactor.callLater(0, self._run)
        else:
            call_at_end(self._run)

    def _run(self) -> None:
        self.runs += 1
        hub = self.hub
        if not hub.cooperates:
            _call_all(self._functions, hub)
        else:
            if any(self._apps):
                hub.run(self._run_apps)
            _call_all(self._rest, hub)
        self._is_due = False
        if any(self._functions):
            self._come_back()


def _call_all(stages: tuple[list[Callable[[], object]], ...], hub: Hub) -> None:
    for functions in stages:
        if not functions:
            continue
        due = functions[:]
        functions.clear()
        for function in due:
            if hub.is_forked:
                return
            try:
                function()
            except BaseException:  # noqa: BLE001 - the other functions must still be called
                _log.failure("what was put off to the end of the reactor's turn failed")


# By ``id(reactor)``: no other object has it as long as the TurnEnd, which holds the reactor, is there.
_turn_ends: WeakValueDictionary[int, TurnEnd] = WeakValueDictionary()


def turn_end_of(reactor: Any) -> TurnEnd:
    """Return the one ``TurnEnd`` of a reactor. The stages are in order only because all share it."""
    found = _turn_ends.get(id(reactor))
    if found is None:
        found = _turn_ends[id(reactor)] = TurnEnd(reactor)
    return found
