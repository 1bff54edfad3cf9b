"""Performs one call: on one node, or on the members of a cluster until one answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from skitai.calls.outcome import Outcome
from skitai.calls.result import Result
from skitai.errors import CODE_BUSY, CODE_DNS, NORMAL, TIMEOUT, UnsentError

if TYPE_CHECKING:
    from skitai.calls.call import Call
    from skitai.calls.cluster import Cluster, Member
    from skitai.calls.observers import CallObservers
    from skitai.calls.traffic import Traffic
    from skitai.interfaces import INode, IService

_log = Logger()

_OUTCOMES = (Outcome, Deferred)


class Attempt:
    """Brings ``call`` to its result. All methods but ``__init__`` run in the reactor thread.

    ``observers`` are told that it is made for ``asking``, the call that an app waits for.
    """

    __slots__ = ("_asking_call", "_observers", "_outcome", "_service", "_traffic", "call")

    def __init__(
        self, traffic: Traffic, service: IService, call: Call, observers: CallObservers, asking: Call
    ) -> None:
        self.call = call
        self._observers = observers
        self._asking_call = asking
        self._traffic = traffic
        self._service = service
        self._outcome: Deferred[object] | Outcome | None = None

    def start(self) -> None:
        """Perform the call, now or in its turn."""
        self._traffic.enter(self)

    def begin(self) -> None:
        """Perform the call now. Called by ``Traffic``."""
        self._next()
        # After the start, so that a call that a thread gave up during the start is cancelled, too.
        self.call.on_cancel(self._cancel)

    def _next(self) -> None:
        raise NotImplementedError

    def _perform(self, node: INode) -> Deferred[object] | Outcome:
        self.call.node = node
        outcome: Deferred[object] | Outcome
        try:
            operation = self.call.operation
            if self._observers.attempt:
                operation = self._observers.prepared(self._asking_call, node, operation)
            outcome = self._service.perform(node, operation)
        except BaseException:  # noqa: BLE001 - whatever it is, the app must not be left waiting
            outcome = fail()
        if not isinstance(outcome, _OUTCOMES):
            outcome = maybeDeferred(lambda: outcome)  # of a coroutine, or of a plain value
        self._outcome = outcome
        return outcome

    def _settle(self, outcome: object, node: INode | None) -> None:
        self._traffic.leave(self.call)
        try:
            result = self._result(outcome, node)
        except Exception as error:  # noqa: BLE001 - a service's mistake, which must not leave the app waiting
            _log.failure(
                "{service} has no result for {call}",
                service=self._service,
                call=self.call,
                level=LogLevel.error,
            )
            result = Result.failed(error, node, self.call.operation.target)
        self.call.settle(result)

    def _result(self, outcome: object, node: INode | None) -> Result:
        if isinstance(outcome, Result):
            if outcome.node is None:
                outcome.node = node
            if outcome.status != NORMAL:
                outcome.target = self.call.operation.target
            return outcome
        if isinstance(outcome, Failure):
            assert outcome.value is not None
            return self._service.result_type.failed(outcome.value, node, self.call.operation.target)
        return self._service.result_type(outcome, node=node)

    def _cancel(self) -> None:
        outcome = self._outcome
        if outcome is None:  # it failed before it was performed
            return
        try:
            outcome.cancel()
        except Exception:  # noqa: BLE001 - a service's mistake; other calls are being cancelled, too
            _log.failure(
                "{service} failed to cancel {call}",
                service=self._service,
                call=self.call,
                level=LogLevel.error,
            )
            if not outcome.called:
                outcome.errback()
        self._traffic.leave(self.call)


class DirectAttempt(Attempt):
    """Asks one node, that of the call, once."""

    __slots__ = ()

    def _next(self) -> None:
        node: Any = self.call.node
        self._perform(node).addBoth(self._settle, node)


class BalancedAttempt(Attempt):
    """Asks the members of a cluster until one answers, or only ``member`` if it is given.

    Another member is asked as soon as one fails, not when the app waits; but only if the operation is
    idempotent or nothing of it was sent.
    """

    __slots__ = ("_again", "_asking", "_cluster", "_only", "_tried")

    def __init__(
        self,
        traffic: Traffic,
        service: IService,
        call: Call,
        observers: CallObservers,
        asking: Call,
        cluster: Cluster,
        member: Member | None,
    ) -> None:
        super().__init__(traffic, service, call, observers, asking)
        self._cluster = cluster
        self._only = member
        self._tried: set[Member] = set()
        self._again = False
        self._asking = False

    def _next(self) -> None:
        # A loop, not a recursion: a thousand members may fail at once, one after the other.
        self._again = True
        if self._asking:
            return
        self._asking = True
        try:
            while self._again:
                self._again = False
                self._ask_member()
        except Exception:  # noqa: BLE001 - whatever it is, the app must not be left waiting
            _log.failure("{call} could not be started", call=self.call, level=LogLevel.error)
            self._settle(Failure(), self.call.node)  # type: ignore[no-untyped-call]
        finally:
            self._asking = False

    def _ask_member(self) -> None:
        member = self._only or self._cluster.pick(self._tried)
        if member is None:
            error = UnsentError(f"cluster @{self._cluster.name} has no members at present", code=CODE_DNS)
            self._settle(Failure(error), None)  # type: ignore[no-untyped-call]
            return
        self._tried.add(member)
        probe, began = self._cluster.begin(member), self.call.bridge.seconds()
        self._perform(member.node).addBoth(self._done, member, probe, began)

    def _done(self, outcome: object, member: Member, probe: bool, began: float) -> None:
        self._cluster.end(member, probe)
        if self.call.over:
            if self.call.status == TIMEOUT:
                self._cluster.timed_out(member, probe, self.call.bridge.seconds() - began)
            self._settle(outcome, member.node)
        elif isinstance(outcome, Failure):
            if getattr(outcome.value, "code", None) != CODE_BUSY:  # which says something of this side only
                self._cluster.failed(member)
            if self._may_retry(outcome):
                self._next()
            else:
                self._settle(outcome, member.node)
        else:
            self._cluster.succeeded(member, self.call.bridge.seconds() - began)
            self._settle(outcome, member.node)

    def _may_retry(self, failure: Failure) -> bool:
        if self._only is not None or len(self._tried) == len(self._cluster.members):
            return False
        return self.call.operation.idempotent or isinstance(failure.value, UnsentError)
