"""The limit of calls under way in one worker, and the queue of those that wait."""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from typing import TYPE_CHECKING, Protocol

import attrs
from twisted.logger import Logger, LogLevel

from skitai.errors import CODE_BUSY, OperationError, UnsentError, stopping

if TYPE_CHECKING:
    from skitai.calls.call import Call

_log = Logger()


@attrs.frozen
class CallLimits:
    """How many calls may be under way, and how many more may wait.

    The keys of ``[server]`` with the same names set the limits of a server. Without it there are none.
    """

    calls_max: float = inf
    calls_queue_max: float = inf


class Starter(Protocol):
    """What can perform a call when its turn comes."""

    call: Call

    def begin(self) -> None:
        """Perform the call, and call ``Traffic.leave`` when it is over."""


class Traffic:
    """The calls under way and those that wait, in order. All methods are called in the reactor thread."""

    def __init__(self, limits: CallLimits) -> None:
        self._limits = limits
        self._under_way: set[Call] = set()
        #: Those under way that no limit counts.
        self._uncounted: set[Call] = set()
        self._waiting: OrderedDict[Call, Starter] = OrderedDict()
        self._admitting = False
        self._stopped = False

    @property
    def under_way(self) -> int:
        """How many calls are under way."""
        return len(self._under_way) + len(self._uncounted)

    @property
    def waiting(self) -> int:
        """How many calls wait for their turn."""
        return len(self._waiting)

    def enter(self, starter: Starter) -> None:
        """Begin a call, now or in its turn; fail it if too many wait or the server stops."""
        call = starter.call
        if self._stopped:
            call.give_up(stopping(OperationError))
        elif call.operation.local or not call.operation.counted:
            if not call.over:
                self._start(starter, self._uncounted)
        elif self._waiting or len(self._under_way) >= self._limits.calls_max:
            self._queue(call, starter)
        elif not call.over:
            self._start(starter, self._under_way)

    def leave(self, call: Call) -> None:
        """Note that a call is over; the next in the queue takes its place. A second time does nothing."""
        self._uncounted.discard(call)
        self._under_way.discard(call)
        if self._waiting and not self._admitting:
            self._admit()

    def end_calls(self) -> None:
        """Fail the calls under way and those that wait (status 2, code 705)."""
        waiting = list(self._waiting)
        self._waiting.clear()  # first, because the end of one call must not begin another
        for call in [*self._under_way, *self._uncounted, *waiting]:
            call.give_up(stopping(OperationError))

    def stop(self) -> None:
        """Fail the calls under way, those that wait and all that come later."""
        self._stopped = True
        self.end_calls()

    def _queue(self, call: Call, starter: Starter) -> None:
        if len(self._waiting) >= self._limits.calls_queue_max:
            call.give_up(
                UnsentError(
                    f"too many calls: {len(self._under_way)} are under way and {self.waiting} wait"
                    " (calls_max and calls_queue_max in the config)",
                    code=CODE_BUSY,
                )
            )
            return
        self._waiting[call] = starter
        call.on_cancel(lambda: self._waiting.pop(call, None))

    def _start(self, starter: Starter, under_way: set[Call]) -> None:
        under_way.add(starter.call)
        try:
            starter.begin()
        except Exception as error:  # noqa: BLE001 - those that wait must still start
            _log.failure("{call} cannot be started", call=starter.call, level=LogLevel.error)
            under_way.discard(starter.call)
            starter.call.give_up(OperationError(f"{type(error).__name__}: {error}"))

    def _admit(self) -> None:
        # A loop, not a recursion: a call may be over at once, and leave while it is being admitted.
        self._admitting = True
        try:
            while self._waiting and len(self._under_way) < self._limits.calls_max:
                call, starter = self._waiting.popitem(last=False)
                if not call.over:
                    self._start(starter, self._under_way)
        finally:
            self._admitting = False
