"""A request that is under way: what ``was.get(url)`` returns."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, succeed

from skitai.calls.bridge import Bridge, Pending
from skitai.calls.result import CODE_SHUTDOWN, WAITING, Result, Results
from skitai.errors import OperationError, OperationTimeout

if TYPE_CHECKING:
    from skitai.calls.operation import Operation
    from skitai.interfaces import INode

#: Seconds that ``getwait`` waits unless told otherwise, counted from the creation of the call.
DEFAULT_TIMEOUT = 5.0

# Whoever settles a call first wins: the reactor with an answer, or a thread whose deadline passed.
_settling = Lock()


class Call(Pending):
    """One operation that is being performed; it was started when it was created.

    Every time-out counts from the creation, not from the wait: three calls made together and waited for one
    after the other take two seconds at most when each is given two. What timed out is cancelled, its socket
    closed; a late answer is dropped. Asked again, a call gives the same result object.

    ``result_type`` is the class of the results that stand for a time-out or a cancellation. ``node`` is the
    node that was asked last, None before the first.
    """

    __slots__ = ("_cancel", "_result", "_result_type", "bridge", "created", "node", "operation")

    def __init__(self, bridge: Bridge, operation: Operation, result_type: type[Result] = Result) -> None:
        super().__init__()
        self.bridge = bridge
        self.operation = operation
        self.created = bridge.seconds()
        self.node: INode | None = None
        self._result_type = result_type
        self._result: Result | None = None
        self._cancel: Callable[[], object] | None = None

    def on_cancel(self, cancel: Callable[[], object]) -> None:
        """Have ``cancel`` called if the call ends before its answer came. Called in the reactor thread."""
        self._cancel = cancel
        if self.over:  # a thread gave it up meanwhile
            self._release()

    def settle(self, result: Result) -> bool:
        """Give the call its result, unless it has one; return whether it was taken.

        Called in the reactor thread, by who performs the operation.
        """
        if not self._take(result):
            return False
        self._cancel = None
        self.end()
        return True

    def give_up(self, error: OperationError) -> None:
        """End the call with ``error`` instead of its answer and free its socket. Called in any thread."""
        if self._take(self._result_type.failed(error, self.node)):
            self.end()
            self.bridge.submit(self._release)

    def cancel(self) -> None:
        """End the call without its answer (status 2, code 705) and free its socket. Called in any thread."""
        self.give_up(OperationError("cancelled", code=CODE_SHUTDOWN))

    def _take(self, result: Result) -> bool:
        with _settling:
            if self._result is not None:
                return False
            self._result = result
        return True

    def _release(self) -> None:
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()

    def getwait(self, timeout: float = DEFAULT_TIMEOUT, reraise: bool = False) -> Result:
        """Wait until ``timeout`` seconds after the call's creation and return its result.

        The result has status 1 when time ran out, 2 when the operation failed, 3 otherwise; with ``reraise``
        the first two raise OperationError. Called in a thread or a greenlet; MisuseError in the reactor.
        """
        if not self.bridge.wait(self, self._remaining(timeout)):
            self._time_out(timeout)
        result = self._result
        assert result is not None
        if reraise:
            result.reraise()
        return result

    def getswait(self, timeout: float = DEFAULT_TIMEOUT, reraise: bool = False) -> Results:
        """Like ``getwait``, with the result in a sequence of one."""
        return Results([self.getwait(timeout, reraise)])

    def wait(self, timeout: float = DEFAULT_TIMEOUT, reraise: bool = True) -> None:
        """Wait like ``getwait`` and return nothing; raise OperationError for any status but 3."""
        self.getwait(timeout, reraise)

    @property
    def status(self) -> int:
        """The status of the result: 0 while there is none."""
        return WAITING if self._result is None else self._result.status

    @property
    def code(self) -> int:
        """The code of the result: 0 while there is none."""
        return 0 if self._result is None else self._result.code

    def deferred(self, timeout: float = DEFAULT_TIMEOUT) -> Deferred[Result]:
        """Return a Deferred that fires with what ``getwait(timeout)`` would return.

        Cancelling it cancels the call. Called in the reactor thread.
        """
        if self._result is not None:
            return succeed(self._result)
        deferred: Deferred[Result] = Deferred(self._abandoned)
        timer = self.bridge.call_later(max(self._remaining(timeout), 0), self._time_out, timeout)

        def fire() -> None:
            assert self._result is not None
            if timer.active():
                timer.cancel()
            if not deferred.called:
                deferred.callback(self._result)

        self.on_end(lambda: self.bridge.submit(fire))
        return deferred

    def _abandoned(self, deferred: Deferred[Result]) -> None:
        # Failed first: a coroutine that is cancelled must stop, not go on with the result of its call.
        deferred.errback(CancelledError())
        self.cancel()

    def _remaining(self, timeout: float) -> float:
        return self.created + timeout - self.bridge.seconds()

    def _time_out(self, timeout: float) -> None:
        self.give_up(OperationTimeout(f"no answer within {timeout:g} s"))

    def __await__(self) -> Generator[Deferred[Result], Any, Result]:
        """``await`` the result in a coroutine on the reactor thread, as long as ``getwait()`` waits."""
        return self.deferred().__await__()

    def __repr__(self) -> str:
        return f"<Call {self.operation.target!r} {self._result or 'under way'}>"


class CallGroup:
    """The same operation on every member of a cluster: what ``was.get.map(...)`` returns."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = tuple(calls)

    def getswait(self, timeout: float = DEFAULT_TIMEOUT, reraise: bool = False) -> Results:
        """Wait until ``timeout`` seconds after creation and return the results in the order of the members.

        A member that did not answer in time has a result with status 1; with ``reraise`` the first failure
        raises OperationError. Called in a thread or a greenlet.
        """
        results = Results([call.getwait(timeout) for call in self.calls])
        if reraise:
            results.reraise()
        return results

    def getwait(self, timeout: float = DEFAULT_TIMEOUT, reraise: bool = False) -> Result:
        """Raise ValueError, because there are several results, unless the cluster has one member."""
        if len(self.calls) != 1:
            raise ValueError(f"{len(self.calls)} results: use getswait")
        return self.calls[0].getwait(timeout, reraise)

    def wait(self, timeout: float = DEFAULT_TIMEOUT, reraise: bool = True) -> None:
        """Wait for all; raise OperationError for the first whose status is not 3."""
        self.getswait(timeout, reraise)

    def __await__(self) -> Generator[Deferred[Result], Any, Results]:
        """``await`` all results in a coroutine on the reactor thread, as long as ``getswait()`` waits."""
        results = []
        try:
            for call in self.calls:
                results.append((yield from call.__await__()))
        except CancelledError:
            self.cancel()
            raise
        return Results(results)

    def cancel(self) -> None:
        """End what is still under way. Called in any thread."""
        for call in self.calls:
            call.cancel()

    @property
    def status(self) -> list[int]:
        """The status of each member's call."""
        return [call.status for call in self.calls]

    @property
    def code(self) -> list[int]:
        """The code of each member's call."""
        return [call.code for call in self.calls]
