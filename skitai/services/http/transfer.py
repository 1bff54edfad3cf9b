"""A request on its way to its one outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from twisted.internet.defer import CancelledError, Deferred

from skitai.errors import OperationTimeout

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol

    from skitai.services.http.result import HTTPResult
    from skitai.services.http.sink import Delivery, IReplySink
    from skitai.services.http.streaming import Sendable


class Asked(Protocol):
    """What a pool must know of a request. ``HTTPRequest`` is one, and says what the attributes mean."""

    @property
    def method(self) -> str:
        """The method."""

    @property
    def target(self) -> str:
        """The path and query."""

    @property
    def stream(self) -> Sendable | None:
        """The body, if it is sent piece by piece."""

    @property
    def sink(self) -> IReplySink | None:
        """What takes the reply, if anything does."""

    @property
    def switch(self) -> Callable[[HTTPResult], IProtocol] | None:
        """What is called with a reply 101, if that is allowed."""

    @property
    def interim(self) -> Callable[[HTTPResult], object] | None:
        """What is called with each interim reply; None: they are skipped."""

    @property
    def idempotent(self) -> bool:
        """Whether it can be sent twice without harm."""

    def encode(self, authority: str) -> bytes:
        """Return the bytes of the request for a node named ``authority``."""


class SlowReply(OperationTimeout):
    """A node was too slow; ``limit`` is the key of the config that says so."""

    def __init__(self, message: str, limit: str, node: object) -> None:
        self.limit = limit
        super().__init__(message, node=node)


class Transfer:
    """One request on its way, with the bytes to send in ``payload``.

    ``deferred`` fires with the outcome. ``stop`` is what has to be called to cancel it now. ``delivery``
    passes the reply to a sink; None until that has begun.
    """

    __slots__ = ("deferred", "delivery", "payload", "request", "stop")

    def __init__(self, request: Asked, payload: bytes) -> None:
        self.request = request
        self.payload = payload
        self.delivery: Delivery | None = None
        self.stop: Callable[[], object]
        self.deferred: Deferred[HTTPResult] = Deferred(self._cancelled)

    def succeed(self, result: HTTPResult) -> None:
        """End with ``result``."""
        error = self._end_delivery(None)
        if error is not None:
            self._fail(error)
        elif not self.deferred.called:
            self.deferred.callback(result)

    def fail(self, error: BaseException) -> None:
        """End with ``error``."""
        self._end_delivery(error)
        self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self.deferred.called:
            self.deferred.errback(error)

    def _end_delivery(self, error: BaseException | None) -> BaseException | None:
        """Tell the sink, if there is one; return what the request fails with."""
        if self.delivery is None:
            return error
        # The sink may cancel the request now, and the connection may be another's already.
        self.stop = _nothing
        return self.delivery.end(error)

    def _cancelled(self, _deferred: Deferred[HTTPResult]) -> None:
        self.stop()
        if self.delivery is not None:
            self.delivery.end(CancelledError())


def _nothing() -> None:
    """Stop nothing: it is over."""
