"""One request and its answer, as the server, a WSGI app's gateway and Twisted resources see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.logger import Logger, LogLevel
from twisted.web.http import datetimeToString

from skitai.errors import MisuseError
from skitai.server.request.compress import Compressor, negotiate
from skitai.server.request.lazy import LazyRequest
from skitai.server.request.pages import error_page
from skitai.server.request.producing import Production
from skitai.server.request.stream import BodyStream

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol
    from twisted.python.failure import Failure

    from skitai.interfaces import IBodySink, IConnection
    from skitai.server.request.body import BodySpool

_log = Logger()

#: Statuses whose answers have no body (RFC 9110, sections 15.3.5 and 15.4.5), as they begin a status line.
_BODYLESS = frozenset({"204", "304"})


class Request(LazyRequest):
    """A request whose head is there, and its answer. All methods are called in the reactor thread.

    It is a ``twisted.web.iweb.IRequest``, so that any Twisted resource can answer it with ``write`` and
    ``finish``; what only they need is made when they ask for it. The WSGI gateway answers with ``respond``,
    or ``start``, ``send`` and ``end``.
    """

    #: Whether the client expects ``100 Continue`` before it sends the body.
    expects_continue = False
    #: The length of the body: 0 where there is none, None where nobody knows it before its end.
    body_length: int | None = 0
    #: The longest body that the server collects for who answers.
    body_max = 0
    #: The protocols that the client would like to go on with (the Upgrade field), where it can be done.
    upgrade = b""
    #: Whether all of it was received.
    complete = False
    path = b""
    #: The status code with which the server itself refuses the request; 0 if it does not.
    refusal = 0
    #: Whether the connection may carry another request after this one.
    keep_alive = False
    #: Whether the client is gone.
    gone = False
    #: Whether the whole answer was handed to the connection.
    written = False
    #: When it was there for who answers, when its answer began and when that was sent, in seconds of a
    #: monotonic clock; 0 unless somebody observes requests.
    arrived = answered = ended = 0.0
    #: The status code of the answer; 0 before there is one.
    status_code = 0
    #: Bytes of the answer, head included.
    bytes_sent = 0
    #: Whether the answer has no body, as to HEAD: what is sent of one is dropped.
    bodyless = False

    #: What has come of the body: collected, or on its way to a sink.
    spool: BodySpool | None = None
    stream: BodyStream | None = None
    #: Bytes of the body that are still to be sent; None where nobody knows its length.
    _missing: int | None = None
    _compressor: Compressor | None = None
    _low_water: tuple[int, Callable[[], None]] | None = None
    #: The producer at work, if any.
    production: Production | None = None

    def __init__(
        self,
        connection: IConnection,
        method: bytes,
        uri: bytes,
        version: str,
        headers: list[tuple[bytes, bytes]],
    ) -> None:
        # Not calling the base class's __init__ is the point: it makes a dozen objects that a WSGI app never
        # looks at. The properties below make them on demand.
        self.connection = connection
        self.method = method
        self.uri = uri
        self.version = version
        #: Names in lower case, in the order received.
        self.headers = headers

    # -- receiving -----------------------------------------------------------------------------------------

    @property
    def body(self) -> BodySpool | BodyStream | None:
        """What takes the pieces of the body that come."""
        return self.stream or self.spool

    def received(self) -> None:
        """Note that the request is complete."""
        self.complete = True
        if self.stream is not None:
            self.stream.complete()

    def refuse(self, code: int) -> None:
        """Note that the request will be answered with an error page and the connection closed."""
        self.refusal = code
        self.keep_alive = False
        if self.spool is not None:
            self.spool.drop()

    def take_body(self) -> IO[bytes] | None:
        """Return the body as a file that the caller closes; None where there is none."""
        return None if self.spool is None or self.spool.taken else self.spool.open()

    def stream_body(self, sink: IBodySink, size_max: int | None = None) -> None:
        """Have the body go to ``sink`` as it comes, at most ``size_max`` bytes of it: more is answered 413.

        For a resource that was asked at the head (see ``IHeadResource``). Raises MisuseError where the body
        was dealt with otherwise. The sink may answer at any time; if it does so before the end of the body,
        the connection ends with the answer.
        """
        if self.status_code or self.stream is not None or not self.connection.holds_body:
            raise MisuseError("a body can be streamed only by who was asked at the head, and once")
        self.stream = BodyStream(self, sink, size_max)
        if self.spool is not None:
            with self.spool.open() as begun:
                self.stream.append(begun.read())
            self.spool.close()
            self.spool = None
        if self.complete:
            self.stream.complete()
        self.connection.stream_body()

    def take_over(self, protocol: IProtocol, status: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Answer with ``status`` and go on as ``protocol``, with the bytes that came behind the head.

        For a resource that was asked at the head (see ``IHeadResource``) about a request with ``upgrade``
        (answered ``"101 Switching Protocols"`` with an Upgrade field) or the method CONNECT (answered with a
        2xx status). ``protocol`` gets the transport, without the time-outs of HTTP; the connection still
        counts. Raises MisuseError where there is nothing to take over, and ValueError for a field that would
        break the framing.
        """
        if self.status_code or not (self.upgrade or self.method == b"CONNECT"):
            raise MisuseError("only an upgrade or CONNECT that was not answered can be taken over")
        self.connection.take_over(self, protocol, status, headers)

    # -- answering: the gateway's way ----------------------------------------------------------------------

    def respond(self, status: str, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """Answer with the whole response at once."""
        self.start(status, headers, len(body))
        self.send(body)
        self.end()

    def start(self, status: str, headers: Sequence[tuple[str, str]], length: int | None = None) -> None:
        """Prepare the head; it leaves together with the first bytes of the body.

        ``length`` is the length of the body where all of it is at hand. Raises ValueError for a field that
        would break the framing.
        """
        if self.written:  # the server has answered it meanwhile, for a mistake of the client
            return
        self.bodyless = self.method == b"HEAD" or status[:3] in _BODYLESS
        self._missing = self.connection.start(self, status, headers, length)
        self.status_code = int(status[:3])

    def send(self, data: bytes) -> None:
        """Send a part of the body; more than the Content-Length that was announced is cut off."""
        if self.gone or self.written:
            return
        if self.bodyless:
            data = b""
        elif self._missing is not None:
            if len(data) > self._missing:
                _log.warn("{uri}: the body is longer than its Content-Length", uri=self.uri)
                data = data[: self._missing]
                self.bodyless = True  # from here on
            self._missing -= len(data)
        self.connection.send(data)

    def send_now(self, data: bytes) -> None:
        """Send a part of the body without waiting for the end of the turn, unless it completes the body."""
        self.send(data)
        if self._missing != 0:
            self.connection.flush()

    def end(self) -> None:
        """Complete the response."""
        if self.gone or self.written:
            return
        if self._missing and not self.bodyless:
            # Only a closed connection tells the client that the rest will not come.
            _log.warn("{uri}: the body is shorter than its Content-Length", uri=self.uri)
            self.keep_alive = False
        self.connection.end()

    def abort(self) -> None:
        """Cut the connection, so that the client sees that the response is incomplete."""
        if not self.gone:
            self.connection.abort()

    def fail(self, code: int, *headers: tuple[str, str]) -> None:
        """Answer with an error page, or cut the connection if another answer has begun but not ended."""
        if self.written:
            return
        if self.status_code:
            self.abort()
            return
        status = f"{code} {HTTPStatus(code).phrase}"
        page = error_page(code).encode()
        self.respond(status, [("Content-Type", "text/html; charset=utf-8"), *headers], page)

    @property
    def waiting(self) -> int:
        """How many bytes of the answer wait for the client."""
        return self.connection.waiting

    def when_below(self, level: int, call: Callable[[], None]) -> None:
        """Have ``call()`` called once when less than ``level`` bytes wait, or when the client is gone."""
        if self.gone or self.waiting < level:
            call()
        else:
            self._low_water = (level, call)

    # -- what the channel tells ----------------------------------------------------------------------------

    def progressed(self) -> None:
        """A piece of what waited was sent."""
        if self._low_water is not None:
            (level, call), self._low_water = self._low_water, None
            self.when_below(level, call)

    def drained(self) -> None:
        """Everything written so far was sent."""
        if self.production is not None:
            self.production.resume()

    def completed(self) -> None:
        """The whole answer was sent; the connection goes on without this request."""
        for deferred in self._over():
            deferred.callback(None)

    def connectionLost(self, reason: Failure) -> None:
        """The client is gone."""
        self.gone = self._disconnected = True
        if self.stream is not None:
            self.stream.fail(reason.value or ConnectionLost())
        production, self.production = self.production, None
        if production is not None:
            production.stop()
        self.progressed()
        for deferred in self._over():
            deferred.errback(reason)

    def _over(self) -> Sequence[Deferred[None]]:
        self.release()
        return self._notifications or ()

    def release(self) -> None:
        """Let go of the body."""
        if self.spool is not None:
            self.spool.close()
            self.spool = None
        if self.stream is not None:
            self.stream.close()
        if self._content is not None:
            self._content.close()
            self._content = None

    # -- twisted.web.iweb.IRequest -------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send a part of the body; the first one fixes status and header fields."""
        if self.finished:
            raise RuntimeError("Request.write called on a request after Request.finish was called.")
        if self.gone:
            return
        if not self.status_code:
            self._start_from_headers()
        if self._compressor is not None:
            data = self._compressor.compress(data)
        if data:
            self.send(data)
            if self.production is not None:
                self.production.hold_back()

    def finish(self) -> None:
        """Complete the response."""
        if self.finished:
            raise RuntimeError("Request.finish called twice.")
        if self.gone:
            raise RuntimeError("Request.finish called on a request after its connection was lost.")
        if not self.status_code:
            if self.method != b"HEAD" and not self.responseHeaders.hasHeader(b"content-length"):
                self.responseHeaders.setRawHeaders(b"content-length", [b"0"])
            self._start_from_headers()
        if self._compressor is not None:
            self.send(self._compressor.flush())
        self.finished = True
        self.production = None
        self.end()

    def _start_from_headers(self) -> None:
        fields = self.responseHeaders
        if self.lastModified is not None and not fields.hasHeader(b"last-modified"):
            fields.setRawHeaders(b"last-modified", [datetimeToString(self.lastModified)])  # type: ignore[no-untyped-call]
        if self.etag is not None:
            fields.setRawHeaders(b"etag", [self.etag])
        for cookie in self.cookies:
            fields.addRawHeader(b"set-cookie", cookie)
        wants_type = self.code not in (204, 304) and fields.getRawHeaders(b"content-length") != [b"0"]
        if wants_type and self.defaultContentType is not None and not fields.hasHeader(b"content-type"):
            fields.setRawHeaders(b"content-type", [self.defaultContentType])
        pairs = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, values in fields.getAllRawHeaders()
            for value in values
        ]
        self._compressor, pairs = negotiate(self, self.code, pairs, None)
        self.startedWriting = 1
        try:
            self.start(f"{self.code} {self.code_message.decode('latin-1')}", pairs)
        except ValueError as error:
            # Raised here it would be lost in a resource's Deferred, and the client left waiting.
            _log.error("{uri}: {error}", uri=self.uri, error=error)
            self.fail(500)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Have ``producer`` make the body, as fast as the client takes it."""
        if self.production is not None:
            raise ValueError("there is a producer already")
        if self.gone:
            producer.stopProducing()
            return
        self.production = Production(self, producer, streaming)
        if streaming:
            self.production.hold_back()
        else:
            self.production.resume()

    def unregisterProducer(self) -> None:
        """Let go of the producer: it is done."""
        self.production = None

    def processingFailed(self, reason: Failure) -> None:
        """Log what a resource raised and answer 500."""
        _log.failure("{uri}: the resource failed", failure=reason, uri=self.uri, level=LogLevel.error)
        self.fail(500)

    def notifyFinish(self) -> Deferred[None]:
        """Return a Deferred that fires when the answer was sent and fails when the client went away."""
        deferred: Deferred[None] = Deferred()
        self.notifications.append(deferred)
        return deferred

    def loseConnection(self) -> None:
        """Cut the connection."""
        self.abort()

    def isSecure(self) -> bool:
        """Whether the request came over TLS."""
        return bool(self._forceSSL) or self.connection.secure
