"""A request's body that goes to a sink as it arrives, at the pace of the sink."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from skitai.interfaces import IBodySink
    from skitai.server.request.request import Request

_log = Logger()


@implementer(IPushProducer)
class BodyStream:
    """Passes the body of ``request`` to ``sink``, and stops reading from the client while the sink is paused.

    At most one read of the connection waits here. All methods are called in the reactor thread.
    """

    __slots__ = (
        "_complete",
        "_delivering",
        "_paused",
        "_pieces",
        "_request",
        "_sink",
        "_size_max",
        "received",
    )

    def __init__(self, request: Request, sink: IBodySink, size_max: int | None) -> None:
        #: Bytes received so far.
        self.received = 0
        self._request = request
        self._sink: IBodySink | None = sink
        self._size_max = size_max
        self._pieces: deque[bytes] = deque()
        self._paused = self._delivering = self._complete = False

    @property
    def paused(self) -> bool:
        """Whether the sink has paused the body."""
        return self._paused

    @property
    def too_long(self) -> bool:
        """Whether the body is too long, by its Content-Length or by what has arrived."""
        length = self._request.body_length or 0
        return self._size_max is not None and max(self.received, length) > self._size_max

    def begin(self) -> None:
        """Register as the producer of the sink."""
        if self._sink is not None:
            self._sink.registerProducer(self, True)

    def append(self, data: bytes) -> bool:
        """Take a piece from the connection. Return False if the body is now too long."""
        self.received += len(data)
        if self._sink is not None and data:
            self._pieces.append(data)
        return self._size_max is None or self.received <= self._size_max

    def complete(self) -> None:
        """Note that the last piece has arrived."""
        self._complete = True

    def deliver(self) -> None:
        """Pass on what has arrived, until the sink pauses."""
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._pieces and self._sink is not None and not self._paused:
                self._sink.write(self._pieces.popleft())
            if self._complete and not self._pieces and self._sink is not None:
                self._end(None)
        except Exception as error:  # noqa: BLE001 - raised, it would end the connection without a response
            reason = Failure()  # type: ignore[no-untyped-call]
            self.fail(error)
            self._request.processingFailed(reason)
        finally:
            self._delivering = False

    def close(self) -> None:
        """Tell the sink that the response ended before the body."""
        self.fail(ConnectionDone("the response ended before the body"))

    def fail(self, error: BaseException) -> None:
        """Tell the sink that the rest of the body will not arrive, and why."""
        self._pieces.clear()
        try:
            self._end(error)
        except Exception:  # noqa: BLE001 - the caller has others to tell about the end of the connection
            _log.failure(
                "{request}: the sink of the body failed", request=self._request, level=LogLevel.error
            )

    def _end(self, error: BaseException | None) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.unregisterProducer()
            sink.end(error)

    # -- IPushProducer, for the sink -----------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """Stop the body."""
        self._paused = True
        self._request.connection.body_wanted(False)

    def resumeProducing(self) -> None:
        """Continue with the body."""
        self._paused = False
        self.deliver()
        if not self._paused:
            self._request.connection.body_wanted(True)

    def stopProducing(self) -> None:
        """Discard the rest of the body, which the sink does not want."""
        self._sink = None
        self._pieces.clear()
        self.resumeProducing()
