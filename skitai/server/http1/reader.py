"""The receiving half of an HTTP/1.1 connection: bytes in, requests out.

llhttp does the parsing, in its strict mode. The limits, and further checks, are applied here. llhttp knows
some forty methods; a request with another token in that place is parsed as a POST, whose framing is the same.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from contextlib import suppress
from typing import TYPE_CHECKING

from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from skitai.server.http1.head import HeadError, examine, framing_head
from skitai.server.request import noroom
from skitai.server.request.body import BodySpool
from skitai.server.request.request import Request

if TYPE_CHECKING:
    from skitai.interfaces import IConnection
    from skitai.server.http1.limits import ServerLimits
    from skitai.server.request.storage import Storage

_UNDERSCORE = ord("_")
#: Bytes of a method: the longest that is registered has 17 (IANA, "HTTP Method Registry").
METHOD_MAX = 64
#: How a client begins that takes the port for one of HTTPS (RFC 8446, section 5.1), and what is said of it.
_TLS_HANDSHAKE = b"\x16\x03"
_TLS_HERE = "it is TLS, and this port has none: an address with https:// that should have http://"
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Bytes of framing that each chunk of a body may have: its size, line ends and a short extension.
CHUNK_OVERHEAD = 64


class RequestReader:
    """Parses the input of one connection. All methods are called in the reactor thread.

    No app or resource is called while llhttp parses. Requests wait in ``requests``, and pieces of a body wait
    with their request, until ``feed`` has returned.
    """

    # Slots, because there may be ten thousand idle connections.
    __slots__ = (
        "_begun",
        "_chunks",
        "_completed",
        "_connection",
        "_counts_from_next_read",
        "_fed",
        "_head",
        "_headers",
        "_held",
        "_is_clean",
        "_limits",
        "_method",
        "_parser",
        "_storage",
        "incoming",
        "partial_url",
        "requests",
        "stopped",
        "unread",
    )

    def __init__(self, connection: IConnection, limits: ServerLimits, storage: Storage) -> None:
        #: The requests that wait for their turn, from the end of their head on, the oldest first.
        self.requests: list[Request] = []
        #: Whether reading has stopped after a request that asks for another protocol.
        self.stopped = False
        #: What has arrived after that request.
        self.unread = b""
        self._connection = connection
        self._limits = limits
        self._storage = storage
        self._parser: HttpRequestParser | None = HttpRequestParser(self)
        self._counts_from_next_read = False
        #: Bytes of a method that llhttp does not know and that has not ended.
        self._held = b""
        #: Of the present read: how many requests have ended in it, and whether it began with a new one.
        self._completed = 0
        self._is_clean = True
        self._new_message()

    def _new_message(self) -> None:
        #: The target of a request that has not arrived completely, as far as it has; empty if there is none.
        self.partial_url = b""
        #: Whether a byte of the message has come.
        self._begun = False
        #: Its method, if llhttp does not know that.
        self._method = b""
        #: All bytes before its URL, as far as it began with a read; None if it began within one.
        self._head: bytes | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        #: The request whose head has arrived, but not the end of its body.
        self.incoming: Request | None = None
        self._fed = self._chunks = 0

    @property
    def ended(self) -> bool:
        """Whether no further requests are read."""
        return self._parser is None

    def feed(self, data: bytes) -> bool:
        """Parse ``data``. Return whether it began a head that is not complete."""
        if self.stopped:
            self.unread += data
            return False
        if self._parser is None:
            return False
        self._counts_from_next_read = False
        if self._held:
            data, self._held = self._held + data, b""
        self._completed = 0
        self._is_clean = not self._begun
        if self._is_clean:
            self._head = b""
        return self._parse(data)

    def _parse(self, data: bytes) -> bool:
        failure: HttpParserError | None = None
        parser = self._parser
        assert parser is not None
        try:
            parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._stop(data[upgrade.args[0] :])
            return False
        except HttpParserError as error:
            failure = error
        # Here, because what is raised in a handler has the first error as its context.
        if failure is not None:
            return self._handle_error(failure, data)
        if self.partial_url:
            self._head = None
            return self._check_partial(len(data))
        if self._head is not None and self._begun:
            self._head += data
        return False

    def _check_partial(self, size: int) -> bool:
        """Check the size of a request that is not complete after another ``size`` bytes.

        Return whether its head has begun with them, and is not complete.
        """
        is_first = self._fed == 0
        # A read that also held the end of another request, or of this one's head, is not counted.
        self._fed += 1 if self._counts_from_next_read else size
        if self.incoming is None:
            if self._fed <= self._limits.header_max:
                return is_first
            self.refuse(431)
            return False
        # llhttp skips chunk extensions and trailers of any length without telling.
        body = self.incoming.body
        received = 0 if body is None else body.received
        if self._fed - received - self._chunks * CHUNK_OVERHEAD > self._limits.header_max:
            self.refuse(400, "its chunks have too much beside their data")
        return False

    def refuse(self, code: int, why: str = "") -> None:
        """Read no more. Refuse the partial request when its turn comes: see ``Request.refuse``."""
        request = self.incoming
        queued = request is not None and request.body is not None
        if request is None:
            method, url = self._asked()
            request = Request(self._connection, method, url, "1.1", [])
        request.refuse(code, why)
        self.close()
        if not queued:
            self.requests.append(request)

    def _asked(self) -> tuple[bytes, bytes]:
        """Return the method and the target of the partial request for the log, as far as they are known."""
        if self.partial_url:
            assert self._parser is not None
            return self._method or self._parser.get_method(), self.partial_url
        words = (self._head or b"").lstrip(b"\r\n").partition(b"\n")[0][: self._limits.uri_max].split(None, 2)
        return (words[0] if words else b""), (words[1] if len(words) > 1 else b"")

    def close(self) -> None:
        """Read no more."""
        self._parser = None
        self._held = b""
        self.stopped = False
        self.unread = b""
        if self._begun:
            self._new_message()

    def forget(self) -> None:
        """Close: the connection, which knows this object, is gone."""
        if self._parser is not None:
            self.close()
        del self._connection

    # -- requests for another protocol ---------------------------------------------------------------------

    def _stop(self, unread: bytes) -> None:
        """Stop reading until it is known whether the last request changes the protocol."""
        self.stopped = True
        self.unread = unread
        request = self.requests[-1]
        if request.method == b"CONNECT":  # data for a tunnel must not be taken for requests
            request.keep_alive = False
        # HTTP/1.0 has no upgrades (RFC 9110, section 7.8), and a body would have to be read first.
        if request.version == "1.1" and request.complete:
            request.upgrade = request.field(b"upgrade") or b""

    def go_on(self) -> None:
        """Continue in HTTP/1.1 after a request that asked for another protocol (RFC 9110, section 7.8).

        llhttp assumes that such a request has no body. If it has one, a new parser first gets a head that
        frames the body and asks for no other protocol; otherwise it would take the body for a request.
        """
        data, self.unread, self.stopped = self.unread, b"", False
        if self._parser is None:
            return
        self._parser = HttpRequestParser(self)
        if self.incoming is not None:
            self.partial_url = b""
            self._parser.feed_data(framing_head(self.incoming))
        if data:
            self.feed(data)

    # -- llhttp's callbacks --------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Note that a message has begun."""
        self._begun = True

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request target."""
        self.partial_url += url
        if len(self.partial_url) > self._limits.uri_max:
            raise HeadError(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field.

        Trailers, which follow a chunked body, are dropped. So are names with an underscore: in an environ,
        ``X_User`` would pass for the ``X-User`` that a proxy in front of the server has checked.
        """
        if self.incoming is None and _UNDERSCORE not in name:
            self._headers.append((name.lower(), value.rstrip()))

    def on_headers_complete(self) -> None:
        """Queue a request with a body: it is judged before its body is read."""
        if self.incoming is not None:
            return  # a repeated head: see go_on()
        parser = self._parser
        assert parser is not None
        method, version = self._method or parser.get_method(), parser.get_http_version()
        request = Request(self._connection, method, self.partial_url, version, self._headers)
        self.incoming = request
        examine(request, self._limits)
        if request.body_length != 0:
            request.keep_alive = parser.should_keep_alive()
            request.spool = BodySpool(self._storage)
            self.requests.append(request)
            self._fed, self._counts_from_next_read = 0, True

    def on_chunk_header(self) -> None:
        """Count the chunks, each of which may have some framing."""
        self._chunks += 1

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        request = self.incoming
        assert request is not None
        assert request.body is not None
        if not request.body.append(data):
            raise HeadError(413)

    def on_message_complete(self) -> None:
        """Note that the request is complete, and queue it unless it has a body and is queued already."""
        request, parser = self.incoming, self._parser
        assert request is not None
        assert parser is not None
        if request.body_length == 0:
            request.complete = True
            request.keep_alive = parser.should_keep_alive()
            self.requests.append(request)
        elif parser.should_upgrade():
            return  # its body is still to be read: see go_on()
        else:
            if request.spool is not None:
                request.spool.finish()
            request.received()
        self._new_message()
        self._counts_from_next_read = True
        self._completed += 1
        if not request.keep_alive:
            self._parser = None

    # -- errors --------------------------------------------------------------------------------------------

    def _handle_error(self, error: HttpParserError, data: bytes) -> bool:
        """Refuse the request, or go on if only its method is unknown to llhttp. Return what ``feed`` does."""
        if self._parser is None:
            return False  # input after a request with "Connection: close"
        cause = error.__context__
        if self.incoming is None and cause is None and not self._headers and not self._method:
            if self._head is not None:
                self._head += data
            elif self._is_clean:
                self._head = data[_end_of(data, self._completed) :]
            if self._head is not None and _is_about_the_method(error):
                return self._parse_as_post(self._head)
        if isinstance(cause, HeadError):
            self.refuse(cause.code, cause.why)
        elif isinstance(cause, OSError):
            self.refuse(503, f"its body cannot be kept: {noroom.why(cause)}")
        elif cause is not None:
            raise cause
        else:
            self.refuse(501 if isinstance(error, HttpParserInvalidMethodError) else 400, str(error))
        return False

    def _parse_as_post(self, head: bytes) -> bool:
        """Parse a request whose method llhttp does not know, from its first byte on."""
        line = head.lstrip(b"\r\n")
        method, space, rest = line.partition(b" ")
        if not _TOKEN.fullmatch(method) or len(method) > METHOD_MAX:
            is_tls = head.startswith(_TLS_HANDSHAKE)
            self.refuse(501, _TLS_HERE if is_tls else "its method is none")  # RFC 9112, section 3
            return False
        self._parser = HttpRequestParser(self)
        self.partial_url = b""
        if not space:
            self._held, self._begun = line, False
            return False
        self._method = method
        return self._parse(b"POST " + rest)


class _Counter:
    """Counts the requests that a parser finds."""

    def __init__(self) -> None:
        self.count = 0

    def on_message_complete(self) -> None:
        self.count += 1


def _end_of(data: bytes, count: int) -> int:
    """Return where the first ``count`` requests of ``data`` end: llhttp does not tell where it stopped."""
    return bisect_left(range(len(data)), count, key=lambda size: _requests_in(data[:size]))


def _requests_in(data: bytes) -> int:
    counter = _Counter()
    with suppress(HttpParserError, HttpParserUpgrade):
        HttpRequestParser(counter).feed_data(data)
    return counter.count


def _is_about_the_method(error: HttpParserError) -> bool:
    # Those of RTSP are refused when the version is read.
    return isinstance(error, HttpParserInvalidMethodError) or "nvalid method" in str(error)
