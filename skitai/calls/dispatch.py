"""Starts the call of an operation: from the cache, shared with equal calls, or as a request to a node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from functools import partial
from typing import Any, Literal

from skitai.calls.attempt import Attempt, BalancedAttempt, DirectAttempt
from skitai.calls.cache import CachePlace
from skitai.calls.call import Call
from skitai.calls.cluster import Cluster, Member
from skitai.calls.clusterview import ClusterView
from skitai.calls.coalesce import Flights
from skitai.calls.group import CallGroup
from skitai.calls.observers import CallObservers
from skitai.calls.operation import Operation
from skitai.calls.result import Result
from skitai.calls.sharing import SecondLevel, SharedPlace
from skitai.calls.sleeping import Sleeps
from skitai.calls.traffic import CallLimits, Traffic
from skitai.errors import MisuseError
from skitai.interfaces import IResultCache, IService, ISharedResults
from skitai.loop.bridge import Bridge

#: ``one``: the target itself, or the least busy member of its cluster; ``lb``: the same; ``map``: all
#: members.
Mode = Literal["one", "lb", "map"]


class Dispatcher:
    """Starts calls and knows those under way.

    ``bridge`` leads to the reactor thread, ``clusters`` are those of the config by name. ``cache`` keeps
    results (None: nothing is kept). With ``coalesce``, equal calls at the same time share one request, if it
    is idempotent; each keeps its own deadline and result. ``observers`` are told of calls that are made.
    """

    def __init__(
        self,
        bridge: Bridge,
        clusters: Mapping[str, Cluster],
        *,
        cache: IResultCache | None = None,
        limits: CallLimits | None = None,
        coalesce: bool = False,
        observers: CallObservers | None = None,
    ) -> None:
        self.bridge = bridge
        self.cache = cache
        self._levels = (
            SecondLevel(cache, cache, bridge)
            if cache is not None and ISharedResults.providedBy(cache)
            else None
        )
        self._clusters = clusters
        self._traffic = Traffic(limits or CallLimits())
        self._flights = Flights() if coalesce else None
        self._sleeps = Sleeps(bridge)
        self._observers = observers or CallObservers()

    def submit(
        self, service: IService, operation: Operation, mode: Mode = "one", name: str = ""
    ) -> Call | CallGroup:
        """Start ``operation`` at once and return its call (a group of calls for ``map`` over a cluster).

        ``name`` is that of the service after ``was.``: services with different names share no kept results.
        Raises MisuseError for a cluster that is not in the config or is of another type, and for a ``mode``
        of a service that asks no clusters; ValueError for a target that names no node. Called in the app's
        thread.
        """
        if mode != "one" and not service.cluster_types:
            raise MisuseError(f"was.{name} asks no clusters: it has neither lb nor map")
        if operation.here is not None and not self.bridge.in_reactor_thread():
            return self._do_here(service, operation, operation.here, name)
        wanted = None if operation.node is not None else operation.cluster
        cluster = None if wanted is None else self._cluster_of(service, wanted)
        to_all = cluster is not None and mode == "map"
        place = self._place(name, operation, to_all)
        if place is not None and operation.use_cache:
            kept = place.look_up()
            if kept is not None:
                return self._answered(operation, kept, to_all)
        if cluster is not None and to_all:
            return self._start_all(service, name, operation, cluster, place)
        if self._flights is not None and operation.may_be_shared:
            key = (name, operation.target, operation.cache_key)
            return self._share(self._flights, key, service, name, operation, cluster, place)
        return self._start(service, name, operation, cluster, place)

    def _place(self, name: str, operation: Operation, to_all: bool) -> CachePlace | None:
        if self.cache is None or operation.cache_key is None:
            return None
        key = (name, to_all, operation.target, operation.cache_key)
        return CachePlace(self.cache, key) if self._levels is None else self._levels.place(key, to_all)

    def _answered(self, operation: Operation, kept: Any, to_all: bool) -> Call | CallGroup:
        if not to_all:
            return Call.settled(self.bridge, operation, kept)
        calls = [Call.settled(self.bridge, operation, result) for result in kept]
        return CallGroup(calls, kept.cache_place)

    def _start(
        self,
        service: IService,
        name: str,
        operation: Operation,
        cluster: Cluster | None,
        place: CachePlace | None,
    ) -> Call:
        call = Call(self.bridge, operation, service.result_type, place, name)
        attempt = self._attempt(service, call, cluster)
        self._observers.begin(call)
        self.bridge.submit(
            attempt.start if self._levels is None else self._starter([attempt], service, place)
        )
        return call

    def _do_here(
        self, service: IService, operation: Operation, function: Callable[[], Result], name: str
    ) -> Call:
        call = Call(self.bridge, operation, service.result_type, service=name)
        call.node = operation.node or service.node(operation.target)
        self._observers.begin(call)
        try:
            result = function()
        except BaseException as error:  # a signal, in the main thread of a script
            call.settle(service.result_type.failed(error, call.node, operation.target))
            raise
        result.node = call.node
        call.settle(result)
        return call

    def _start_all(
        self, service: IService, name: str, operation: Operation, cluster: Cluster, place: CachePlace | None
    ) -> CallGroup:
        members = cluster.members
        if not members:  # they come and go: one result says that there is none
            return CallGroup([self._start(service, name, operation, cluster, None)])
        calls = [Call(self.bridge, operation, service.result_type, service=name) for _ in members]
        attempts = [
            self._attempt(service, call, cluster, member) for call, member in zip(calls, members, strict=True)
        ]
        for call in calls:
            self._observers.begin(call)
        self.bridge.submit(self._starter(attempts, service, place))
        return CallGroup(calls, place)

    def _starter(
        self, attempts: list[Attempt], service: IService, place: CachePlace | None
    ) -> Callable[[], None]:
        """Return what starts ``attempts``, unless the second level of the cache has what they would bring."""
        start = attempts[0].start if len(attempts) == 1 else partial(_start_each, attempts)
        if isinstance(place, SharedPlace) and attempts[0].call.operation.use_cache:
            return partial(place.ask, [attempt.call for attempt in attempts], service.result_type, start)
        return start

    def _share(
        self,
        flights: Flights,
        key: Hashable,
        service: IService,
        name: str,
        operation: Operation,
        cluster: Cluster | None,
        place: CachePlace | None,
    ) -> Call:
        call = Call(self.bridge, operation, service.result_type, place, name)
        upstream = Call(self.bridge, operation, service.result_type, service=name)
        attempt = self._attempt(service, upstream, cluster, asking=call)
        self._observers.begin(call)
        start = self._starter([attempt], service, place)
        self.bridge.submit(partial(flights.join, key, call, attempt.call, start))
        return call

    def _attempt(
        self,
        service: IService,
        call: Call,
        cluster: Cluster | None,
        member: Member | None = None,
        asking: Call | None = None,
    ) -> Attempt:
        told = (self._observers, asking or call)
        if cluster is not None:
            return BalancedAttempt(self._traffic, service, call, *told, cluster, member)
        call.node = call.operation.node or service.node(call.operation.target)
        return DirectAttempt(self._traffic, service, call, *told)

    def _cluster_of(self, service: IService, name: str) -> Cluster:
        cluster = self._cluster(name)
        if cluster.type_name not in service.cluster_types:
            asked = " or ".join(sorted(service.cluster_types)) or "no"
            raise MisuseError(
                f"cluster @{name} has type {cluster.type_name}; this service asks {asked} clusters"
            )
        return cluster

    def _cluster(self, name: str) -> Cluster:
        cluster = self._clusters.get(name)
        if cluster is None:
            known = ", ".join(f"@{known}" for known in sorted(self._clusters)) or "none"
            raise MisuseError(f"there is no cluster @{name} in the config (it has {known})")
        return cluster

    def cluster(self, name: str) -> ClusterView:
        """Return the state of the members of the cluster ``@name``; raise MisuseError if there is none.

        Called in any thread.
        """
        return self._cluster(name.removeprefix("@")).view()

    def balancer(self, name: str) -> Cluster:
        """Return the cluster ``name`` itself, for who asks its members without a call.

        Raises MisuseError if there is none. Called in the reactor thread.
        """
        return self._cluster(name)

    def clusters(self) -> list[ClusterView]:
        """Return the state of all clusters, sorted by name. Called in any thread."""
        return [self._clusters[name].view() for name in sorted(self._clusters)]

    def sleep(self, seconds: float) -> Awaitable[None] | None:
        """Wait for ``seconds``; see ``Sleeps.sleep``. Called in any thread."""
        return self._sleeps.sleep(seconds)

    @property
    def sleeping(self) -> int:
        """How many are in ``sleep``."""
        return len(self._sleeps)

    def end_calls(self) -> None:
        """Fail all calls under way (status 2, code 705) and end all sleeps; new ones may begin.

        Called in the reactor thread.
        """
        self._traffic.end_calls()
        self._sleeps.wake_all()

    def stop(self) -> None:
        """Fail all calls under way and all new ones (status 2, code 705), and all sleeps.

        Called in the reactor thread.
        """
        self._traffic.stop()
        self._sleeps.stop()

    @property
    def in_flight(self) -> int:
        """How many calls are under way."""
        return self._traffic.under_way

    def statistics(self) -> dict[str, Any]:
        """Return what the status page shows of calls. Called in any thread.

        ``in_flight`` and ``queued`` count present calls, ``coalesced`` those since the start that joined a
        request under way. ``cache`` has the statistics of the cache, None without one.
        """
        return {
            "in_flight": self._traffic.under_way,
            "queued": self._traffic.waiting,
            "coalesced": 0 if self._flights is None else self._flights.joined,
            "cache": None if self.cache is None else self.cache.statistics(),
        }


def _start_each(attempts: list[Attempt]) -> None:
    for attempt in attempts:
        attempt.start()
