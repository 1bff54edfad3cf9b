"""Replies that are passed on as they come, not collected: for proxies, streams and websockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.logger import Logger, LogLevel
from zope.interface import implementer

from skitai.errors import CODE_CLOSED, CODE_EXCEPTION, OperationError

if TYPE_CHECKING:
    from skitai.services.http.protocol import HTTPConnection
    from skitai.services.http.result import HTTPResult

_log = Logger()


class IReplySink(IConsumer):
    """Takes one reply, as ``HTTPRequest.sink``. All of it is called in the reactor thread.

    The order is ``begin``, ``registerProducer``, any number of ``write`` and ``wait``, then
    ``unregisterProducer`` and ``end``. If no reply comes, nothing is called. The producer is a push producer:
    while it is paused, the socket is not read, and the silence time-out does not run. ``stopProducing``
    closes the connection; nothing is called after it. If a sink raises, that is logged, and its
    request fails.
    """

    def begin(reply: HTTPResult) -> None:
        """Take the status and headers of the reply. Its ``data`` stays empty.

        ``write`` then gets the bytes of the body as they came: still with their Content-Encoding, and without
        a limit.
        """

    def wait() -> None:
        """Note that nothing more of the reply has come so far: what was held back can go on."""

    def end(error: BaseException | None) -> None:
        """End: the reply is complete, with its ``trailers``, or broke off with ``error``.

        ``error`` is the OperationError that the request fails with, or a CancelledError.
        """


@implementer(IPushProducer)
class Delivery:
    """Passes the reply that comes over ``connection`` to ``sink``."""

    def __init__(self, connection: HTTPConnection, sink: IReplySink, reply: HTTPResult) -> None:
        self.reply = reply
        self._connection = connection
        self._sink = sink
        self._is_over = False

    def begin(self) -> None:
        """Open the sink."""
        try:
            self._sink.begin(self.reply)
            if not self._is_over:
                self._sink.registerProducer(self, True)
        except Exception as error:  # noqa: BLE001 - a sink is a stranger's code: only its request fails
            self._connection.give_up(_sink_failed(error))

    def add(self, data: bytes) -> None:
        """Take a piece of the body."""
        if not self._is_over:
            try:
                self._sink.write(data)
            except Exception as error:  # noqa: BLE001 - as above
                self._connection.give_up(_sink_failed(error))

    def wait(self) -> None:
        """Note that all that has come was added."""
        if not self._is_over:
            try:
                self._sink.wait()
            except Exception as error:  # noqa: BLE001 - as above
                self._connection.give_up(_sink_failed(error))

    def end(self, error: BaseException | None = None) -> BaseException | None:
        """End the sink, unless it stopped the reply itself.

        Returns ``error``, or else what the sink raises.
        """
        if not self._is_over:
            self._is_over = True
            try:
                self._sink.unregisterProducer()
                self._sink.end(error)
            except Exception as failure:  # noqa: BLE001 - as above
                own = _sink_failed(failure)
                own.node = self.reply.node
                return error or own
        return error

    # IPushProducer

    def pauseProducing(self) -> None:
        """Stop reading for now."""
        if not self._is_over:
            self._connection.pause()

    def resumeProducing(self) -> None:
        """Read on."""
        if not self._is_over:
            self._connection.resume()

    def stopProducing(self) -> None:
        """Close the connection; the request fails with code 700."""
        if not self._is_over:
            self._is_over = True
            self._connection.give_up(OperationError("nobody wants the rest of the reply", code=CODE_CLOSED))


def _sink_failed(cause: Exception) -> OperationError:
    """Log what a sink raised; return the error for its request."""
    _log.failure("the sink of a reply failed", level=LogLevel.error)
    error = OperationError(f"the sink of the reply failed: {cause!r}", code=CODE_EXCEPTION)
    error.__cause__ = cause
    return error
