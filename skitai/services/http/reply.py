"""Reading replies (RFC 9112): llhttp does the framing, and this module what llhttp leaves to its user.

That is: replies to HEAD, interim replies before the final one, bodies that end with the connection, bytes
after the reply, and all limits.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from skitai.http.fields import split_list, unquoted
from skitai.services.http.decoding import BadReplyError, ReplyBody
from skitai.services.http.oldheads import OldHead, has_old_form
from skitai.services.http.result import HTTPResult

if TYPE_CHECKING:
    from skitai.net.addresses import HTTPNode
    from skitai.services.http.sink import Delivery

#: Bytes of the header fields of a reply; and of whatever else is not body, such as chunk extensions.
HEAD_MAX = 64 * 1024
# What a field counts beside its text, so that the limit also stops many tiny ones (RFC 9113, section 6.5.2).
_FIELD_COST = 32
#: Codes from 700 on are the client's own: no server may send one.
_STATUS_MAX = 699

#: The fields that say how the body is read, and how long the connection lasts after it.
_FRAMING = frozenset(["content-length", "transfer-encoding", "content-encoding", "keep-alive"])
_PARTIAL_CONTENT = 206
_SECONDS = re.compile(r"[0-9]{1,9}")


class _Stop(Exception):  # noqa: N818 - it stops the parser, and is no error
    """Raised in a callback of the parser: what follows in the buffer is not part of the reply."""


class ReplyReader:
    """Reads the replies of one connection, one after the other.

    Once a reply is complete, ``in_step`` says whether the next byte will begin the next reply, so that the
    connection may be used again. ``ends_with_connection`` says that only the close of the connection
    completes the present reply. ``unfinished`` is its body if there is more to decode. ``switched`` are the
    bytes of another protocol that came after a 101; None while the protocol is HTTP. ``trailers`` are
    those of a reply that is delivered. ``lasting`` is how many seconds the server says it keeps the
    connection without a request; None if it does not say.
    """

    __slots__ = (
        "_begun", "_body", "_complete", "_deliver", "_fields", "_fields_size", "_head_only", "_interim",
        "_interims", "_interims_told", "_may_switch", "_old_head", "_overhead", "_parser", "_reason",
        "_response_max", "_status", "_version", "ends_with_connection", "in_step", "lasting", "switched",
        "trailers", "unfinished",
    )  # fmt: skip

    def __init__(self, response_max: int) -> None:
        self._response_max = response_max
        self._parser: Any = HttpResponseParser(self)

    def expect(
        self,
        *,
        head_only: bool,
        deliver: Callable[[], Delivery] | None = None,
        may_switch: bool = False,
        interim: Callable[[], object] | None = None,
    ) -> None:
        """Get ready for a reply.

        ``head_only``: it will have no body, as to HEAD. ``deliver`` is called when the ``head`` has come, and
        returns what takes the body. ``may_switch``: a reply 101 is allowed. ``interim`` is called when the
        ``head`` is that of an interim reply; if it is None, those are skipped.
        """
        self._head_only = head_only
        self._deliver = deliver
        self._may_switch = may_switch
        self._interim = interim
        self.switched: bytes | None = None
        self._complete = self.in_step = self.ends_with_connection = False
        self._fields: list[tuple[str, str]] = []
        self.trailers: list[tuple[str, str]] = []
        self._fields_size = self._overhead = 0
        self._reason = ""
        self._body: ReplyBody | Delivery | None = None
        self.unfinished: ReplyBody | None = None
        self.lasting: int | None = None
        #: The reads of a head that is not complete yet.
        self._begun: list[bytes] = []
        self._old_head: OldHead | None = None
        #: How many interim replies were read, and passed on: a head of an old form is read once more.
        self._interims = self._interims_told = 0

    def forget(self) -> None:
        """Let go of who waits for a reply, which may have broken off: they know this object."""
        self._deliver = self._interim = self._body = None

    def feed(self, data: bytes) -> bool:
        """Take bytes and return whether the reply is complete; raise ``BadReplyError`` if it is malformed."""
        self._overhead += len(data)
        if self._old_head is not None:
            data = self._old_head.add(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as error:
            self.switched = data[error.args[0] :]
            return True
        except HttpParserError as error:
            if not self._complete:
                if self._begins_anew(data, error):
                    return self.feed(b"")
                raise _bad_reply(error) from error
            self.in_step = False
        else:
            if self._complete and self._head_only:
                # llhttp waits for the body that the header announces, and cannot be told that none comes. So
                # a new parser takes the next reply. The data must end with the header: what follows is lost.
                self.in_step = self.in_step and data.endswith(b"\r\n\r\n")
                self._parser = HttpResponseParser(self)
        if self.unfinished is not None:
            self._unpack(self.unfinished)
        if self._complete:
            return True
        if self._overhead > HEAD_MAX:
            raise BadReplyError(f"more than {HEAD_MAX} bytes that are not body")
        if self._body is None and self._old_head is None:
            self._begun.append(data)
        return False

    def _begins_anew(self, data: bytes, error: HttpParserError) -> bool:
        """Return whether the head that ``data`` goes on with is now taken as one of an old form."""
        if self._body is not None or self._old_head is not None or isinstance(error, HttpParserCallbackError):
            return False
        received = b"".join((*self._begun, data))
        if not has_old_form(received):
            return False
        self._fields = []
        self._fields_size = self._interims = 0
        self._reason = ""
        self._parser = HttpResponseParser(self)
        self._old_head = OldHead(received)
        return True

    @property
    def has_head(self) -> bool:
        """Whether the head of the present reply has come."""
        return self._body is not None

    def result(self, node: HTTPNode) -> HTTPResult:
        """Return the complete reply; it has no ``data`` yet if its body is ``unfinished``.

        Raises ``BadReplyError`` if the coded data is incomplete.
        """
        result = self.head(node)
        body, self._body = self._body, None
        if self.unfinished is None:
            assert isinstance(body, ReplyBody)
            result.data = body.finish()
        return result

    def head(self, node: HTTPNode) -> HTTPResult:
        """Return the reply without its body."""
        return HTTPResult(
            version=self._version, headers=self._fields, code=self._status, msg=self._reason, node=node
        )

    def take_unfinished(self) -> ReplyBody | None:
        """Return the unfinished body, or None, and let go of it."""
        body, self.unfinished = self.unfinished, None
        return body

    def close(self) -> None:
        """Let go of the parser: it holds methods of this object, which makes a cycle."""
        self._parser = None

    def _unpack(self, body: ReplyBody) -> None:
        body.step()
        if self._complete and not body.is_behind:
            self.unfinished = None

    # The parser's callbacks

    def on_message_begin(self) -> None:
        """Stop at a second reply: only one was asked for."""
        if self._complete:
            raise _Stop

    def on_status(self, reason: bytes) -> None:
        """Keep the reason phrase, which may come in pieces."""
        self._reason += reason.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header field, or a trailer for who takes the body as it comes.

        Nobody else is told of trailers, so they can be no way around a check (RFC 9110, section 6.5.1).
        """
        self._fields_size += len(name) + len(value) + _FIELD_COST
        if self._fields_size > HEAD_MAX:
            raise BadReplyError(f"more than {HEAD_MAX} bytes of headers")
        fields = self._fields if self._body is None else self.trailers
        if self._body is None or self._deliver is not None:
            fields.append((name.decode("latin-1"), value.strip().decode("latin-1")))

    def on_headers_complete(self) -> None:
        """Check status and version, and get ready for the body."""
        status = self._status = self._parser.get_status_code()
        if not 200 <= status <= _STATUS_MAX:
            # Interim replies are passed on or skipped; 101 ends HTTP on this connection.
            if not 100 <= status < 200 or (status == 101 and not self._may_switch):
                raise BadReplyError(f"status {status}, which answers nothing that was asked")
            self._version = self._parser.get_http_version()
            return
        self._version = self._parser.get_http_version()
        if self._version not in ("1.1", "1.0"):
            raise BadReplyError(f"the version is HTTP/{self._version}")
        self._begin_body()
        if self._head_only:
            self._complete = True
            self.in_step = self._parser.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body."""
        if self._complete:
            raise _Stop
        if self._body is None:
            raise BadReplyError("an interim reply has a body")
        self._overhead = 0
        self._body.add(data)

    def on_message_complete(self) -> None:
        """Note the end of the reply, or of an interim one (RFC 9110, section 15.2)."""
        if self._body is None:
            if self._status != 101:
                self._interims += 1
                if self._interim is not None and self._interims > self._interims_told:
                    self._interims_told = self._interims
                    self._interim()
                self._fields = []
                self._reason = ""
            return
        self._complete = True
        self._head_only = False  # the parser found the end by itself, so it needs no replacement
        self.in_step = self._parser.should_keep_alive()

    def _begin_body(self) -> None:
        framing: dict[str, str] = {}
        for name, value in self._fields:
            if (key := name.lower()) in _FRAMING:
                framing[key] = f"{framing[key]}, {value}" if key in framing else value
        transfer_coding = framing.get("transfer-encoding", "chunked")
        if transfer_coding.lower() != "chunked":
            raise BadReplyError(f"Transfer-Encoding {transfer_coding!r} was not asked for")
        # A reply without a body, such as 204, is complete for llhttp at once, so this does not matter for it.
        self.ends_with_connection = "content-length" not in framing and "transfer-encoding" not in framing
        if "keep-alive" in framing:
            self.lasting = _timeout_of(framing["keep-alive"])
        if self._deliver is not None:
            self._body = self._deliver()
            return
        if not self._head_only and int(framing.get("content-length", 0)) > self._response_max:
            raise BadReplyError(f"the body is larger than {self._response_max} bytes")
        # A part of coded data cannot be decoded by itself (RFC 9110, section 15.3.7): it is left as it came.
        coding = None if self._status == _PARTIAL_CONTENT else framing.get("content-encoding")
        self._body = body = ReplyBody(self._response_max, coding)
        if coding is not None and body.is_coded:
            self.unfinished = body


def _timeout_of(value: str) -> int | None:
    """Return the ``timeout`` in a Keep-Alive field, in seconds; None if there is none.

    The field is that of RFC 2068, section 19.7.1.1, and of the draft "The Hypertext Transfer Protocol (HTTP)
    Keep-Alive Header", section 2: ``timeout=5, max=100``.
    """
    for member in split_list(value):
        name, equals, seconds = member.partition("=")
        seconds = unquoted(seconds.strip())
        if equals and name.strip().lower() == "timeout" and _SECONDS.fullmatch(seconds):
            return int(seconds)
    return None


def _bad_reply(error: Exception) -> BadReplyError:
    if not isinstance(error, HttpParserCallbackError):
        return BadReplyError(str(error))
    if isinstance(error.__context__, BadReplyError):
        return BadReplyError(str(error.__context__))
    raise error  # a bug in this class: Twisted logs it and drops the connection
