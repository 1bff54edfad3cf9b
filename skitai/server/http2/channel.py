"""HTTP/2 connections (RFC 9113): many requests at a time, each in a stream of its own.

The channel begins streams, watches time-outs and ends the connection. ``ReceivingConnection`` reads frames,
``SendingConnection`` sends them, and a ``Stream`` is what a request knows of the connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.logger import Logger, LogLevel
from zope.interface import implementer

from skitai.loop.untaken import untaken
from skitai.server.http1.channel import FOREVER, LINGER_SECONDS
from skitai.server.http1.output import output_for
from skitai.server.http1.states import State
from skitai.server.http2 import frames
from skitai.server.http2.frames import ErrorCode, HTTP2Error
from skitai.server.http2.head import read_head
from skitai.server.http2.limits import CONNECTION_WINDOW, STREAM_WINDOW
from skitai.server.http2.receiving import ReceivingConnection
from skitai.server.http2.stream import Stream
from skitai.server.http2.tunnel import TunnelStream

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from skitai.server.http1.factory import HTTPFactory

_log = Logger()

#: The ping that follows the first GOAWAY: its answer comes when the client has read that.
_GOAWAY_PING = b"goodbye!"
_SERVING = State.SERVING
#: Seconds from a whole response to the reset that ends a body which nobody reads. A curl that reads both at
#: once (7.88) takes the response for an error.
_RESET_AFTER = 0.1


@implementer(IProtocol, IHalfCloseableProtocol)
class HTTP2Channel(ReceivingConnection):
    """One client connection. All methods are called in the reactor thread."""

    # Slots, because there may be ten thousand idle connections.
    __slots__ = ("_accepts", "_client_leaves", "_goes_away", "_silent", "_untaken", "deadline", "state")

    def __init__(self, factory: HTTPFactory) -> None:
        super().__init__(factory)
        self.state = _SERVING
        self.deadline = FOREVER
        # Whether new streams are served, and whether the client knows that this will end.
        self._accepts = True
        self._goes_away = self._client_leaves = False
        # Ticks since the client took something, while the socket is full; and what it had yet to take then.
        self._silent = self._untaken = 0

    @property
    def busy(self) -> int:
        """How many requests are under way."""
        return sum(not stream.taken for stream in self.streams.values())

    # -- the connection ------------------------------------------------------------------------------------

    def makeConnection(self, transport: Any) -> None:
        """Start on a connected transport."""
        self.connected(transport)
        factory = self.factory
        self.output = output_for(transport, self, factory.sending, factory.storage)
        self.connectionMade()

    def connectionMade(self) -> None:
        """Send the settings, and start the time-out for the first request."""
        limits = self.factory.limits
        self.deadline = self.factory.now + limits.header_timeout
        settings = {
            frames.MAX_CONCURRENT_STREAMS: limits.http2_streams,
            frames.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            frames.MAX_HEADER_LIST_SIZE: limits.header_max,
            frames.ENABLE_CONNECT_PROTOCOL: 1,
        }
        self.emit(frames.settings_frame(settings), frames.window_frame(0, CONNECTION_WINDOW - 65_535))

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self.state is not _SERVING:
            return
        try:
            self.read(data)
        except HTTP2Error as fault:
            self._fail(fault)

    def is_open(self) -> bool:
        """Return whether frames are still read."""
        return self.state is _SERVING

    def readConnectionLost(self) -> None:
        """Note that the client will send no more. Its complete requests are still answered."""
        if self.state is not _SERVING:
            self.transport.loseConnection()
            return
        for stream in list(self.streams.values()):
            if not stream.ended:
                stream.lost()
            elif not stream.closed:
                stream.request.read_lost()
        self.client_leaves()

    def writeConnectionLost(self) -> None:
        """Note that our half of the connection is closed."""

    def connectionLost(self, reason: Failure) -> None:
        """Clean up: the connection is gone."""
        self.state = State.CLOSED
        self.deadline = FOREVER
        self.send_no_more()
        try:
            for stream in list(self.streams.values()):
                stream.lost(reason)
            self.output.discard()
        finally:
            self.factory.forget(self)  # last, because after the last connection the access log is closed

    # -- streams -------------------------------------------------------------------------------------------

    def head_received(self, stream_id: int, fields: Iterable[tuple[bytes, bytes]], ended: bool) -> None:
        """Begin a stream, unless there are too many."""
        factory = self.factory
        if not self._accepts or len(self.streams) >= factory.limits.http2_streams:
            self.reset_stream(stream_id, ErrorCode.REFUSED_STREAM)
            self.spend("streams beyond the limit")
            return
        stream = Stream(self, stream_id, self.stream_window)
        request = read_head(stream, fields, factory.limits, factory.storage, ended)
        if request.upgrade:
            request.connection = stream = TunnelStream(self, stream_id, self.stream_window)
            stream.ended = ended
        if not self.streams:
            self.deadline = factory.now  # from now on, all streams are looked at about once a second
        self.streams[stream_id] = stream
        stream.begin(request)

    def stream_closed(self, stream: Stream, code: ErrorCode | None) -> None:
        """Forget a stream; with ``code``, tell the client that it is over."""
        self.streams.pop(stream.id, None)
        if code is ErrorCode.NO_ERROR:
            self.ignore_stream(stream.id)
            self.factory.reactor.callLater(_RESET_AFTER, self.emit, frames.reset_frame(stream.id, code))
        elif code is not None:
            self.reset_stream(stream.id, code)
        if not self.streams:
            self._idle()

    def _idle(self) -> None:
        if self.state is not _SERVING:
            return
        if self._client_leaves or not self._accepts:
            self._close()
        else:
            self.deadline = self.factory.now + self.factory.limits.keep_alive

    # -- time-outs -----------------------------------------------------------------------------------------

    def timed_out(self) -> None:
        """Look at all streams, or end a connection that is idle, or does not end."""
        if self.state is not _SERVING:
            self.transport.abortConnection()
            return
        if self._goes_away:
            self._accept_no_more()
        if not self.streams:
            if self.is_open():
                self._close()
            return
        seconds = self.factory.limits.response_timeout
        self.deadline = self.factory.now
        reads = False
        if self.output.blocked:
            before, self._untaken = self._untaken, untaken(self.transport)
            reads = self._untaken < before
            self._silent = 0 if reads else self._silent + 1
            if self._silent > 2 * seconds:
                self.deadline = FOREVER
                self.transport.abortConnection()
                return
        for stream in list(self.streams.values()):
            if not stream.closed:
                stream.tick(seconds, reads)

    def output_progressed(self) -> None:
        """Note that the client reads, or begins to keep the response waiting."""
        self._silent = 0

    def output_drained(self) -> None:
        """Go on: the client has read what waited."""
        self._silent = 0
        self.pump()
        self.hear()

    # -- the end -------------------------------------------------------------------------------------------

    def client_leaves(self) -> None:
        """Close when the present streams are over: the client begins no more."""
        self._client_leaves = True
        if not self.streams and self.state is _SERVING:
            self._close()

    def close_when_idle(self, seconds: float = 0.0) -> None:  # noqa: ARG002 - the client is asked
        """Have the client begin no more streams, and close when the present ones are over.

        The first GOAWAY names no stream, because some may be on their way (RFC 9113, section 6.8). When its
        client has read it, a second one names the last stream that is served. Protocols that have taken over
        a stream are told. Called when the server stops.
        """
        if self.state is not _SERVING or self._goes_away:
            return
        self._goes_away = True
        self.emit(frames.goaway_frame(frames.LARGEST, ErrorCode.NO_ERROR), frames.ping_frame(_GOAWAY_PING))
        self.deadline = min(self.deadline, self.factory.now)
        for stream in list(self.streams.values()):
            stream.stop()

    def pong_received(self, data: bytes) -> None:
        """Go on with the end when the client has read that it has begun."""
        if data == _GOAWAY_PING and self._goes_away:
            self._accept_no_more()

    def _accept_no_more(self) -> None:
        if not self._accepts:
            return
        self._accepts = False
        self.emit(frames.goaway_frame(self.last_id, ErrorCode.NO_ERROR))
        if not self.streams:
            self._close()

    def _fail(self, fault: HTTP2Error) -> None:
        """End the connection with an error; its requests are told that their client is gone."""
        client, code = self.addresses["REMOTE_ADDR"], fault.code
        if code is ErrorCode.ENHANCE_YOUR_CALM:
            log = self.factory.refusals.log
            log.tell_of(client, b"a connection of HTTP/2", code.name, str(fault), LogLevel.warn)
        else:
            _log.debug("{client}: HTTP/2 ends with {code}: {why}", client=client, code=code.name, why=fault)
        self.state = State.LINGERING
        for stream in list(self.streams.values()):
            stream.lost()
        self._end(fault.code, str(fault))

    def _close(self) -> None:
        """Close in good order."""
        self.state = State.LINGERING
        self._end(ErrorCode.NO_ERROR, "")

    def _end(self, code: ErrorCode, reason: str) -> None:
        """Say which streams were served, and close; what still comes is read for a while and discarded."""
        self.emit(frames.goaway_frame(self.last_id, code, reason))
        self.flush()
        self.send_no_more()
        self.output.close(True)
        self.deadline = self.factory.now + LINGER_SECONDS
