"""From an operation to a call under way: which node, what if it fails, what if the server stops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from skitai.calls.bridge import Bridge
from skitai.calls.call import Call, CallGroup
from skitai.calls.cluster import Cluster, Member
from skitai.calls.operation import Operation
from skitai.calls.result import CODE_SHUTDOWN, Result
from skitai.errors import MisuseError, OperationError, UnsentError
from skitai.interfaces import INode, IService

#: ``one``: the target itself, or any member of its cluster; ``lb``: the same, said aloud; ``map``: all.
Mode = Literal["one", "lb", "map"]

_log = Logger()


class Dispatcher:
    """Starts calls and knows those under way.

    ``bridge`` leads to the reactor thread, ``clusters`` are those of the config by name.
    """

    def __init__(self, bridge: Bridge, clusters: Mapping[str, Cluster]) -> None:
        self.bridge = bridge
        self._clusters = clusters
        self._under_way: set[Call] = set()
        self._stopped = False

    def submit(self, service: IService, operation: Operation, mode: Mode = "one") -> Call | CallGroup:
        """Start ``operation`` at once and return its call (a group of calls for ``map`` over a cluster).

        Raises MisuseError for a cluster that the config lacks or that another kind of service asks, and
        ValueError for a target that names no node. Called in the app's thread.
        """
        if operation.cluster is None:
            attempts: list[_Attempt] = [_Direct(self, service, operation, service.node(operation.target))]
        else:
            cluster = self._cluster(service, operation.cluster)
            members = cluster.members if mode == "map" else (None,)
            attempts = [_Balanced(self, service, operation, cluster, member) for member in members]
        for attempt in attempts:
            self.bridge.submit(attempt.start)
        if mode == "map" and operation.cluster is not None:
            return CallGroup([attempt.call for attempt in attempts])
        return attempts[0].call

    def _cluster(self, service: IService, name: str) -> Cluster:
        cluster = self._clusters.get(name)
        if cluster is None:
            known = ", ".join(f"@{known}" for known in sorted(self._clusters)) or "none"
            raise MisuseError(f"there is no cluster @{name} in the config (it has {known})")
        if cluster.type_name != service.cluster_type:
            asked = service.cluster_type or "no"
            raise MisuseError(
                f"cluster @{name} has type {cluster.type_name}; this service asks {asked} clusters"
            )
        return cluster

    def stop(self) -> None:
        """Fail what is under way and whatever comes now (status 2, code 705). Reactor thread only."""
        self._stopped = True
        for call in list(self._under_way):
            call.give_up(_stopping())

    @property
    def in_flight(self) -> int:
        """How many calls are under way."""
        return len(self._under_way)


class _Attempt:
    """Brings one call to its result. All methods but ``__init__`` run in the reactor thread."""

    def __init__(self, dispatcher: Dispatcher, service: IService, operation: Operation) -> None:
        self.call = Call(dispatcher.bridge, operation, service.result_type)
        self._dispatcher = dispatcher
        self._service = service
        self._deferred: Deferred[object] | None = None

    def start(self) -> None:
        if self._dispatcher._stopped:
            self.call.give_up(_stopping())
        elif not self.call.over:
            self._dispatcher._under_way.add(self.call)
            self._next()
            # After the start, so that what a thread gave up in the middle of it is cancelled, too.
            self.call.on_cancel(self._cancel)

    def _next(self) -> None:
        raise NotImplementedError

    def _perform(self, node: INode) -> Deferred[object]:
        self.call.node = node
        self._deferred = maybeDeferred(self._service.perform, node, self.call.operation)
        return self._deferred

    def _settle(self, outcome: object, node: INode) -> None:
        if isinstance(outcome, Failure):
            assert outcome.value is not None
            result = self._service.result_type.failed(outcome.value, node)
        elif isinstance(outcome, Result):
            result = outcome
            if result.node is None:
                result.node = node
        else:
            result = self._service.result_type(outcome, node=node)
        self._dispatcher._under_way.discard(self.call)
        self.call.settle(result)

    def _cancel(self) -> None:
        self._dispatcher._under_way.discard(self.call)
        deferred = self._deferred
        assert deferred is not None
        try:
            deferred.cancel()
        except Exception:  # noqa: BLE001 - a service's mistake; other calls are being cancelled, too
            _log.failure("{service} failed to cancel {call}", service=self._service, call=self.call)
            if not deferred.called:
                deferred.errback()


def _stopping() -> OperationError:
    return OperationError("the server is stopping", code=CODE_SHUTDOWN)


class _Direct(_Attempt):
    """One node, no second chance."""

    def __init__(self, dispatcher: Dispatcher, service: IService, operation: Operation, node: INode) -> None:
        super().__init__(dispatcher, service, operation)
        self._node = node

    def _next(self) -> None:
        self._perform(self._node).addBoth(self._settle, self._node)


class _Balanced(_Attempt):
    """The members of a cluster until one answers, or only ``member`` where one is named.

    Another member is asked at the moment of the failure, not when the app waits: for an operation that may
    be done twice, and for any that provably did not leave.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        service: IService,
        operation: Operation,
        cluster: Cluster,
        member: Member | None,
    ) -> None:
        super().__init__(dispatcher, service, operation)
        self._cluster = cluster
        self._only = member
        self._tried: list[Member] = []

    def _next(self) -> None:
        member = self._only or self._cluster.pick(self._tried)
        assert member is not None
        self._tried.append(member)
        member.in_flight += 1
        self._perform(member.node).addBoth(self._done, member)

    def _done(self, outcome: object, member: Member) -> None:
        member.in_flight -= 1
        if self.call.over:  # given up: says nothing about the member
            self._settle(outcome, member.node)
        elif isinstance(outcome, Failure):
            self._cluster.failed(member)
            if self._may_retry(outcome):
                self._next()
            else:
                self._settle(outcome, member.node)
        else:
            self._cluster.succeeded(member)
            self._settle(outcome, member.node)

    def _may_retry(self, failure: Failure) -> bool:
        if self._only is not None or len(self._tried) == len(self._cluster.members):
            return False
        return self.call.operation.idempotent or isinstance(failure.value, UnsentError)
