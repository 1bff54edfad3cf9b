"""What a service does beside performing its operations on nodes, such as a step of a transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred


class Step:
    """The request of an operation that a method of a service submits (``IServiceMethods``)."""

    #: What ``FakeWas.requests`` shows of it; None: it does not appear there.
    recorded: Any = None

    def perform(self, service: Any, node: Any) -> Deferred[Any]:
        """Do it on ``node``, as ``IService.perform`` would. Called in the reactor thread."""
        raise NotImplementedError

    def rehearse(self, reply: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        """Do it in a ``FakeWas``, where ``reply()`` answers from the script of the test."""
        return reply()
