"""HTTP/1.1 connections (RFC 9112): bytes in, requests out, answers back in order.

llhttp does the parsing, strictly. What it leaves to its user is done here: limits, time-outs, pipelining,
``Expect: 100-continue``, refusals and the way a connection is closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserUpgrade,
    HttpRequestParser,
)
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.logger import Logger
from zope.interface import implementer

from skitai.interfaces import IConnection
from skitai.server.http1.framing import render_head
from skitai.server.http1.head import HeadError, examine, framing_head
from skitai.server.http1.output import Output, output_for
from skitai.server.request.body import BodySpool
from skitai.server.request.connection import Connection
from skitai.server.request.request import Request

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from skitai.server.http1.factory import HTTPFactory

_log = Logger()

#: Never reached: no time-out runs.
FOREVER = float("inf")
#: Seconds that a client may take to say goodbye: while it sends nothing, and in all.
LINGER_SECONDS, LINGER_SECONDS_MAX = 5.0, 30.0
_UNDERSCORE = ord("_")
#: Framing allowed per chunk of a chunked body: size, line ends, a little extension.
CHUNK_OVERHEAD = 64


@implementer(IProtocol, IHalfCloseableProtocol, IConnection)
class HTTPChannel(Connection):
    """One client connection. All methods are called in the reactor thread.

    Requests are answered one at a time, so pipelined ones cannot overtake each other; while one waits its
    turn the connection is not read, so that at most one read's worth of requests is ever parsed ahead.
    """

    # Slots: ten thousand of these may be idle.
    __slots__ = (
        "_body",
        "_chunked",
        "_chunks",
        "_continue_owed",
        "_dispatching",
        "_fed",
        "_headers",
        "_incoming",
        "_linger_end",
        "_lingering",
        "_parser",
        "_paused",
        "_read_closed",
        "_uncounted",
        "_unsent_head",
        "_url",
        "_waiting",
        "closing",
        "current",
        "deadline",
        "factory",
        "output",
    )

    output: Output

    def __init__(self, factory: HTTPFactory) -> None:
        self.factory = factory
        self.deadline = FOREVER
        #: The request being answered, if any.
        self.current: Request | None = None
        #: Whether nothing more will be answered: the connection closes once what was written is sent.
        self.closing = False
        self._waiting: list[Request] = []
        # Of the answer that has begun: its head as long as it waits for the first piece of the body.
        self._unsent_head = b""
        self._chunked = False
        self._parser: HttpRequestParser | None = HttpRequestParser(self)
        self._dispatching = self._paused = self._read_closed = self._lingering = self._uncounted = False
        self._new_message()

    def _new_message(self) -> None:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._incoming: Request | None = None
        self._body: BodySpool | None = None
        self._fed = self._chunks = 0
        self._continue_owed = False

    # -- the connection ------------------------------------------------------------------------------------

    def makeConnection(self, transport: Any) -> None:
        """Begin: the transport is connected."""
        self.connected(transport)
        if isinstance(self.server, (IPv4Address, IPv6Address)):
            # Each write is whole in itself: it must not wait until the client has acknowledged the last one.
            transport.setTcpNoDelay(True)
        self.output = output_for(transport, self._progress, self._drained, self.factory.sending)
        self.connectionMade()

    def connectionMade(self) -> None:
        """Give the client its time to send the first request."""
        self._set_deadline(self.factory.limits.header_timeout)

    def _set_deadline(self, seconds: float) -> None:
        self.deadline = self.factory.now + seconds

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the client."""
        parser = self._parser
        if parser is None:
            self._ignore()
            return
        self._uncounted = False
        while data:
            try:
                parser.feed_data(data)
            except HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                parser = self._decline_upgrade()
                if parser is not None:
                    continue
            except HttpParserError as error:
                self._parsing_failed(error)
            else:
                if self._url:
                    self._message_goes_on(len(data))
            break
        if self._waiting:
            self._next()

    def _message_goes_on(self, size: int) -> None:
        """Watch over a message that did not end with the bytes just read."""
        limits = self.factory.limits
        begins = self._fed == 0
        # A read that also held the end of another message, or of the head, is not counted against this one.
        self._fed += 1 if self._uncounted else size
        busy = self.current is not None or bool(self._waiting)
        if self._incoming is None:
            if self._fed > limits.header_max:
                self._refuse(431)
            elif begins and not busy:  # the whole head must be here in time
                self._set_deadline(limits.header_timeout)
            return
        # llhttp passes over chunk extensions and trailers of any length without a word.
        received = 0 if self._body is None else self._body.received
        if self._fed - received - self._chunks * CHUNK_OVERHEAD > limits.header_max:
            self._refuse(400)
        elif not busy:
            self._set_deadline(limits.response_timeout)

    def _ignore(self) -> None:
        if self._lingering:  # a client that is still sending has not read its answer yet
            self.deadline = min(self.factory.now + LINGER_SECONDS, self._linger_end)

    def readConnectionLost(self) -> None:
        """Note that the client will send no more; what it asked is still answered."""
        self._read_closed = True
        if self._lingering:
            self.transport.loseConnection()
        elif self.current is None and not self._waiting:
            self._close()

    def writeConnectionLost(self) -> None:
        """Note that our half of the connection is closed."""

    def connectionLost(self, reason: Failure) -> None:
        """End: the connection is gone."""
        self.deadline = FOREVER
        self.closing = True
        self._parser = None
        self.output.discard()
        lost = self._waiting if self.current is None else [self.current, *self._waiting]
        self._waiting = []
        self.current = None
        if self._body is not None:
            self._body.close()
        try:
            for request in lost:
                request.connectionLost(reason)
                self.factory.ended(request)
        finally:
            self.factory.forget(self)  # last: who waits for the end of all connections closes the log

    def timed_out(self) -> None:
        """The deadline passed: refuse what is half sent, close what is idle, cut off what stalls."""
        self.deadline = FOREVER
        if self._lingering:
            self._lingering = False
            self.output.hang_up()
            self._set_deadline(2 * self.factory.limits.response_timeout)
        elif self.current is not None or self.output.blocked or self.closing:
            self.transport.abortConnection()
        elif self._parser is not None and self._url:
            self._refuse(408)
            self._next()
        else:
            self._close()

    # -- llhttp's callbacks --------------------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request target."""
        self._url += url
        if len(self._url) > self.factory.limits.uri_max:
            raise HeadError(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field.

        Dropped are those that follow a chunked body (trailers), and names with an underscore: an app could
        not tell ``X_User`` from the ``X-User`` that a proxy in front of us has checked.
        """
        if self._incoming is None and _UNDERSCORE not in name:
            self._headers.append((name.lower(), value.rstrip()))

    def on_headers_complete(self) -> None:
        """Judge the head: a request that will be refused is refused before its body is read."""
        if self._incoming is not None:
            return  # the parser was told of its head again: see _decline_upgrade()
        parser = self._parser
        assert parser is not None
        request = Request(self, parser.get_method(), self._url, parser.get_http_version(), self._headers)
        self._incoming = request
        examine(request, self.factory.limits)
        if request.body_max:
            self._body = BodySpool(request.body_max)
            self._fed, self._uncounted = 0, True
            self._continue_owed = request.expects_continue
            if self.current is None and not self._waiting:
                self._send_continue()

    def _send_continue(self) -> None:
        if self._continue_owed:
            self._continue_owed = False
            self.output.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_chunk_header(self) -> None:
        """Count the chunks: each is allowed some framing."""
        self._chunks += 1

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        assert self._body is not None
        self._continue_owed = False
        if not self._body.append(data):
            raise HeadError(413)

    def on_message_complete(self) -> None:
        """Queue the request that is now complete."""
        request, parser = self._incoming, self._parser
        assert request is not None
        assert parser is not None
        if self._body is not None and parser.should_upgrade():
            return  # its body is still to come: see _decline_upgrade()
        if self._body is not None:
            self._body.finish()
        request.received(self._body, parser.should_keep_alive())
        self._waiting.append(request)
        self._new_message()
        self._uncounted = True
        if not request.keep_alive:
            self._parser = None

    # -- what is refused -----------------------------------------------------------------------------------

    def _parsing_failed(self, error: HttpParserError) -> None:
        if self._parser is None:
            return  # bytes after a request that said "Connection: close"
        cause = error.__context__
        if isinstance(cause, HeadError):
            self._refuse(cause.code)
        elif isinstance(cause, OSError):
            _log.error("cannot buffer the body of a request: {error}", error=cause)
            self._refuse(503)
        elif cause is not None:
            raise cause
        else:
            self._refuse(501 if isinstance(error, HttpParserInvalidMethodError) else 400)

    def _refuse(self, code: int) -> None:
        """Queue a refusal behind the requests before it, and read no more requests."""
        request = self._incoming or Request(self, b"", self._url, "1.1", [])
        if self._body is not None:
            self._body.close()
        self._parser = None
        self._new_message()
        request.refuse(code)
        self._waiting.append(request)

    def _decline_upgrade(self) -> HttpRequestParser | None:
        """Go on in HTTP/1.1 after a request that asked for another protocol (RFC 9110, section 7.8).

        Returns the parser for what follows; None if nothing may follow. llhttp takes it that such a request
        has no body. Where it has one, which must not be taken for the next request, the new parser begins
        with a head that frames it and asks for nothing.
        """
        if self._parser is None:
            return None
        self._parser = parser = HttpRequestParser(self)
        if self._incoming is not None:
            self._url = b""
            parser.feed_data(framing_head(self._incoming))
        return parser

    # -- IConnection ---------------------------------------------------------------------------------------

    @property
    def reactor(self) -> Any:
        """The reactor that serves the connection."""
        return self.factory.reactor

    @property
    def waiting(self) -> int:
        """How many bytes wait for the client. Called in any thread."""
        return self.output.waiting

    @property
    def blocked(self) -> bool:
        """Whether anything waits for the client."""
        return self.output.blocked

    def start(
        self, request: Request, status: str, headers: Sequence[tuple[str, str]], length: int | None
    ) -> int | None:
        """Prepare the head of the answer; it leaves with the first piece of the body. See ``IConnection``."""
        factory = self.factory
        head = render_head(
            status,
            headers,
            length,
            version=request.version,
            bodyless=request.bodyless,
            keep_alive=request.keep_alive,
            stamp=factory.stamp,
        )
        self._unsent_head = head.data
        self._chunked = head.chunked
        if head.close:
            request.keep_alive = False
        if factory.timed:
            request.answered = factory.seconds()
        return head.length

    def send(self, data: bytes) -> None:
        """Send a piece of the body of the answer."""
        if self._chunked and data:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._write(data)

    def _write(self, data: bytes) -> None:
        if self._unsent_head:
            data = self._unsent_head + data
            self._unsent_head = b""
        request = self.current
        if not data or request is None:
            return
        request.bytes_sent += len(data)
        try:
            self.output.write(data)
        except OSError as error:  # no room for what the client has not yet read
            _log.error("{uri}: cannot buffer the response: {error}", uri=request.uri, error=error)
            self.abort()

    def flush(self) -> None:
        """Send at once what waits for the end of the turn."""
        self.output.flush()

    def end(self) -> None:
        """Complete the answer: its last byte was written (which does not mean sent)."""
        request = self.current
        self._write(b"0\r\n\r\n" if self._chunked else b"")
        if request is None:
            return
        request.written = True
        if self.current is not request:
            return
        if not request.keep_alive:
            self.output.flush()  # the connection closes, but not before all of it has left
        if not self.output.blocked:
            self._completed(request)

    def abort(self) -> None:
        """Cut the connection."""
        self.output.flush()
        self.transport.abortConnection()

    # -- one request after the other -----------------------------------------------------------------------

    def _next(self) -> None:
        """Answer what waits, one request at a time: a loop, because an answer may be ready at once."""
        if self._dispatching:
            return
        self._dispatching = True
        while self._waiting and self.current is None:
            self.current = request = self._waiting.pop(0)
            self.deadline = FOREVER
            self.factory.handle(request)
        self._dispatching = False
        if self._paused != bool(self._waiting) and not self.closing:
            self._paused = not self._paused
            (self.transport.pauseProducing if self._paused else self.transport.resumeProducing)()

    def _progress(self) -> None:
        self._set_deadline(2 * self.factory.limits.response_timeout)
        if self.current is not None:
            self.current.progressed()

    def _drained(self) -> None:
        request = self.current
        if request is None:
            if not self.closing:
                self._expect_more()
            return
        self.deadline = FOREVER
        request.drained()
        if request.written and self.current is request and not self.output.blocked:
            self._completed(request)

    def _completed(self, request: Request) -> None:
        self.current = None
        request.completed()
        self.factory.ended(request)
        if not request.keep_alive or (self._read_closed and not self._waiting):
            # A client that did not know that this is the last answer may still be sending.
            self._close(read_on=request.refusal != 0 or self._parser is not None)
        elif self._waiting:
            self._next()
        else:
            self._expect_more()
            self._send_continue()

    def _expect_more(self) -> None:
        """Give the client its time for the next request, or for the rest of the one that has begun."""
        limits = self.factory.limits
        if not self._url:
            self._set_deadline(limits.keep_alive)
        else:
            self._set_deadline(limits.header_timeout if self._incoming is None else limits.response_timeout)

    def _close(self, read_on: bool = False) -> None:
        """Answer nothing more, and close once everything is sent.

        With ``read_on`` what the client still sends is read for a while and forgotten: a close with unread
        input resets the connection, before the client has read its answer (RFC 9112, section 9.6).
        """
        self.closing = True
        self._parser = None
        for request in self._waiting:
            request.release()
        self._waiting.clear()
        if self._paused:
            self.transport.resumeProducing()
        self.output.close(read_on and not self._read_closed)
        self._lingering = True
        self._linger_end = self.factory.now + LINGER_SECONDS_MAX
        self._set_deadline(LINGER_SECONDS)

    def close_when_idle(self) -> None:
        """Close if nothing is under way, not even a message that has begun. Called when the server stops."""
        if self.current is not None:
            self.current.keep_alive = False
        elif not self._url and not self.closing:
            self._close()
