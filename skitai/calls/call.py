"""A call that is under way: what ``was.get(url)`` returns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, succeed

from skitai.calls.cache import DEFAULT_SECONDS
from skitai.calls.deadline import DEFAULT_TIMEOUT, checked_seconds
from skitai.calls.filtering import Filtering
from skitai.calls.raising import OfResult, not_iterable
from skitai.calls.result import Result, Results, together
from skitai.errors import CODE_SHUTDOWN, WAITING, MisuseError, OperationError, OperationTimeout
from skitai.loop.awaiting import CANCELLATIONS, in_asyncio, until_over
from skitai.loop.bridge import Bridge, Pending
from skitai.loop.contexts import current_context, run_in
from skitai.loop.native import Lock

if TYPE_CHECKING:
    from contextvars import Context

    from skitai.calls.cache import CachePlace
    from skitai.calls.operation import Operation
    from skitai.interfaces import INode

# Held to settle a call: the reactor, which has its result, and a thread, whose deadline passed, may both try.
_settling = Lock()


class Call(Pending):
    """One operation that is being performed; it was started when it was created.

    Every time-out counts from the creation, not from the wait: three calls that are made together, each with
    two seconds, take two seconds at most. A call that times out is cancelled and its socket closed; a late
    reply is dropped. Each wait gives the same result object.

    ``result_type`` is the class of the result after a time-out or a cancellation. ``place`` is where the
    result can be kept, None if it cannot. ``node`` is the node that was asked last, None before the first.
    ``collected`` says whether anybody has waited for the result. ``service`` is the name after ``was.``.
    """

    __slots__ = (
        "_cancel",
        "_filtering",
        "_result",
        "_result_type",
        "_results",
        "bridge",
        "collected",
        "created",
        "node",
        "operation",
        "place",
        "service",
    )

    def __init__(
        self,
        bridge: Bridge,
        operation: Operation,
        result_type: type[Result] = Result,
        place: CachePlace | None = None,
        service: str = "",
    ) -> None:
        super().__init__()
        self.bridge = bridge
        self.operation = operation
        self.created = bridge.seconds()
        self.node: INode | None = None
        self.place = place
        self.service = service
        self.collected = False
        self._result_type = result_type
        self._result: Result | None = None
        self._results: Results | None = None
        self._filtering: Filtering | None = None
        self._cancel: Callable[[], object] | None = None

    @classmethod
    def settled(cls, bridge: Bridge, operation: Operation, result: Result) -> Call:
        """Return a call that has its result from the start. Called in any thread."""
        call = cls(bridge, operation, type(result))
        call._result = result
        call.over = True
        return call

    if not TYPE_CHECKING:
        data, error, msg, reraise = OfResult(), OfResult(), OfResult(), OfResult()
        # Those of HTTP.
        get_header, headers, json, text = OfResult(), OfResult(), OfResult(), OfResult()
        # Those of databases.
        first, rowcount, rows, scalar = OfResult(), OfResult(), OfResult(), OfResult()

        def __iter__(self) -> Iterator[Any]:
            raise not_iterable("getwait")

    # -- for the code that performs the operation ------------------------------------------------------------

    def on_cancel(self, cancel: Callable[[], object]) -> None:
        """Have ``cancel`` called if the call ends without its reply. Called in the reactor thread."""
        self._cancel = cancel
        if self.over:  # a thread gave it up meanwhile
            self._release()

    def settle(self, result: Result) -> bool:
        """Give the call its result, unless it has one; return whether it was taken.

        Called in the reactor thread, by the code that performs the operation.
        """
        if self.place is not None:
            result.cache_place = self.place
        with _settling:
            if self._result is not None:
                return False
            self._result = result
        self._cancel = None
        self.end()
        return True

    def give_up(self, error: OperationError) -> None:
        """Fail the call with ``error`` and free its socket. Called in any thread."""
        result = self._result_type.failed(error, self.node, self.operation.target)
        with _settling:
            if self._result is not None:
                return
            self._result = result
        self.end()
        self.bridge.submit(self._release)

    def cancel(self) -> None:
        """Cancel the call (status 2, code 705) and free its socket. Called in any thread."""
        self.give_up(OperationError("cancelled", code=CODE_SHUTDOWN))

    def _release(self) -> None:
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()

    # -- for the code that wants the result ------------------------------------------------------------------

    def getwait(self, timeout: float | None = None, reraise: bool = False) -> Result:
        """Wait until ``timeout`` seconds after the call's creation and return its result.

        Without ``timeout``, that of the operation counts, or else 5 s; so it is wherever one can be given.
        The result has status 1 after a time-out, 2 after a failure, 3 otherwise; with ``reraise`` the first
        two raise OperationError. What the operation's filter raises is raised here. Raises MisuseError in the
        reactor, TypeError or ValueError for a ``timeout`` that is no number. Called in a thread or a
        greenlet.
        """
        self.collected = True
        remaining = self.remaining(timeout)
        if not (self.over or self.bridge.wait(self, remaining)):
            self.time_out(timeout)
        result = self._shown()
        if reraise:
            result.reraise()
        return result

    def getswait(self, timeout: float | None = None, reraise: bool = False) -> Results:
        """Wait like ``getwait``, and return a sequence of the one result."""
        result = self.getwait(timeout, reraise)
        if self._results is None:
            self._results = together([result])
        return self._results

    def wait(self, timeout: float | None = None, reraise: bool = True) -> None:
        """Wait like ``getwait`` and return nothing; raise OperationError for any status but 3."""
        self.getwait(timeout, reraise)

    def cache(self, seconds: float = DEFAULT_SECONDS) -> Result:
        """Wait as long as ``getwait()`` does, have the result kept for ``seconds`` and return it."""
        checked_seconds("seconds", seconds)
        result = self.getwait()
        result.cache(seconds)
        return result

    @property
    def status(self) -> int:
        """The status of the result, 0 before there is one."""
        return WAITING if self._result is None else self._result.status

    @property
    def code(self) -> int:
        """The code of the result, 0 before there is one."""
        return 0 if self._result is None else self._result.code

    @property
    def original(self) -> Result:
        """The result before any filter. Read when the call is over."""
        assert self._result is not None
        return self._result if self._filtering is None else self._filtering.original

    def awaitable(self, timeout: float | None = None) -> Awaitable[Result]:
        """Return what a coroutine awaits to get what ``getwait(timeout)`` would return, or raise.

        A coroutine that is cancelled meanwhile cancels the call. Called in the reactor or in an asyncio loop;
        MisuseError elsewhere.
        """
        return self._in_asyncio(timeout) if in_asyncio(self.bridge) else self.deferred(timeout)

    async def _in_asyncio(self, timeout: float | None) -> Result:
        remaining = self.remaining(timeout)
        self.collected = True
        try:
            if not await until_over(self.bridge, self, remaining):
                self.time_out(timeout)
            if self._filtering is not None:  # another thread may run the filter
                await until_over(self.bridge, self._filtering, DEFAULT_TIMEOUT)
        except BaseException:  # the coroutine was cancelled
            self.cancel()
            raise
        return self._shown()

    def deferred(self, timeout: float | None = None) -> Deferred[Result]:
        """Return a Deferred that fires with what ``getwait(timeout)`` would return, or raise.

        Cancelling it cancels the call. Called in the reactor thread; MisuseError elsewhere.
        """
        if not self.bridge.in_reactor_thread():
            raise MisuseError(
                "a call can be awaited in coroutines of asyncio and of Skitai: here, getwait() waits for it"
            )
        self.collected = True
        remaining = max(self.remaining(timeout), 0)
        if self._result is not None and self.operation.filter is None:
            return succeed(self._result)
        context = current_context()
        deferred: Deferred[Result] = Deferred(self._abandoned)
        timer = None if self.over else self.bridge.call_later(remaining, self.time_out, timeout)

        def fire() -> None:
            if timer is not None and timer.active():
                timer.cancel()
            if self._filtering is not None and not self._filtering.over:
                self._filtering.on_end(lambda: self.bridge.submit(fire))  # a thread runs the filter
            elif not deferred.called:
                self._fire(deferred, context)

        self.on_end(lambda: self.bridge.submit(fire))
        return deferred

    def _fire(self, deferred: Deferred[Result], context: Context) -> None:
        try:
            result = run_in(context, self._shown)  # a filter is code of the request that waits
        except BaseException:  # noqa: BLE001 - the waiting code gets what the filter raises, SystemExit too
            deferred.errback()
        else:
            deferred.callback(result)

    def _abandoned(self, deferred: Deferred[Result]) -> None:
        # First, because a cancelled coroutine must stop, not go on with the result of its call.
        deferred.errback(CancelledError())
        self.cancel()

    def remaining(self, timeout: float | None) -> float:
        """Return how many seconds are left of ``timeout`` seconds since the creation.

        Raises TypeError or ValueError for a ``timeout`` that is no number. Called in any thread.
        """
        seconds = self._own_timeout() if timeout is None else checked_seconds("timeout", timeout)
        return self.created + seconds - self.bridge.seconds()

    def time_out(self, timeout: float | None) -> None:
        """End the call because ``timeout`` seconds have passed since its creation. Called in any thread."""
        seconds = self._own_timeout() if timeout is None else timeout
        self.give_up(OperationTimeout(f"no answer within {seconds:g} s"))

    def _own_timeout(self) -> float:
        own = self.operation.timeout
        return DEFAULT_TIMEOUT if own is None else own

    def _shown(self) -> Result:
        """Return the result as the app sees it."""
        if self.operation.filter is not None:
            self._filter()
        assert self._result is not None
        return self._result

    def _filter(self) -> None:
        """Replace the result by what the filter makes of it, once, however many wait."""
        assert self._result is not None
        with _settling:
            filtering = self._filtering
            if filtering is None:
                mine = self._filtering = Filtering(self._result)
        if filtering is None:
            assert self.operation.filter is not None
            self._result = mine.run(self.operation.filter)
        elif not self.bridge.wait(filtering, DEFAULT_TIMEOUT):
            raise OperationTimeout(f"the filter takes longer than {DEFAULT_TIMEOUT:g} s")
        else:
            self._result = filtering.result()

    def __await__(self) -> Generator[Any, Any, Result]:
        """``await`` the result in a coroutine, with the time-out of ``getwait()``."""
        return self.awaitable().__await__()

    def __repr__(self) -> str:
        return f"<Call {self.operation.target!r} {self._result or 'under way'}>"


async def awaited(items: Sequence[Any], calls: Sequence[Call], timeout: float | None) -> list[Any]:
    """Return what awaiting each of ``items``, calls or groups of ``calls``, gives within ``timeout``.

    A coroutine that is cancelled meanwhile cancels them all.
    """
    try:
        with collecting(calls):
            return [await item.awaitable(timeout) for item in items]
    except CANCELLATIONS:
        for item in items:
            item.cancel()
        raise


@contextmanager
def collecting(calls: Sequence[Call]) -> Iterator[None]:
    """Mark calls as collected; if the wait raises, undo that, so that the request's end cancels them."""
    for call in calls:
        call.collected = True
    try:
        yield
    except BaseException:
        for call in calls:
            call.collected = False
        raise
