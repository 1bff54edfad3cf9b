"""HTTP/1.1 connections (RFC 9112): requests in, responses out in the same order.

The channel keeps the order of requests, decides what happens with their bodies, watches time-outs and closes
the connection. ``RequestReader`` parses the input, and ``AnsweringConnection`` sends the output.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from zope.interface import implementer

from skitai.errors import MisuseError
from skitai.interfaces import IConnection
from skitai.loop.untaken import untaken
from skitai.server.http1.answering import AnsweringConnection
from skitai.server.http1.framing import render_switch
from skitai.server.http1.head import NO_TUNNEL, HeadError
from skitai.server.http1.output import output_for
from skitai.server.http1.reader import RequestReader
from skitai.server.http1.states import BodyUse, State
from skitai.server.http1.taking import Taker

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from skitai.server.http1.factory import HTTPFactory
    from skitai.server.request.request import Request

#: The deadline while no time-out runs.
FOREVER = float("inf")
#: Seconds that the client has to close its half of the connection: after its last bytes, and in all.
LINGER_SECONDS, LINGER_SECONDS_MAX = 5.0, 30.0
#: Bytes of a response of which some may still wait in the system when its socket has taken the last one.
_LEFT_MIN = 64 * 1024

# For the hot path: in Python 3.11, looking up a member of an Enum costs a call.
_SERVING, _LINGERING, _CLOSED, _NONE = State.SERVING, State.LINGERING, State.CLOSED, BodyUse.NONE
_READ = (BodyUse.COLLECTED, BodyUse.STREAMED)


@implementer(IProtocol, IHalfCloseableProtocol, IConnection)
class HTTPChannel(AnsweringConnection):
    """One client connection. All methods are called in the reactor thread.

    Requests are answered one at a time, so that pipelined ones cannot overtake each other. While requests
    wait for their turn the connection is not read, so no more than one read is parsed ahead.
    """

    # Slots, because there may be ten thousand idle connections.
    __slots__ = (
        "_body_use",
        "_dispatching",
        "_linger_end",
        "_paused",
        "_read_closed",
        "_reader",
        "_taker",
        "_untaken",
        "deadline",
        "state",
    )

    def __init__(self, factory: HTTPFactory) -> None:
        AnsweringConnection.__init__(self, factory)
        self.state = _SERVING
        self.deadline = FOREVER
        self._body_use = _NONE
        self._reader = RequestReader(self, factory.limits, factory.storage)
        self._taker: Taker | None = None
        # How much the client had yet to take at the first time-out without progress.
        self._untaken: int | None = None
        self._dispatching = self._paused = self._read_closed = False

    @property
    def busy(self) -> int:
        """How many requests are under way."""
        return int(self.current is not None)

    # -- the connection ------------------------------------------------------------------------------------

    def makeConnection(self, transport: Any) -> None:
        """Start on a connected transport, and the time-out for the first request."""
        self.connected(transport)
        factory = self.factory
        self.output = output_for(transport, self, factory.sending, factory.storage)
        self.deadline = factory.now + factory.limits.header_timeout

    def connectionMade(self) -> None:
        """Called by nobody: ``makeConnection`` does it all."""

    def _set_deadline(self, seconds: float) -> None:
        self.deadline = self.factory.now + seconds

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self.state is not _SERVING:
            self._receive_while_not_serving(data)
            return
        head_has_begun = self._reader.feed(data)
        request = self.current
        if request is not None:
            self._handle_body(request)
            self._update_reading()
        elif self._reader.requests:
            self._serve_waiting()
        elif head_has_begun:
            self._set_deadline(self.factory.limits.header_timeout)

    def _receive_while_not_serving(self, data: bytes) -> None:
        if self._taker is not None:
            self._taker.data_received(data)
        elif self.state is _LINGERING:  # a client that still sends may not have read its response yet
            self.deadline = min(self.factory.now + LINGER_SECONDS, self._linger_end)

    def readConnectionLost(self) -> None:
        """Note that the client will send no more. Its requests are still answered."""
        self._read_closed = True
        request = self.current
        if self._taker is not None:
            self._taker.read_lost()
        elif self.state is _LINGERING:
            self.transport.loseConnection()
        elif request is None:
            self._close()
        elif self._body_use not in (_NONE, BodyUse.DROPPED):
            self._refuse(request, 400, "its client has ended it before the end of its body")
        else:
            request.read_lost()

    def writeConnectionLost(self) -> None:
        """Note that our half of the connection is closed."""
        if self._taker is not None:
            self._taker.write_lost()

    def connectionLost(self, reason: Failure) -> None:
        """Clean up: the connection is gone."""
        taker, self._taker = self._taker, None
        lost = self._reader.requests if self.current is None else [self.current, *self._reader.requests]
        self.state = _CLOSED
        self.deadline = FOREVER
        self.current = None
        self._reader.requests = []
        self._reader.forget()
        self.output.discard()
        try:
            if taker is not None:
                taker.lost(reason)
            for request in lost:
                request.connectionLost(reason)
                self.factory.ended(request)
        finally:
            self.factory.forget(self)  # last, because after the last connection the access log is closed

    def timed_out(self) -> None:
        """Refuse a partial request, close an idle connection, or abort a stalled one, at its deadline."""
        self.deadline = FOREVER
        request = self.current
        if self.state is _LINGERING:
            self.state = _CLOSED
            self.output.hang_up()
            self._set_deadline(2 * self.factory.limits.response_timeout)
        elif self.state is not _CLOSED and self.output.blocked and self._client_reads():
            self._set_deadline(self.factory.limits.response_timeout)
        elif self.state is _CLOSED or self.output.blocked:
            self.transport.abortConnection()
        elif request is not None:
            if self._body_use not in _READ or request.status_code:
                self.transport.abortConnection()
            else:
                self._refuse(request, 408)
        elif self._reader.partial_url:
            self._reader.refuse(408)
            self._serve_waiting()
        else:
            self._close()

    def _client_reads(self) -> bool:
        """Return whether the client has read since this was asked last, or is asked for the first time."""
        before, self._untaken = self._untaken, untaken(self.transport)
        return before is None or self._untaken < before

    # -- one request after the other -----------------------------------------------------------------------

    def _serve_waiting(self) -> None:
        """Serve waiting requests until one is not answered at once: a loop, so that nothing recurses."""
        if self._dispatching:
            return
        reader = self._reader
        self._dispatching = True
        try:
            while self.current is None and self.state is _SERVING:
                if reader.requests:
                    self._begin(reader.requests.pop(0))
                elif reader.stopped:  # the last request was answered, and the protocol has not changed
                    reader.go_on()
                    self._expect_more()
                else:
                    break
        finally:
            self._dispatching = False
        if self._paused or self._body_use is not _NONE or reader.requests or reader.stopped:
            self._update_reading()

    def _begin(self, request: Request) -> None:
        self.current = request
        self.deadline = FOREVER
        self.factory.begin(request, self)
        if request.spool is None and (not self._reader.stopped or self._reader.requests):
            self.factory.handle(request)
        else:
            self._judge(request)

    def _judge(self, request: Request) -> None:
        """Decide on a request whose body may still arrive, or that may change the protocol."""
        if request.refusal:
            self.factory.handle(request)
            return
        self._body_use = BodyUse.HELD
        is_held = self.factory.judge(request)
        if self.current is not request or self._body_use is not BodyUse.HELD or is_held:
            return
        if request.method == b"CONNECT":
            self._refuse(request, 405, NO_TUNNEL)
            return
        self._body_use = BodyUse.COLLECTED
        if request.collect_body():
            self._read_body(request)
        else:
            self._refuse(request, 413)

    def _read_body(self, request: Request) -> None:
        """Handle the part of the body that has arrived, and read the rest."""
        if self._reader.stopped and not self._reader.requests:  # the protocol does not change
            self._reader.go_on()
        self._send_continue(request)
        self._handle_body(request)

    def _send_continue(self, request: Request) -> None:
        """Ask for the body if the client waits for that and has not begun to send it."""
        is_expected = request.expects_continue and not request.bytes_sent  # else the response has begun
        if is_expected and request.body is not None and not request.body.received:
            self.output.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.expects_continue = False

    def _handle_body(self, request: Request) -> None:
        """Handle what has arrived of the body of the current request."""
        use = self._body_use
        if use is _NONE:
            return
        if request.refusal and use is not BodyUse.DROPPED:
            self._refuse(request, request.refusal, request.refused_because)
            return
        if request.complete and use is not BodyUse.HELD:  # TLS may bring more, paused or not
            self._body_use = _NONE
            self.deadline = FOREVER
        if use is BodyUse.STREAMED:
            assert request.stream is not None
            request.stream.deliver()
        elif use is BodyUse.COLLECTED and request.complete:
            self.factory.handle(request)
        self._watch_body(request)

    def _watch_body(self, request: Request) -> None:
        """Start the time-out for the next piece of the body, if it is the client's turn."""
        if self._body_use not in _READ or request.status_code:
            return
        self.deadline = FOREVER
        if not self._sink_is_paused():
            self._set_deadline(self.factory.limits.response_timeout)

    def _refuse(self, request: Request, code: int, why: str = "") -> None:
        """Refuse the current request, unless its response has begun."""
        request.refuse(code, why)
        self._reader.close()
        self._body_use = BodyUse.DROPPED
        if request.stream is not None:  # its sink may answer the request, which then needs no refusal
            request.stream.fail(HeadError(code))
        if self.current is request and not request.status_code:
            self.factory.handle(request)

    def _update_reading(self) -> None:
        """Stop reading while it is not the client's turn, and continue when it is."""
        reader = self._reader
        wants_pause = bool(reader.requests) or reader.stopped
        if self._body_use is not _NONE and not wants_pause:
            wants_pause = self._body_use is BodyUse.HELD or self._sink_is_paused()
        if wants_pause != self._paused and self.state is _SERVING:
            self._paused = wants_pause
            (self.transport.pauseProducing if wants_pause else self.transport.resumeProducing)()

    def _sink_is_paused(self) -> bool:
        request = self.current
        return request is not None and request.stream is not None and request.stream.paused

    def output_progressed(self) -> None:
        """Note that the client reads, or begins to keep the response waiting."""
        self._untaken = None
        self._set_deadline(self.factory.limits.response_timeout)
        if self.current is not None:
            self.current.progressed()

    def output_drained(self) -> None:
        """Go on: the client has read what waited."""
        request = self.current
        if request is None:
            if self.state is _SERVING:
                self._expect_more()
            return
        self.deadline = FOREVER
        self._watch_body(request)
        request.drained()
        if request.written and self.current is request and not self.output.blocked:
            self._response_sent(request)

    def _response_sent(self, request: Request) -> None:
        reader = self._reader
        self.current = None
        self._body_use = _NONE
        request.completed()
        if self.factory.timed:
            self.factory.ended(request)
        is_last = not request.keep_alive or not request.complete
        if is_last or (self._read_closed and not reader.requests):
            # The client may still be sending, if it did not know that this was the last response. With TLS it
            # may say goodbye before it has read all, and a reset would take what has not left the system yet.
            says_goodbye = self.secure and request.bytes_sent > _LEFT_MIN
            self._close(read_on=request.refusal != 0 or not reader.ended or says_goodbye)
        elif reader.requests or reader.stopped:
            self._serve_waiting()
        else:
            self._expect_more()
            if self._paused:
                self._update_reading()

    def _expect_more(self) -> None:
        """Start the time-out for the next request, or for the rest of its head."""
        limits = self.factory.limits
        seconds = limits.header_timeout if self._reader.partial_url else limits.keep_alive
        self.deadline = self.factory.now + seconds

    # -- the end -------------------------------------------------------------------------------------------

    def _close(self, read_on: bool = False) -> None:
        """Answer no more requests, and close once everything is sent.

        With ``read_on``, further input is read for a while and discarded. A close with unread input would
        reset the connection before the client has read its response (RFC 9112, section 9.6).
        """
        self.state = _LINGERING
        for request in self._reader.requests:
            request.release()
        self._reader.requests = []
        self._reader.close()
        if self._paused:
            self.transport.resumeProducing()
        self.output.close(read_on and not self._read_closed)
        now = self.factory.now
        self._linger_end = now + LINGER_SECONDS_MAX
        self.deadline = now + LINGER_SECONDS

    def close_when_idle(self, seconds: float = 0.0) -> None:
        """Close unless a request is under way, or comes within ``seconds``, which will then be the last.

        Called when the server stops.
        """
        if self._taker is not None:
            self._taker.stop()
        elif self.current is not None:
            self.current.keep_alive = False
        elif self.state is _SERVING and not self._reader.partial_url:
            if seconds:
                self.deadline = min(self.deadline, self.factory.now + seconds)
            else:
                self._close()

    # -- what happens with the body: a part of IConnection -------------------------------------------------

    def _response_precedes_body(self, request: Request) -> None:
        if self._body_use is BodyUse.STREAMED:
            return
        # The rest of the body must not be taken for the next request.
        request.keep_alive = False
        self._body_use = BodyUse.DROPPED
        if request.spool is not None:
            request.spool.drop()
        self._update_reading()

    @property
    def holds_body(self) -> bool:
        """Whether it is still undecided what happens with the body."""
        return self._body_use is BodyUse.HELD

    def stream_body(self) -> None:
        """Start to pass the body to the stream of the request."""
        request = self.current
        assert request is not None
        assert request.stream is not None
        self._body_use = BodyUse.STREAMED
        request.stream.begin()
        if self.current is not request:  # the sink has answered already
            return
        if request.stream.too_long:
            self._refuse(request, 413)
        elif not request.stream.paused:
            self._read_body(request)
        self._update_reading()

    def body_wanted(self, wanted: bool) -> None:
        """Continue or stop the body that is streamed."""
        request = self.current
        if request is None or self._body_use is not BodyUse.STREAMED:
            return
        if wanted and not self._sink_is_paused():
            self._read_body(request)
        else:
            self._watch_body(request)
        self._update_reading()

    def take_over(
        self, request: Request, protocol: IProtocol, status: str, headers: Sequence[tuple[str, str]] | None
    ) -> None:
        """Answer with ``status``, and give the connection to ``protocol``. See ``IConnection``."""
        if self.current is not request or self._body_use is not BodyUse.HELD:
            raise MisuseError("a connection can be taken over once, by a resource that was asked at the head")
        head = b"" if headers is None else render_switch(status, headers, self.factory.stamps[False, False])
        request.status_code = int(status[:3])
        request.bytes_sent = len(head)
        if self.factory.timed:
            request.answered = monotonic()
        if head:
            self.output.write(head)
        self.output.detach()
        self.deadline = FOREVER  # also where the head had to wait for the client
        unread = self._reader.unread
        self._reader.close()
        self.state = State.TAKEN_OVER
        self.current = None
        self._taker = Taker(protocol, self.transport)
        request.written = True
        request.completed()
        self.factory.ended(request)
        if self._paused:
            self.transport.resumeProducing()
        self._taker.begin(unread)
        if (
            self.factory.stopping and self._taker is not None
        ):  # a request under way, so nobody has told this protocol
            self._taker.stop()
