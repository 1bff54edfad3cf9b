"""One request and its response, for the server, the WSGI gateway and Twisted resources."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from twisted.internet.error import ConnectionLost
from twisted.logger import Logger

from skitai.errors import MisuseError
from skitai.http.requestids import is_sane, new_request_id
from skitai.http.statuses import BODYLESS
from skitai.server.request.pages import error_answer, error_page
from skitai.server.request.rendering import RenderedRequest
from skitai.server.request.stream import BodyStream

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol
    from twisted.python.failure import Failure

    from skitai.interfaces import IBodySink, IConnection
    from skitai.server.request.body import BodySpool
    from skitai.server.site import Place

_log = Logger()


class Request(RenderedRequest):
    """A request, from the end of its head on, and its response. All methods are called in the reactor thread.

    Any Twisted resource can answer it with ``write`` and ``finish``: it is a ``twisted.web.iweb.IRequest``.
    The WSGI gateway answers with ``respond``, or with ``start``, ``send`` and ``end``.
    """

    #: Whether the client expects ``100 Continue`` before it sends the body.
    expects_continue = False
    #: The length of the body: 0 for no body, None for a length that is known only at its end.
    body_length: int | None = 0
    #: The longest body that the server collects. A resource that streams it sets its own limit.
    body_max = 0
    #: The Upgrade field, or in HTTP/2 ``:protocol``, if the connection can change to another; else empty.
    upgrade = b""
    #: Whether the whole request was received.
    complete = False
    path = b""
    #: Where it was served; None for what no route leads to.
    place: Place | None = None
    #: What the environ has of the client's certificate, where the mount wants one.
    client_variables: Mapping[str, str] | None = None
    #: What a plugin keeps of it that traces requests.
    trace: Any = None
    #: The status code of the error page if the server itself refuses the request, else 0.
    refusal = 0
    #: Why, in words that the log shows; empty where the status says it all.
    refused_because = ""
    #: Whether the connection may carry another request after this one.
    keep_alive = False
    #: Whether the client is gone, or sends nothing more and may be.
    leaving = False
    #: Whether the client sends nothing more, and what is called then: a response that lasts may end with it.
    read_ended = False
    at_read_end: Callable[[], None] | None = None
    #: Whether the whole response was handed to the connection.
    written = False
    #: When the request could be answered, when its response began and when that was sent, in seconds of a
    #: monotonic clock; 0 if the factory has no observers.
    arrived = answered = ended = 0.0
    #: Bytes of the response, including its head, and those of the head.
    bytes_sent = head_bytes = 0
    #: By what the request is found in all logs; empty until somebody needs it.
    request_id = ""
    #: Whether the response must have no body, as for HEAD: what is sent of one is dropped.
    bodyless = False

    #: What collects the body, or passes it to a sink; at most one of them.
    spool: BodySpool | None = None
    stream: BodyStream | None = None
    #: Bytes of the response's body that are still to be sent; None if its length is unknown.
    _remaining: int | None = None
    _low_water: tuple[int, Callable[[], None]] | None = None

    def __init__(
        self,
        connection: IConnection,
        method: bytes,
        uri: bytes,
        version: str,
        headers: list[tuple[bytes, bytes]],
    ) -> None:
        # The base class's __init__ is not called: see LazyRequest.
        self.connection = connection
        self.method = method
        self.uri = uri
        self.version = version
        #: Names in lower case, in the order received.
        self.headers = headers
        # Each request is asked for these. What only the class has takes ten times as long to find.
        self.gone = False
        self.refusal = 0
        self.spool = self.stream = self._notifications = self.client_variables = None
        self.written = False
        self.body_length = self.bytes_sent = 0
        self.request_id = ""

    # -- receiving -----------------------------------------------------------------------------------------

    def identify(self, given: str | None) -> str:
        """Set and return the id of the request: that ``given`` by the client if it is sane, or a new one."""
        self.request_id = new_request_id() if given is None or not is_sane(given) else given
        return self.request_id

    def identified(self) -> str:
        """Return the id of the request, which has one from now on."""
        if self.request_id:
            return self.request_id
        given = self.field(b"x-request-id")
        return self.identify(None if given is None else given.decode("latin-1"))

    @property
    def body(self) -> BodySpool | BodyStream | None:
        """The object that takes the pieces of the body."""
        return self.stream or self.spool

    def received(self) -> None:
        """Note that the request is complete."""
        self.complete = True
        if self.stream is not None:
            self.stream.complete()

    def refuse(self, code: int, why: str = "") -> None:
        """Have the server answer with the error page for ``code`` and close the connection.

        ``why`` is a sentence for the log; no two requests have a reason of their own: see ``RefusalLog``.
        """
        self.refusal = code
        self.refused_because = why
        self.keep_alive = False
        if self.spool is not None:
            self.spool.drop()

    def collect_body(self) -> bool:
        """Have the body collected. Return False if it is longer than ``body_max``, as far as that is known.

        Called by the connection.
        """
        if self.spool is None:
            return True
        return (self.body_length or 0) <= self.body_max and self.spool.limit(self.body_max)

    def take_body(self) -> IO[bytes] | None:
        """Return the body as a file that the caller closes, or None if there is no body."""
        return None if self.spool is None or self.spool.taken else self.spool.open()

    def stream_body(self, sink: IBodySink, size_max: int | None = None) -> None:
        """Pass the body to ``sink`` as it arrives. A body longer than ``size_max`` is answered with 413.

        Called by a resource in ``at_head`` (see ``IHeadResource``), or later if that returned true. Raises
        MisuseError if it is already decided what happens with the body. The request may be answered at any
        time. If that is before the end of the body, the connection closes after the response.
        """
        if self.status_code or self.stream is not None or not self.connection.holds_body:
            raise MisuseError("a body can be streamed once, by a resource that was asked at the head")
        self.stream = BodyStream(self, sink, size_max)
        if self.spool is not None:
            with self.spool.open() as received:
                self.stream.append(received.read())
            self.spool.close()
            self.spool = None
        if self.complete:
            self.stream.complete()
        self.connection.stream_body()

    def take_over(
        self, protocol: IProtocol, status: str, headers: Sequence[tuple[str, str]] | None = ()
    ) -> None:
        """Answer with ``status``, and give the connection to ``protocol``; see ``IConnection.take_over``.

        Called by a resource in ``at_head`` (see ``IHeadResource``), or later if that returned true. A request
        with ``upgrade`` is answered with ``"101 Switching Protocols"`` and an Upgrade field, and the method
        CONNECT with a 2xx status. ``protocol`` gets the transport and the bytes that followed the head. The
        time-outs of HTTP end, but the connection still counts as one of the server's. Raises MisuseError if
        the connection cannot be taken over, and ValueError for a field that would break the framing.
        """
        if self.status_code or not (self.upgrade or self.method == b"CONNECT"):
            raise MisuseError("only an unanswered request with upgrade or CONNECT can be taken over")
        self.connection.take_over(self, protocol, status, headers)

    # -- answering: the gateway's way ----------------------------------------------------------------------

    def inform(self, status: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Send an interim response, such as ``"103 Early Hints"``, unless the response has begun.

        There may be several. A client of HTTP/1.0 gets none (RFC 9110, section 15.2). Raises ValueError for a
        field that would break the framing.
        """
        if self.version != "1.0" and not (self.status_code or self.gone or self.written):
            self.connection.inform(status, headers)

    def respond(self, status: str, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """Answer with the whole response at once."""
        self.start(status, headers, len(body))
        if self._remaining == len(body) and not (self.gone or self.written):
            self.connection.send(body)
            self.connection.end()
        else:  # too long or too short, not to be sent, or nobody takes it
            self.send(body)
            self.end()

    def start(self, status: str, headers: Sequence[tuple[str, str]], length: int | None = None) -> None:
        """Prepare the head, which is sent together with the first bytes of the body.

        ``length`` is the length of the body, if all of it is at hand. Raises ValueError for a field that
        would break the framing.
        """
        if self.written:  # the server has already refused it: the client broke off its body, for example
            return
        code = int(status[:3])
        self.bodyless = self.method == b"HEAD" or code in BODYLESS
        self._remaining = self.connection.start(self, status, headers, length)
        self.status_code = code

    def send(self, data: bytes) -> None:
        """Send a piece of the body. What exceeds the Content-Length is cut off."""
        if self.gone or self.written:
            return
        if self.bodyless:
            data = b""
        elif self._remaining is not None:
            if len(data) > self._remaining:
                _log.warn("{uri}: the body is longer than its Content-Length", uri=self.uri)
                data = data[: self._remaining]
                self.bodyless = True  # from here on
            self._remaining -= len(data)
        self.connection.send(data)

    def send_now(self, data: bytes) -> None:
        """Send a piece of the body without waiting for the end of the turn, unless it completes the body."""
        self.send(data)
        if self._remaining != 0:
            self.connection.flush()

    def end(self, trailers: Sequence[tuple[str, str]] = ()) -> None:
        """Complete the response; ``trailers`` follow a body whose length was not announced.

        The client must have said that it takes them (RFC 9110, section 6.5.1).
        """
        if self.gone or self.written:
            return
        if self._remaining and not self.bodyless:
            # Only a closed connection tells the client that the rest is missing.
            _log.warn("{uri}: the body is shorter than its Content-Length", uri=self.uri)
            self.keep_alive = False
        self.connection.end(trailers)

    def abort(self) -> None:
        """Abort the connection, so that the client sees that the response is incomplete."""
        if not self.gone:
            self.connection.abort()

    def fail(self, code: int, *headers: tuple[str, str], detail: str = "") -> None:
        """Answer with an error page. Abort the connection if another response has begun but not ended.

        ``detail`` is a sentence that says more than the usual one.
        """
        if self.written:
            return
        if self.status_code:
            self.abort()
            return
        self.identified()  # who gets an error page may ask what happened
        status, page = error_answer(code)
        if detail:
            page = error_page(code, detail).encode()
        self.respond(status, [("Content-Type", "text/html; charset=utf-8"), *headers], page)

    @property
    def waiting(self) -> int:
        """How many bytes of the response wait for the client."""
        return self.connection.waiting

    def when_below(self, level: int, call: Callable[[], None]) -> None:
        """Call ``call()`` once, as soon as fewer than ``level`` bytes wait or the client is gone."""
        if self.gone or self.waiting < level:
            call()
        else:
            self._low_water = (level, call)

    # -- called by the connection --------------------------------------------------------------------------

    def progressed(self) -> None:
        """Note that some of the waiting bytes were sent."""
        if self._low_water is not None:
            (level, call), self._low_water = self._low_water, None
            self.when_below(level, call)

    def read_lost(self) -> None:
        """Note that the client sends nothing more: it is gone, or waits for the end of the response."""
        self.read_ended = self.leaving = True
        if self.at_read_end is not None:
            self.at_read_end()

    def drained(self) -> None:
        """Note that everything written so far was sent."""
        if self.production is not None:
            self.production.resume()

    def completed(self) -> None:
        """Note that the whole response was sent."""
        if self.spool is not None or self.stream is not None:  # else there was no body
            self.release()
        for deferred in self._notifications or ():
            deferred.callback(None)

    def connectionLost(self, reason: Failure) -> None:
        """Note that the client is gone."""
        self.gone = self.leaving = self._disconnected = True
        if self.stream is not None:
            self.stream.fail(reason.value or ConnectionLost())
        production, self.production = self.production, None
        if production is not None:
            production.stop()
        self.progressed()
        self.release()
        for deferred in self._notifications or ():
            deferred.errback(reason)

    def release(self) -> None:
        """Free the body."""
        if self.spool is not None:
            self.spool.close()
            self.spool = None
        if self.stream is not None:
            self.stream.close()
        if self._content is not None:
            self._content.close()
            self._content = None


#: What most requests set besides what they are given.
_COMMON = (
    *("complete", "keep_alive", "authority", "path", "query", "arrived", "place", "bodyless", "_remaining"),
    *("status_code", "answered", "head_bytes", "ended", "expects_continue"),
)


def _lay_out() -> None:
    """Have Python learn which attributes requests have.

    CPython keeps the attributes of an instance in an array, whose places the class learns from its first
    instances; each new one leaves less room for names that come later. A server whose first requests came
    together would have a larger and slower dictionary for each request of its life: 0.6 us.
    """
    request: Any = Request(None, b"", b"", "", [])  # type: ignore[arg-type]  # what that sets comes first
    for name in _COMMON:
        setattr(request, name, None)


_lay_out()
