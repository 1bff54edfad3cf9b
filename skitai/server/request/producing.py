"""Bodies from a Twisted producer, sent as fast as the client reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

if TYPE_CHECKING:
    from skitai.server.request.rendering import RenderedRequest

#: How many pieces a pull producer may make before other connections get their turn, unless they are
#: compressed: of those, one.
_PULLS_PER_TURN = 16


class Production:
    """Runs the ``producer`` of a response's body. All methods are called in the reactor thread.

    With ``streaming`` it is an ``IPushProducer``, which is paused while the client does not keep up. Without,
    it is an ``IPullProducer``, which is asked for a piece whenever nothing waits to be sent.
    """

    __slots__ = ("_busy", "_held_back", "_producer", "_request", "_streaming")

    def __init__(self, request: RenderedRequest, producer: Any, streaming: bool) -> None:
        self._request = request
        self._producer = producer
        self._streaming = streaming
        self._busy = self._held_back = False

    def hold_back(self) -> None:
        """Pause a push producer if the client does not keep up."""
        if self._streaming and not self._held_back and self._request.connection.blocked:
            self._held_back = True
            self._producer.pauseProducing()

    def resume(self) -> None:
        """Continue: everything produced so far was sent."""
        if not self._streaming:
            self._pull()
        elif self._held_back:
            self._held_back = False
            self._producer.resumeProducing()

    def stop(self) -> None:
        """Stop the producer: the client is gone, or the response has failed."""
        self._producer.stopProducing()

    def _pull(self) -> None:
        request = self._request
        if self._busy:
            return
        self._busy = True
        try:
            for _ in range(_PULLS_PER_TURN):
                if request.production is not self or request.connection.blocked:
                    return
                self._producer.resumeProducing()
                if request.compresses:  # which takes milliseconds for a piece
                    break
        except Exception:  # noqa: BLE001 - nobody else would handle it, and the client would wait
            request.unregisterProducer()
            self.stop()
            request.processingFailed(Failure())  # type: ignore[no-untyped-call]
        else:
            request.connection.reactor.callLater(0, self._pull)
        finally:
            self._busy = False
