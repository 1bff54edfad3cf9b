"""What a protocol has for a connection when it has taken over a stream of HTTP/2."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IProtocol, IPushProducer, ITransport
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import implementer

from skitai.interfaces import ILastingProtocol

if TYPE_CHECKING:
    from skitai.server.http2.tunnel import TunnelStream

_log = Logger()

#: The head with which a protocol answers by itself, as in HTTP/1.1; and the longest.
_STATUS = re.compile(r"HTTP/1\.[01] (\d{3})(?: .*)?")
_HEAD_END = b"\r\n\r\n"
_HEAD_MAX = 64 * 1024


@implementer(ITransport, IPushProducer)
class StreamTransport:
    """The transport of ``protocol`` over ``stream``. All methods are called in the reactor thread.

    Each half is closed by END_STREAM, and the whole is cut by RST_STREAM. With ``answers``, the protocol
    begins with the head of its own response, as HTTP/1.1 has it: a 101 accepts.
    """

    __slots__ = (
        "_answer",
        "_closing",
        "_half_closeable",
        "_producer",
        "_protocol",
        "_stream",
        "_waits",
        "lost",
        "paused",
    )

    def __init__(self, stream: TunnelStream, protocol: IProtocol, *, answers: bool) -> None:
        self._stream = stream
        self._protocol: Any = protocol
        self._half_closeable = IHalfCloseableProtocol.providedBy(protocol)
        # What has come of the head; None when it is sent.
        self._answer: bytes | None = b"" if answers else None
        self._producer: Any = None
        # Whether the producer was told to wait.
        self._waits = False
        # Whether the whole connection is to end when all is sent.
        self._closing = False
        #: Whether the protocol wants nothing for now.
        self.paused = False
        #: Whether the protocol was told that the connection is gone.
        self.lost = False

    # -- ITransport ----------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send ``data``. If it must wait, the producer is paused before this returns."""
        if self._answer is not None:
            data = self._translate(data)
        if data and not self._closing:
            self._stream.write(data)
        if self._stream.blocked and self._producer is not None and not self._waits:
            self._waits = True
            self._producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send all of ``data``."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close when all is sent; what still comes is dropped."""
        if self._closing:
            return
        self._closing = True
        self.paused = False
        self._stream.read_on()
        if self._stream.sent_end:
            self._stream.reactor.callLater(0, self.end, None)
        else:
            self.loseWriteConnection()

    def loseWriteConnection(self) -> None:
        """Close our half when all is sent."""
        if self._answer is None:
            self._stream.end_output()
        else:  # a stream cannot end without a head
            self.abortConnection()

    def abortConnection(self) -> None:
        """Cut the connection."""
        self._stream.cancel()

    def getPeer(self) -> IAddress:
        """Return the address of the client."""
        return self._stream.client

    def getHost(self) -> IAddress:
        """Return the address that the client connected to."""
        return self._stream.server

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: ARG002 - all push
        """Pause and resume ``producer``, a push producer, by what the client takes."""
        self._producer = producer

    def unregisterProducer(self) -> None:
        """Forget the producer."""
        self._producer = None
        self._waits = False

    # -- IPushProducer -------------------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """Have the client wait: when its window is full, it sends no more."""
        self.paused = not self._closing

    def resumeProducing(self) -> None:
        """Read again."""
        if self.paused:
            self.paused = False
            self._stream.read_on()

    def stopProducing(self) -> None:
        """Close: whom the bytes were for is gone."""
        self.loseConnection()

    # -- what the stream tells -----------------------------------------------------------------------------

    def begin(self) -> None:
        """Connect the protocol."""
        self._tell(self._protocol.makeConnection, self)

    def received(self, data: bytes) -> None:
        """Give the protocol what the client has sent."""
        if not (self._closing or self.lost):
            self._tell(self._protocol.dataReceived, data)

    def _tell(self, function: Callable[..., object], *args: object) -> None:
        try:
            function(*args)
        except Exception:  # noqa: BLE001 - the other streams of the connection must go on
            _log.failure("{function} failed on a stream", function=function, level=LogLevel.error)
            self.abortConnection()

    def drained(self) -> None:
        """Have the producer go on: all that waited is sent."""
        if self._waits and self._producer is not None:
            self._waits = False
            self._tell(self._producer.resumeProducing)

    def input_ended(self) -> None:
        """Tell the protocol that the client sends no more, or close if it cannot handle that."""
        if self._closing or self.lost:
            return
        if self._half_closeable:
            self._tell(self._protocol.readConnectionLost)
        else:
            self.loseConnection()

    def output_ended(self) -> None:
        """Note that all is sent, and our half closed."""
        if self._closing:
            self._stream.reactor.callLater(0, self.end, None)
        elif self._half_closeable:
            self._tell(self._protocol.writeConnectionLost)

    def stop(self) -> None:
        """Tell the protocol that the server stops, or close if it cannot handle that."""
        if self._closing or self.lost:
            return
        if ILastingProtocol.providedBy(self._protocol):
            self._tell(self._protocol.stop)
        else:
            self.loseConnection()

    def end(self, reason: Failure | None) -> None:
        """Tell the protocol once that the connection is gone: for ``reason``, or by who has ended it."""
        if self.lost:
            return
        self.lost = True
        producer, self._producer = self._producer, None
        if producer is not None:
            self._tell(producer.stopProducing)
        if reason is None:
            gone = ConnectionDone() if self._closing else ConnectionLost("the client reset the stream")
            reason = Failure(gone)  # type: ignore[no-untyped-call]
        self._tell(self._protocol.connectionLost, reason)

    # -- a protocol that answers by itself -----------------------------------------------------------------

    def _translate(self, data: bytes) -> bytes:
        """Send the head that ``data`` completes, and return what follows it."""
        assert self._answer is not None
        self._answer += data
        head, end, rest = self._answer.partition(_HEAD_END)
        if not end:
            if len(self._answer) > _HEAD_MAX:
                self._refuse_answer()
            return b""
        self._answer = None
        first, *lines = head.decode("latin-1").split("\r\n")
        status = _STATUS.fullmatch(first)
        fields = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        if status is None or (status[1] < "300" and status[1] != "101"):
            self._refuse_answer()
            return b""
        try:
            if status[1] == "101":
                self._stream.accept(fields)
                return rest
            self._stream.decline(first.partition(" ")[2], fields)
        except ValueError:  # a field that no head can have
            self._refuse_answer()
        return b""

    def _refuse_answer(self) -> None:
        _log.warn(
            "{protocol} did not answer the handshake of a websocket by the rules", protocol=self._protocol
        )
        self._answer = None
        self.abortConnection()
