"""Real services whose last step, asking a node, is left to a script."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred, execute, maybeDeferred
from twisted.internet.task import Clock, deferLater
from zope.interface import implementer

from skitai.calls.call import Call
from skitai.calls.cluster import Cluster
from skitai.calls.dispatch import Dispatcher, Mode
from skitai.calls.group import CallGroup
from skitai.calls.operation import Operation
from skitai.calls.step import Step
from skitai.errors import MisuseError
from skitai.interfaces import INode, IResultCache, IService
from skitai.testing.clockbridge import ClockBridge
from skitai.testing.script import Script

#: The type of scripted clusters: any service that knows clusters may ask them.
CLUSTER_TYPE = "scripted"


@attrs.frozen
class RecordedRequest:
    """One request of an app.

    ``service`` is the name after ``was.``, ``target`` the address or URL, ``args`` and ``kwargs`` are all
    arguments as they were given, ``mode`` is ``"one"``, ``"lb"`` or ``"map"``, ``cluster`` the name of the
    cluster that was asked, without the ``@``, or None. ``request`` is what the service made of the arguments,
    such as the statement of ``was.db``. A statement in a transaction has no ``args``, only that.
    """

    service: str
    target: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    mode: Mode = "one"
    cluster: str | None = None
    request: Any = attrs.field(default=None, kw_only=True, eq=False, repr=False)


@implementer(IService)
class RecordingService:
    """Takes arguments as ``service`` does, and answers from a script what it would have sent to a node.

    What a service does in this process, as ``was.run`` does, is done at once unless the script has a reply.
    """

    def __init__(self, name: str, service: IService, script: Script, clock: Clock) -> None:
        self.cluster_types = frozenset({CLUSTER_TYPE} if service.cluster_types else ())
        self.cluster_keys = service.cluster_keys
        self.result_type = service.result_type
        self.methods = getattr(service, "methods", {})
        self._name = name
        self._service = service
        self._script = script
        self._clock = clock

    def begin(self, submit: Callable[[Operation], Any], /, *args: Any, **kwargs: Any) -> Any:
        """Submit the operation of the real service, with a record of the arguments as its request."""

        def recorded(operation: Operation) -> Any:
            target, cluster, request = operation.target, operation.cluster, operation.request
            record = RecordedRequest(self._name, target, args, kwargs, cluster=cluster, request=request)
            return submit(attrs.evolve(operation, request=record, here=None))

        return self._service.begin(recorded, *args, **kwargs)

    def node(self, target: str) -> INode:
        """Return the real service's node."""
        return self._service.node(target)

    def member(self, address: str, options: Mapping[str, str]) -> INode:
        """Return the real service's node of a cluster."""
        return self._service.member(address, options)

    def perform(self, node: INode, operation: Operation) -> Deferred[Any]:  # noqa: ARG002
        """Return the reply of the script; without one do what is local, or else fail with AssertionError."""
        request: RecordedRequest | Step = operation.request
        reply = partial(self._reply, operation)
        if isinstance(request, Step):
            return request.rehearse(reply)
        if not operation.local or self._script.has(self._name, operation.target):
            return reply()
        if isinstance(request.request, Step):
            return request.request.rehearse(reply)
        return maybeDeferred(request.request)

    def _reply(self, operation: Operation) -> Deferred[Any]:
        reply = self._script.take(self._name, operation.target)
        if reply.delay is None:
            return Deferred()
        if reply.delay == 0:
            return execute(reply.outcome)
        return deferLater(self._clock, reply.delay, reply.outcome)


class RecordingDispatcher(Dispatcher):
    """Notes each request in ``requests`` before it starts; complains at once where there is no answer."""

    def __init__(
        self,
        bridge: ClockBridge,
        clusters: Mapping[str, Cluster],
        script: Script,
        cache: IResultCache | None = None,
    ) -> None:
        super().__init__(bridge, clusters, cache=cache)
        self.requests: list[RecordedRequest] = []
        self._script = script

    def submit(
        self, service: IService, operation: Operation, mode: Mode = "one", name: str = ""
    ) -> Call | CallGroup:
        """Start ``operation``; raise AssertionError when the script has no answer for it."""
        self._record(operation, mode, name)
        surprises = len(self._script.surprises)
        call = super().submit(service, operation, mode, name)
        if len(self._script.surprises) > surprises:
            raise AssertionError(self._script.surprises[-1])
        return call

    def _cluster(self, name: str) -> Cluster:
        try:
            return super()._cluster(name)
        except MisuseError:
            hint = f"FakeWas(clusters={{{name!r}: 1}})"
            raise MisuseError(f"there is no cluster @{name} here: {hint}") from None

    def _record(self, operation: Operation, mode: Mode, name: str) -> None:
        request = operation.request
        if isinstance(request, RecordedRequest):
            self.requests.append(attrs.evolve(request, mode=mode))
        elif request.recorded is not None:
            self.requests.append(RecordedRequest(name, operation.target, (), {}, request=request.recorded))
