"""Replies that go on as they come instead of into memory: the seam for proxies, streams and websockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IConsumer, IPushProducer
from zope.interface import implementer

from skitai.errors import CODE_CLOSED, OperationError

if TYPE_CHECKING:
    from skitai.services.http.protocol import HTTPConnection
    from skitai.services.http.result import HTTPResult


class IReplySink(IConsumer):
    """Takes one reply: ``HTTPRequest.sink``. All of it is called in the reactor thread.

    The calls are ``begin``, ``registerProducer``, any number of ``write``, ``unregisterProducer`` and
    ``end``. Without a reply there is none of them. The producer is a push producer: while it is paused, the
    socket is not read, and the node is not blamed for its silence. ``stopProducing`` closes the connection;
    nothing is called after it.
    """

    def begin(reply: HTTPResult) -> None:
        """Take status and headers of the reply. Its ``data`` is empty and stays so.

        The bytes that come are those of the body, in the coding that Content-Encoding names: nothing is
        unpacked, and no limit holds for them.
        """

    def end(error: BaseException | None) -> None:
        """Learn that the reply is whole, or with what ``error`` it broke off.

        That is the OperationError that the request fails with, or a CancelledError.
        """


@implementer(IPushProducer)
class Delivery:
    """Brings the reply that comes over ``connection`` into ``sink``."""

    def __init__(self, connection: HTTPConnection, sink: IReplySink, reply: HTTPResult) -> None:
        self.reply = reply
        self._connection = connection
        self._sink = sink
        self._is_over = False

    def begin(self) -> None:
        """Open the sink."""
        self._sink.begin(self.reply)
        self._sink.registerProducer(self, True)

    def add(self, data: bytes) -> None:
        """Take a piece of the body."""
        if not self._is_over:
            self._sink.write(data)

    def end(self, error: BaseException | None = None) -> None:
        """Tell the sink how it ended, unless it stopped the reply itself."""
        if not self._is_over:
            self._is_over = True
            self._sink.unregisterProducer()
            self._sink.end(error)

    # IPushProducer

    def pauseProducing(self) -> None:
        """Read no more for the time being."""
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
