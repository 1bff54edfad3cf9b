"""The base class of most services."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs
from zope.interface import implementer

from skitai.calls.result import Result
from skitai.interfaces import INode, IService
from skitai.net.addresses import HostNode, parse_host_port

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from skitai.calls.operation import Operation
    from skitai.calls.outcome import Outcome


@implementer(INode)
@attrs.frozen
class OwnNode:
    """The one node of a service that asks no other machine: this process, the spool, the bus."""

    label: str


@implementer(IService)
class Service:
    """A service whose nodes are ``host:port`` and whose calls start at once.

    A subclass writes ``operation`` and ``perform``, and names its ``default_port`` where it has one.
    """

    cluster_types: frozenset[str] = frozenset()
    cluster_keys: frozenset[str] = frozenset()
    result_type: type[Result] = Result
    default_port: int | None = None

    def operation(self, *args: Any, **kwargs: Any) -> Operation:
        """Return the operation for an app's arguments; raise TypeError or ValueError for wrong ones."""
        raise NotImplementedError

    def perform(self, node: Any, operation: Operation) -> Deferred[Any] | Outcome:
        """Carry out ``operation`` on ``node``; see ``IService.perform``. Called in the reactor thread."""
        raise NotImplementedError

    def begin(self, submit: Callable[[Operation], Any], /, *args: Any, **kwargs: Any) -> Any:
        """Submit the operation at once and return its ``Call``. Called in the app's thread."""
        return submit(self.operation(*args, **kwargs))

    def node(self, target: str) -> Any:
        """Return the node that ``host:port`` names. Called in the app's thread."""
        return HostNode(*parse_host_port(target, self.default_port))

    def member(self, address: str, options: Mapping[str, str]) -> Any:  # noqa: ARG002 - others need them
        """Return the node of a cluster member. Called once, before the server starts."""
        return self.node(address)
