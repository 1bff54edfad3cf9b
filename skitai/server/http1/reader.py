"""The receiving half of an HTTP/1.1 connection: bytes in, requests out.

llhttp does the parsing, strictly. What it leaves to its user is done here: limits, and what cannot be served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserUpgrade,
    HttpRequestParser,
)
from twisted.logger import Logger

from skitai.server.http1.head import HeadError, examine, framing_head
from skitai.server.request.body import BodySpool
from skitai.server.request.request import Request

if TYPE_CHECKING:
    from skitai.interfaces import IConnection
    from skitai.server.http1.limits import ServerLimits
    from skitai.server.request.storage import Storage

_log = Logger()

_UNDERSCORE = ord("_")
#: Framing allowed for each chunk of a chunked body: size, line ends, a little extension.
CHUNK_OVERHEAD = 64


class RequestReader:
    """Parses what one client sends. All methods are called in the reactor thread.

    Nothing that is called while llhttp parses runs foreign code: requests wait in ``requests``, and pieces
    of a body with the request, until ``feed`` is done.
    """

    # Slots: ten thousand of these may be idle.
    __slots__ = (
        "_chunks",
        "_connection",
        "_counts_from_next_read",
        "_fed",
        "_headers",
        "_limits",
        "_parser",
        "_storage",
        "_url",
        "incoming",
        "requests",
        "stopped",
        "unread",
    )

    def __init__(self, connection: IConnection, limits: ServerLimits, storage: Storage) -> None:
        #: Requests whose head is there and that wait for their turn, the oldest first.
        self.requests: list[Request] = []
        #: Whether reading stopped behind a request that asks for another protocol, and what came after it.
        self.stopped = False
        self.unread = b""
        self._connection = connection
        self._limits = limits
        self._storage = storage
        self._parser: HttpRequestParser | None = HttpRequestParser(self)
        self._counts_from_next_read = False
        self._new_message()

    def _new_message(self) -> None:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        #: The request whose head is there, but not the end of its body.
        self.incoming: Request | None = None
        self._fed = self._chunks = 0

    @property
    def ended(self) -> bool:
        """Whether no more requests are read."""
        return self._parser is None

    @property
    def begun(self) -> bool:
        """Whether a request has begun that is not there as a whole."""
        return self._url != b""

    def feed(self, data: bytes) -> bool:
        """Parse ``data``; return whether a request began with it of which not even the head is there."""
        if self.stopped:
            self.unread += data
            return False
        parser = self._parser
        if parser is None:
            return False
        self._counts_from_next_read = False
        try:
            parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._stop(data[upgrade.args[0] :])
        except HttpParserError as error:
            self._failed(error)
        else:
            if self._url:
                return self._goes_on(len(data))
        return False

    def _goes_on(self, size: int) -> bool:
        """Watch over a message that did not end with the bytes just read."""
        begins = self._fed == 0
        # A read that also held the end of another message, or of the head, is not counted against this one.
        self._fed += 1 if self._counts_from_next_read else size
        if self.incoming is None:
            if self._fed <= self._limits.header_max:
                return begins
            self.refuse(431)
            return False
        # llhttp passes over chunk extensions and trailers of any length without a word.
        body = self.incoming.body
        received = 0 if body is None else body.received
        if self._fed - received - self._chunks * CHUNK_OVERHEAD > self._limits.header_max:
            self.refuse(400)
        return False

    def refuse(self, code: int) -> None:
        """Read no more, and have the request that has begun refused with ``code``, in its turn."""
        request = self.incoming
        queued = request is not None and request.body is not None
        if request is None:
            request = Request(self._connection, b"", self._url, "1.1", [])
        request.refuse(code)
        self.close()
        if not queued:
            self.requests.append(request)

    def close(self) -> None:
        """Read no more."""
        self._parser = None
        self.stopped = False
        self.unread = b""
        self._new_message()

    # -- requests for another protocol ---------------------------------------------------------------------

    def _stop(self, unread: bytes) -> None:
        """Wait until it is known what becomes of the last request, and of what comes behind it."""
        self.stopped = True
        self.unread = unread
        request = self.requests[-1]
        if request.method == b"CONNECT":  # what was meant for a tunnel must not be taken for requests
            request.keep_alive = False
        # A client of HTTP/1.0 cannot ask for that (RFC 9110, section 7.8), and a body must be read first.
        if request.version == "1.1" and request.complete:
            request.upgrade = request.field(b"upgrade") or b""

    def go_on(self) -> None:
        """Go on in HTTP/1.1 after a request that asked for another protocol (RFC 9110, section 7.8).

        llhttp takes it that such a request has no body. Where it has one, which must not be taken for the
        next request, a new parser begins with a head that frames it and asks for nothing.
        """
        data, self.unread, self.stopped = self.unread, b"", False
        if self._parser is None:
            return
        self._parser = HttpRequestParser(self)
        if self.incoming is not None:
            self._url = b""
            self._parser.feed_data(framing_head(self.incoming))
        if data:
            self.feed(data)

    # -- llhttp's callbacks --------------------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request target."""
        self._url += url
        if len(self._url) > self._limits.uri_max:
            raise HeadError(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field.

        Dropped are those that follow a chunked body (trailers), and names with an underscore: an app could
        not tell ``X_User`` from the ``X-User`` that a proxy in front of us has checked.
        """
        if self.incoming is None and _UNDERSCORE not in name:
            self._headers.append((name.lower(), value.rstrip()))

    def on_headers_complete(self) -> None:
        """Queue a request with a body now: it is judged before its body is read."""
        if self.incoming is not None:
            return  # the parser was told of its head again: see go_on()
        parser = self._parser
        assert parser is not None
        request = Request(
            self._connection, parser.get_method(), self._url, parser.get_http_version(), self._headers
        )
        self.incoming = request
        examine(request, self._limits)
        if request.body_length != 0:
            request.keep_alive = parser.should_keep_alive()
            request.spool = BodySpool(self._storage)
            self.requests.append(request)
            self._fed, self._counts_from_next_read = 0, True

    def on_chunk_header(self) -> None:
        """Count the chunks: each is allowed some framing."""
        self._chunks += 1

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        request = self.incoming
        assert request is not None
        assert request.body is not None
        if not request.body.append(data):
            raise HeadError(413)

    def on_message_complete(self) -> None:
        """Note that the request is complete; queue it unless it has a body."""
        request, parser = self.incoming, self._parser
        assert request is not None
        assert parser is not None
        if request.body_length == 0:
            request.complete = True
            request.keep_alive = parser.should_keep_alive()
            self.requests.append(request)
        elif parser.should_upgrade():
            return  # its body is still to come: see go_on()
        else:
            if request.spool is not None:
                request.spool.finish()
            request.received()
        self._new_message()
        self._counts_from_next_read = True
        if not request.keep_alive:
            self._parser = None

    # -- what is refused -----------------------------------------------------------------------------------

    def _failed(self, error: HttpParserError) -> None:
        if self._parser is None:
            return  # bytes after a request that said "Connection: close"
        cause = error.__context__
        if isinstance(cause, HeadError):
            self.refuse(cause.code)
        elif isinstance(cause, OSError):
            _log.error("cannot buffer the body of a request: {error}", error=cause)
            self.refuse(503)
        elif cause is not None:
            raise cause
        else:
            self.refuse(501 if isinstance(error, HttpParserInvalidMethodError) else 400)
