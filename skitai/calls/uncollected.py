"""What ends with the request that began it: calls that nobody waits for, and whatever asked to be told."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from twisted.logger import Logger

from skitai.calls.call import Call
from skitai.errors import CODE_SHUTDOWN, OperationError, OperationTimeout
from skitai.loop.native import Lock

if TYPE_CHECKING:
    from skitai.calls.group import CallGroup

#: Seconds that a detached call may take unless somebody waits for it: twelve times the default time-out.
LONGEST_LIFE = 60.0
#: How many calls are noted before those that are over are dropped.
_MANY = 32

_log = Logger()

# Held to change what a request has noted: its functions in other threads make calls, too.
_noting = Lock()


class OpenCalls:
    """The calls of one request, and what else ends with it. Used in any thread."""

    # Most requests note nothing: they need no list of their own, and no function that makes one.
    #: None when the request has ended.
    _calls: list[Call] | tuple[()] | None = ()
    _many = _MANY
    _ends: dict[Callable[[], object], None] | None = None

    def add(self, started: Call | CallGroup) -> None:
        """Note what the request started. Where a function of it goes on after its end, calls are detached."""
        with _noting:
            if self._calls is not None:
                calls = self._calls or []
                calls += _calls_of(started)
                if len(calls) >= self._many:  # an endless response may make any number
                    calls = [call for call in calls if not call.over]
                    self._many = 2 * len(calls) + _MANY
                self._calls = calls
                return
        detach(started)

    def at_end(self, function: Callable[[], object]) -> None:
        """Have ``function`` called when the request ends, or now if it has; it must not wait."""
        with _noting:
            if self._calls is not None:
                if self._ends is None:
                    self._ends = {}
                self._ends[function] = None
                return
        function()

    def forget(self, function: Callable[[], object]) -> None:
        """Undo ``at_end``."""
        with _noting:
            if self._ends is not None:
                self._ends.pop(function, None)

    def end(self) -> None:
        """Cancel the calls under way that nobody has waited for, and call what ``at_end`` was given."""
        with _noting:
            calls, self._calls = self._calls, None
            ends, self._ends = self._ends, None
        for function in ends or ():
            try:
                function()
            except Exception:  # noqa: BLE001 - a plugin's mistake; the rest of the request must end, too
                _log.failure("what should end with a request failed")
        for call in calls or ():
            if not (call.over or call.collected):
                call.give_up(OperationError("the request ended and nobody waited", code=CODE_SHUTDOWN))


def detach(started: Call | CallGroup) -> None:
    """Let calls outlive their request. Called in any thread.

    Where nobody waits for a call, it has its own time-out, or else ``LONGEST_LIFE``, from now on.
    """
    for call in _calls_of(started):
        if not call.over:  # to wake the reactor for nothing would take longer than many a call
            call.bridge.submit(partial(_limit_life, call))


def _limit_life(call: Call) -> None:
    if call.over:
        return

    own = call.operation.timeout
    seconds = LONGEST_LIFE if own is None else own

    def time_out() -> None:
        if not call.collected:
            call.give_up(OperationTimeout(f"detached, and no answer within {seconds:g} s"))

    timer = call.bridge.call_later(seconds, time_out)

    def end() -> None:
        if timer.active():
            timer.cancel()

    call.on_end(lambda: call.bridge.submit(end))


def _calls_of(started: Call | CallGroup) -> tuple[Call, ...]:
    return (started,) if isinstance(started, Call) else started.calls
