"""Reading replies: llhttp does the framing, this what llhttp leaves to its user (RFC 9112).

That is: replies to HEAD, interim replies before the final one, bodies that end with the connection, bytes
after the reply, and every limit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from skitai.services.http.decoding import BadReplyError, ReplyBody
from skitai.services.http.result import HTTPResult

if TYPE_CHECKING:
    from skitai.net.addresses import HTTPNode
    from skitai.services.http.sink import Delivery

#: Bytes of one reply's header fields, and of anything else that is not body, such as chunk extensions.
HEAD_MAX = 64 * 1024
# What a field costs beside its text, so that a flood of tiny ones meets the same limit (RFC 9113, 6.5.2).
_FIELD_COST = 32
#: Codes from 700 on are the client's own: none of them may come from outside.
_STATUS_MAX = 699

_FRAMING = frozenset(["content-length", "transfer-encoding", "content-encoding"])


class _Stop(Exception):  # noqa: N818 - it ends the parser's run, nothing is wrong
    """Raised in a callback: what follows in the buffer is not part of the reply."""


class ReplyReader:
    """Reads the replies of one connection, one after the other.

    Once a reply is complete, ``in_step`` says that the connection may be used again: the next byte on it
    will begin the next reply. ``ends_with_connection`` says that only its close completes the present reply.
    ``unfinished`` is its body where that is still to be unpacked. ``switched`` are the bytes of another
    protocol that came behind a 101; None where the protocol is HTTP.
    """

    __slots__ = (
        "_body", "_complete", "_deliver", "_fields", "_fields_size", "_head_only", "_may_switch", "_overhead",
        "_parser", "_reason", "_response_max", "_status", "_version", "ends_with_connection", "in_step",
        "switched", "unfinished",
    )  # fmt: skip

    def __init__(self, response_max: int) -> None:
        self._response_max = response_max
        self._parser: Any = HttpResponseParser(self)

    def expect(
        self, *, head_only: bool, deliver: Callable[[], Delivery] | None = None, may_switch: bool = False
    ) -> None:
        """Get ready for a reply; ``head_only``: one without a body, as to HEAD.

        ``deliver`` is called when there is a ``head``, and returns what takes the body. ``may_switch``: a
        reply 101 is an answer.
        """
        self._head_only = head_only
        self._deliver = deliver
        self._may_switch = may_switch
        self.switched: bytes | None = None
        self._complete = self.in_step = self.ends_with_connection = False
        self._fields: list[tuple[str, str]] = []
        self._fields_size = self._overhead = 0
        self._reason = ""
        self._body: ReplyBody | Delivery | None = None
        self.unfinished: ReplyBody | None = None

    def feed(self, data: bytes) -> bool:
        """Take bytes and return whether the reply is complete; raise ``BadReplyError`` for what is none."""
        self._overhead += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as error:
            self.switched = data[error.args[0] :]
            return True
        except HttpParserError as error:
            if not self._complete:
                raise _bad_reply(error) from error
            self.in_step = False
        else:
            if self._complete and self._head_only:
                # llhttp cannot be told that there is no body and waits for one: where the data ends with
                # the header, a new parser waits for the next reply instead.
                self.in_step = self.in_step and data.endswith(b"\r\n\r\n")
                self._parser = HttpResponseParser(self)
        if self.unfinished is not None:
            self._unpack(self.unfinished)
        if self._complete:
            return True
        if self._overhead > HEAD_MAX:
            raise BadReplyError(f"more than {HEAD_MAX} bytes that are no body")
        return False

    def result(self, node: HTTPNode) -> HTTPResult:
        """Return the complete reply, without ``data`` where its body is ``unfinished``.

        Raises ``BadReplyError`` where the coding says that the body is not complete.
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
        """Return the body that is unfinished, if one is, and let go of it."""
        body, self.unfinished = self.unfinished, None
        return body

    def close(self) -> None:
        """Let go of the parser, which holds this object's methods and so makes a cycle."""
        self._parser = None

    def _unpack(self, body: ReplyBody) -> None:
        body.step()
        if self._complete and not body.is_behind:
            self.unfinished = None

    # The parser's callbacks

    def on_message_begin(self) -> None:
        """Stop at a second reply: there was one request."""
        if self._complete:
            raise _Stop

    def on_status(self, reason: bytes) -> None:
        """Keep the words beside the status; they may come in pieces."""
        self._reason += reason.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header field; count a trailer, but do not keep it (RFC 9110, section 6.5.1)."""
        self._fields_size += len(name) + len(value) + _FIELD_COST
        if self._fields_size > HEAD_MAX:
            raise BadReplyError(f"more than {HEAD_MAX} bytes of headers")
        if self._body is None:
            self._fields.append((name.decode("latin-1"), value.strip().decode("latin-1")))

    def on_headers_complete(self) -> None:
        """Check what was promised and get ready for the body."""
        status = self._status = self._parser.get_status_code()
        if not 200 <= status <= _STATUS_MAX:
            # Interim replies leave nothing behind; 101 ends HTTP on this connection.
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
        """Note the end of the reply, or of an interim one, which leaves nothing (RFC 9110, section 15.2)."""
        if self._body is None:
            if self._status != 101:
                self._fields.clear()
                self._reason = ""
            return
        self._complete = True
        self._head_only = False  # The parser saw the end by itself and is in step.
        self.in_step = self._parser.should_keep_alive()

    def _begin_body(self) -> None:
        framing: dict[str, str] = {}
        for name, value in self._fields:
            if (key := name.lower()) in _FRAMING:
                framing[key] = f"{framing[key]}, {value}" if key in framing else value
        transfer_coding = framing.get("transfer-encoding", "chunked")
        if transfer_coding.lower() != "chunked":
            raise BadReplyError(f"Transfer-Encoding {transfer_coding!r} was not asked for")
        # Where there is no body at all, as with 204, llhttp completes the message at once.
        self.ends_with_connection = "content-length" not in framing and "transfer-encoding" not in framing
        if self._deliver is not None:
            self._body = self._deliver()
            return
        if not self._head_only and int(framing.get("content-length", 0)) > self._response_max:
            raise BadReplyError(f"the body is larger than {self._response_max} bytes")
        coding = framing.get("content-encoding")
        self._body = body = ReplyBody(self._response_max, coding)
        if coding is not None and body.is_coded:
            self.unfinished = body


def _bad_reply(error: Exception) -> BadReplyError:
    if not isinstance(error, HttpParserCallbackError):
        return BadReplyError(str(error))
    if isinstance(error.__context__, BadReplyError):
        return BadReplyError(str(error.__context__))
    raise error  # A defect of ours: Twisted logs it and drops the connection.
