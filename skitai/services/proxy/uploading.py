"""The body of a request that goes to the member while it comes from the client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from skitai.errors import OperationError
from skitai.interfaces import IBodySink
from skitai.services.http.filesource import BodyError


@implementer(IBodySink, IPushProducer)
class PushedBody:
    """Takes the body of ``length`` bytes (None: unknown) from a client, and sends it to a member.

    The client is not read until a member has the head, nor while it takes no more. It is the sink of the
    client's body, and for the connection to the member both a ``Sendable`` and its sender. All of it is
    called in the reactor thread.
    """

    repeatable = False

    def __init__(self, length: int | None) -> None:
        self.length = length
        #: Whether the member's transport has the whole body.
        self.done = False
        self._producer: Any = None
        self._transport: Any = None
        self._ended = self._is_held = False
        self._error: BaseException | None = None
        self._progressed: Callable[[], object] | None = None
        self._failed: Callable[[OperationError], object] | None = None

    @property
    def waits(self) -> bool:
        """Whether the member could have more, and the client sends none: that is no silence of the member."""
        return self._transport is not None and not self._ended and not self._is_held

    # -- the client's side: IBodySink ----------------------------------------------------------------------

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: ARG002 - of IConsumer
        """Hold the client back until a member can take the body."""
        self._producer = producer
        if self._transport is None:
            producer.pauseProducing()

    def write(self, data: bytes) -> None:
        """Send a piece, framed by ourselves (RFC 9112, section 7.1)."""
        if self._transport is not None:
            chunked = self.length is None
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
            if self._progressed is not None:
                self._progressed()

    def unregisterProducer(self) -> None:
        """Forget the client's side."""
        self._producer = None

    def end(self, error: BaseException | None) -> None:
        """Complete the body, or have the request fail: the member must never see a part as the whole."""
        self._ended = True
        self._error = error
        if self._transport is not None:
            self._complete()

    # -- the member's side ---------------------------------------------------------------------------------

    def sender(
        self,
        transport: Any,
        *,
        progressed: Callable[[], object],
        failed: Callable[[OperationError], object],
    ) -> PushedBody:
        """Return what sends the body to ``transport``: it begins with ``start``."""
        self._transport = transport
        self._progressed = progressed
        self._failed = failed
        return self

    def start(self) -> None:
        """Let the body come."""
        self._transport.registerProducer(self, True)
        if self._ended:
            self._complete()
        else:
            self.resumeProducing()

    def _complete(self) -> None:
        if self._error is not None:
            if self._failed is not None:
                self._failed(BodyError(f"the body of the request broke off: {self._error}"))
            return
        if self.length is None:
            self._transport.write(b"0\r\n\r\n")
        self.done = True
        self._transport.unregisterProducer()

    def pauseProducing(self) -> None:
        """Read no more from the client for now."""
        self._is_held = True
        if self._producer is not None:
            self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        """Read on."""
        self._is_held = False
        if self._producer is not None:
            self._producer.resumeProducing()

    def stopProducing(self) -> None:
        """Drop the rest: the member's connection is closed."""
        self._transport = self._failed = None
        if self._producer is not None:
            self._producer.stopProducing()
