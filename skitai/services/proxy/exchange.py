"""One request of a client on its way to a member, and the reply on its way back."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from zope.interface import implementer

from skitai.errors import CODE_BAD_REPLY, OperationError, UnsentError
from skitai.services.http.filesource import BodyError
from skitai.services.http.sink import IReplySink
from skitai.services.proxy.failures import CODE_NOBODY, NOT_THE_MEMBERS, keys_of, page_detail, status_of
from skitai.services.proxy.fields import reply_fields, trailer_fields
from skitai.services.proxy.rewriting import Rewriting
from skitai.services.proxy.tunnel import Tunnel

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IProtocol
    from twisted.python.failure import Failure

    from skitai.calls.cluster import Member
    from skitai.services.http.result import HTTPResult
    from skitai.services.proxy.message import Message
    from skitai.services.proxy.seam import Copy, Follower
    from skitai.services.proxy.way import Way

_log = Logger()
_RETRY = ("Retry-After", "1")
#: Fields that the server itself sends with a 101.
_OF_SERVER = frozenset(("date", "server", "content-length"))


@implementer(IReplySink, IPushProducer)
class Exchange:
    """Asks members for the reply to ``request`` until one answers, and passes it on as it comes.

    Another member is asked if nothing of a reply has come, and either the request is idempotent or nothing of
    it was sent. A reply that breaks off cuts the client's connection. It is the sink of the reply, and the
    producer of the response, from which it learns that the client is gone. All of it is called in the reactor
    thread.
    """

    __slots__ = (
        "_again", "_asked", "_asking", "_began", "_body", "_copy", "_follower", "_last", "_member",
        "_message", "_over", "_probe", "_producer", "_reply", "_request", "_tried", "_waiting_max", "_way",
    )  # fmt: skip

    def __init__(
        self,
        way: Way,
        request: Any,
        message: Message,
        body: Any = None,
        follower: Follower | None = None,
    ) -> None:
        self._way = way
        self._request = request
        self._message = message
        #: The file that the body of the request is in, closed at the end.
        self._body = body
        #: What the cache has go with the request.
        self._follower = follower
        self._tried: tuple[Member, ...] = ()
        self._member: Member | None = None
        self._asked: Deferred[HTTPResult] | None = None
        #: Why the last member has not answered.
        self._last: BaseException | None = None
        self._producer: IPushProducer | None = None
        self._copy: Copy | None = None
        self._reply: HTTPResult | None = None
        self._waiting_max = way.waiting_max
        self._again = self._asking = self._over = self._probe = False
        self._began = 0.0
        message.sink = self
        message.interim = self.inform

    def start(self) -> None:
        """Ask the first member."""
        self._way.counts.requests += 1
        self._way.counts.under_way += 1
        self._request.registerProducer(self, True)
        self._ask()

    def _ask(self) -> None:
        # A loop, not a recursion: many members may fail at once, one after the other.
        self._asking = True
        self._again = True
        while self._again:
            self._again = False
            self._ask_member()
        self._asking = False

    def _ask_member(self) -> None:
        way = self._way
        member = way.cluster.pick(self._tried)
        if member is None:
            self._fail(self._last or _no_members(way.cluster.name))
            return
        self._tried = (*self._tried, member)
        self._member = member
        self._probe = way.cluster.begin(member)
        self._began = way.seconds()
        node: Any = member.node
        self._asked = way.pool.ask(node, self._message)
        self._asked.addCallbacks(self._answered, self._failed)

    # -- the reply: IReplySink -----------------------------------------------------------------------------

    def inform(self, reply: HTTPResult) -> None:
        """Pass on an interim reply, such as 103; but 100 is for the proxy, which has the body sent itself."""
        if reply.code != HTTPStatus.CONTINUE:
            fields, _ = reply_fields(reply.headers, reply.code)
            self._request.inform(f"{reply.code} {reply.msg}", fields)

    def begin(self, reply: HTTPResult) -> None:
        """Begin the response."""
        way, request = self._way, self._request
        assert self._member is not None
        self._reply = reply
        fields, buffered = reply_fields(reply.headers, reply.code)
        if not buffered:
            self._waiting_max = 1
        if way.rewrite:
            node: Any = self._member.node
            fields = Rewriting(way, request, node.authority).fields(fields)
        follower = self._follower
        if follower is not None:
            answer = follower.instead(reply.code, fields)
            if answer is not None:
                way.cluster.succeeded(self._member, way.seconds() - self._began)
                self._finish()
                answer()
                return
            fields, self._copy = follower.passed(reply, fields)
            self._follower = None
        try:
            request.start(f"{reply.code} {reply.msg}", fields)
        except ValueError as cause:
            self._end_copy(cause)
            error = OperationError(f"bad reply from {self._member.node.label}: {cause}", code=CODE_BAD_REPLY)
            self._note_failure(error)
            self._fail(error)
            return
        way.cluster.succeeded(self._member, way.seconds() - self._began)

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: ARG002 - of IConsumer
        """Take who brings the body."""
        self._producer = producer

    def write(self, data: bytes) -> None:
        """Pass a piece of the body on; read no more while too much waits for the client."""
        if self._over:  # somebody else has answered
            if self._producer is not None:
                self._producer.stopProducing()
            return
        request = self._request
        request.send(data)
        if self._copy is not None:
            self._copy.write(data)
        waiting_max = self._waiting_max
        if request.waiting >= waiting_max and self._producer is not None:
            self._producer.pauseProducing()
            request.when_below(waiting_max // 2 + 1, self._go_on)

    def wait(self) -> None:
        """Send the head, if it waits for the first piece of the body: that may come late."""
        if not self._over and not self._request.bytes_sent:
            self._request.send(b"")

    def _go_on(self) -> None:
        if self._producer is not None:
            self._producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Forget who brings the body."""
        self._producer = None

    def end(self, error: BaseException | None) -> None:
        """Complete the response, or cut the connection: the client must see that the reply is incomplete."""
        self._end_copy(error)
        if self._over:
            return
        if error is None:
            assert self._reply is not None
            trailers = trailer_fields(self._reply.trailers) if self._message.trailers else ()
            self._finish()
            self._request.end(trailers)
            return
        if not isinstance(error, BodyError):
            self._way.counts.broken += 1
            self._note_failure(error)
            self._tell("has no more of the reply", error)
        self._finish()
        self._request.abort()

    def switch(self, reply: HTTPResult) -> IProtocol:
        """Take over the client's connection, too: the member has changed the protocol (RFC 9110, 7.8).

        Raises OperationError if it is none that the member was asked for.
        """
        way, request = self._way, self._request
        assert self._member is not None
        protocol = reply.get_header("upgrade") or ""
        if protocol.lower() not in self._message.protocols:
            text = f"bad reply from {self._member.node.label}: status 101, with the protocol {protocol!r}"
            raise OperationError(f"{text}, which it was not asked for", code=CODE_BAD_REPLY)
        fields, _ = reply_fields(reply.headers, reply.code)
        fields = [pair for pair in fields if pair[0].lower() not in _OF_SERVER]
        tunnel = Tunnel(self._finish, frames=protocol.lower() == "websocket")

        def connected() -> None:
            tunnel.client.connected = tunnel.open
            request.take_over(tunnel.client, "101 Switching Protocols", [*fields, ("Upgrade", protocol)])

        tunnel.member.connected = connected
        way.cluster.succeeded(self._member, way.seconds() - self._began)
        way.counts.upgraded += 1
        return tunnel.member

    # -- the client: IPushProducer ------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """Do nothing: ``write`` watches what waits."""

    def resumeProducing(self) -> None:
        """Do nothing, as above."""

    def stopProducing(self) -> None:
        """Ask no more: the client is gone. That says nothing of the member: anybody can leave early."""
        if not self._over:
            self._finish()
            if self._follower is not None:
                self._follower.left()
            if self._asked is not None:
                self._asked.cancel()

    # -- the end -------------------------------------------------------------------------------------------

    def _answered(self, _result: HTTPResult) -> None:
        """Do nothing: ``end`` has come before."""

    def _failed(self, failure: Failure) -> None:
        """Ask another member, if that does no harm, or respond with an error."""
        error = failure.value
        if self._over or error is None:
            return  # ``end`` or the client has come before
        assert self._member is not None
        if isinstance(error, BodyError):  # it is the client's, which was answered, or is gone
            self._finish()
            if self._follower is not None:
                self._follower.left()
            if not self._request.refusal:
                self._request.fail(400)
            return
        self._way.cluster.end(self._member, self._probe)
        self._note_failure(error)
        is_retried = self._message.idempotent or isinstance(error, UnsentError)
        if is_retried and len(self._tried) < len(self._way.cluster.members):
            self._way.counts.retried += 1
            self._member, self._last = None, error
            if self._asking:
                self._again = True
            else:
                self._ask()
            return
        self._member = None
        self._fail(error)

    def _note_failure(self, error: BaseException) -> None:
        if self._member is not None and getattr(error, "code", None) not in NOT_THE_MEMBERS:
            self._way.cluster.failed(self._member)

    def _fail(self, error: BaseException) -> None:
        """Respond with an error page."""
        way = self._way
        code = status_of(error)
        self._finish()
        answer = None if self._follower is None else self._follower.failed(error)
        self._tell("has no reply" if answer is None else "uses a stored reply, as none came,", error)
        if answer is not None:
            answer()
            return
        way.counts.failed[code] += 1
        fields = (_RETRY,) if code == HTTPStatus.SERVICE_UNAVAILABLE else ()
        self._request.fail(code, *fields, detail=self._page(error))
        if self._asked is not None:
            self._asked.cancel()

    def _page(self, error: BaseException) -> str:
        """Return the sentence of the error page."""
        return page_detail(self._way.label, self._way.cluster.name, error)

    def _keys(self, error: BaseException) -> str:
        """Return what the log says of the keys of the config that decide."""
        return f" ({keys_of(self._way.cluster.name, error)})"

    def _end_copy(self, error: BaseException | None) -> None:
        copy, self._copy = self._copy, None
        if copy is not None:
            copy.end(error)

    def _tell(self, what: str, error: BaseException) -> None:
        request = self._request
        _log.warn(
            "{label} {what} for {method} {target}: {error}{keys}",
            label=self._way.label,
            what=what,
            method=request.method.decode("latin-1"),
            target=request.uri.decode("latin-1"),
            error=error,
            keys=self._keys(error),
        )

    def _finish(self) -> None:
        """Let go of what the request holds; nothing more is sent or taken."""
        self._over = True
        way, member = self._way, self._member
        way.counts.under_way -= 1
        if member is not None:
            self._member = None
            way.cluster.end(member, self._probe)
        if self._body is not None:
            self._body.close()
        self._request.unregisterProducer()
        self._message.sink = self._message.switch = self._message.interim = None  # a cycle


def _no_members(name: str) -> OperationError:
    return UnsentError(f"cluster @{name} has no members at present", code=CODE_NOBODY)
