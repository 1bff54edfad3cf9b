"""One client connection: sends a request at a time, hands back the reply, and tells how it was lost."""

from __future__ import annotations

import select
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from OpenSSL.SSL import Error as TLSError
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, IProtocol
from twisted.internet.tcp import Connection as TCPConnection
from zope.interface import implementer

from skitai.errors import CODE_BAD_REPLY, CODE_CLOSED, CODE_SOCKET_ERROR, OperationError, UnsentError
from skitai.net.connect import connect_error, tls_text
from skitai.services.http.decoding import BadReplyError
from skitai.services.http.filesource import PIECE
from skitai.services.http.reply import ReplyReader
from skitai.services.http.streaming import BodySender, StreamedBody

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from skitai.loop.sending import SendQueue
    from skitai.net.addresses import HTTPNode
    from skitai.services.http.result import HTTPResult


class Owner(typing.Protocol):
    """Who a connection reports to. All of it is called in the reactor thread."""

    def ready(self, connection: HTTPConnection) -> None:
        """Take a connection that has just become able to carry a request."""

    def replied(self, connection: HTTPConnection, result: HTTPResult, *, reusable: bool) -> None:
        """Take the reply. Where the connection is not reusable, it is for the owner to ``abort`` it."""

    def failed(self, connection: HTTPConnection, error: OperationError) -> None:
        """Learn that the reply is none, or that bytes came unasked: the connection must be aborted."""

    def lost(self, connection: HTTPConnection, error: OperationError) -> None:
        """Learn that the connection is gone or never was; ``error`` is what that means for its request."""


@implementer(IProtocol, IHandshakeListener)
class HTTPConnection:
    """A connection to ``node`` that carries one request at a time, for its owner's ``exchange``.

    ``open`` says that it can carry one; ``reused`` that it has done so before; ``sent`` that a byte of the
    present request may have left and ``answered`` that a byte of the reply came; ``active`` is when
    something last happened, in the reactor's seconds.
    """

    __slots__ = (
        "_awaiting", "_look", "_node", "_owner", "_payload", "_reader", "_seconds", "_sending", "_socket",
        "_transport", "_upload", "active", "answered", "exchange", "open", "reused",
        "sent", "stop_connecting",
    )  # fmt: skip

    def __init__(
        self,
        owner: Owner,
        node: HTTPNode,
        sending: SendQueue,
        seconds: Callable[[], float],
        response_max: int,
    ) -> None:
        self._owner = owner
        self._node = node
        self._sending = sending
        self._seconds = seconds
        self._payload = b""
        self._reader = ReplyReader(response_max)
        self._transport: Any = None
        self._socket: Any = None
        self._look: select.poll | None = None
        self._upload: BodySender | None = None
        self._awaiting = False
        self.stop_connecting: Callable[[], Any] | None = None
        self.exchange: Any = None
        self.open = self.reused = self.sent = self.answered = False
        self.active = seconds()

    def ask(self, payload: bytes, *, head_only: bool = False) -> None:
        """Send one whole request; ``head_only`` where the reply to it has no body (HEAD)."""
        self._reader.expect(head_only=head_only)
        self.sent = self.answered = False
        self.active = self._seconds()
        self._payload = payload
        if self._socket is not None and len(payload) <= PIECE:
            self._sending.add(self)
        else:
            self.flush()

    def flush(self) -> None:
        """Send the request that waits for the end of the reactor's turn."""
        payload, self._payload = self._payload, b""
        if not payload:
            return  # given up meanwhile
        if self.reused and not self._is_quiet():
            # connectionLost finds that none of it left, and the owner takes it to another connection.
            self._transport.abortConnection()
            return
        self._awaiting = True
        self._send(payload)
        if self.sent and (stream := self.exchange.request.stream) is not None:
            self._stream(stream)

    def _is_quiet(self) -> bool:
        """Return whether nothing has come since the last reply that the reactor has yet to read.

        It would be the peer's close, and a POST sent after it is lost; or a reply to nothing, such as a 408,
        which must not be taken for the reply to the next request (RFC 9112, section 9.2). To be asked last
        of all: an app that computes in a greenlet keeps the reactor from reading for as long.
        """
        # A third of the cost of recv(MSG_PEEK), which raises when all is well.
        return self._look is None or not self._look.poll(0)

    def abort(self) -> None:
        """Close the socket at once, or stop connecting; what was under way is forgotten."""
        self._awaiting = self.open = False
        self._payload = b""
        self.exchange = None
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abortConnection()
        elif self.stop_connecting is not None:
            self.stop_connecting()

    def _send(self, payload: bytes) -> None:
        """Hand the kernel what it takes at once, and the transport the rest.

        It saves two epoll calls and a turn of the reactor, and tells for certain whether any byte left.
        """
        count = 0
        if self._socket is not None:
            try:
                count = self._socket.send(payload)
            except BlockingIOError:
                pass
            except OSError:
                # The peer is gone; connectionLost follows and finds that nothing was sent.
                self._transport.abortConnection()
                return
        self.sent = True
        if count < len(payload):
            # From here on the transport has a buffer of its own, which later bytes must not overtake.
            self._socket = None
            if len(payload) - count <= PIECE or self.exchange.request.stream is not None:
                self._transport.write(payload[count:])
            else:
                self._stream(StreamedBody((payload[count:],)))

    def _stream(self, body: StreamedBody) -> None:
        """Send ``body`` as fast as the peer takes it, which is no silence."""
        self._socket = None  # as above: the transport buffers
        self._upload = BodySender(
            self._transport,
            body,
            progressed=self._note_progress,
            failed=lambda error: self._owner.failed(self, error),
        )
        self._upload.start()

    def _note_progress(self) -> None:
        self.active = self._seconds()

    # IProtocol and IHandshakeListener

    def makeConnection(self, transport: Any) -> None:
        """Take the transport; a TLS one is of no use before its handshake is done."""
        self._transport = transport
        self.stop_connecting = None
        transport.setTcpNoDelay(True)
        # Only a bare TCP transport's: what a TLS one passes through would carry plain text.
        if isinstance(transport, TCPConnection):
            self._socket = transport.socket
        wire = getattr(transport, "socket", None)
        if wire is not None:
            self._look = select.poll()
            self._look.register(wire, select.POLLIN)
        if not self._node.tls:
            self._become_ready()

    def connectionMade(self) -> None:
        """Do nothing: ``makeConnection`` has done it."""

    def handshakeCompleted(self) -> None:
        """Use the connection now that the peer's certificate is verified."""
        self._become_ready()

    def _become_ready(self) -> None:
        self.open = True
        self._owner.ready(self)

    def dataReceived(self, data: bytes) -> None:
        """Read the reply. What nobody asked for closes the connection: who knows what it would answer."""
        if not self._awaiting:
            if self._payload and self.reused:
                # The request is not sent yet and belongs on another connection: connectionLost sees to it.
                self._payload = b""
                self._transport.abortConnection()
            elif self.open:
                self._owner.failed(self, self._bad_reply(BadReplyError("bytes that nobody asked for")))
            return
        self.active = self._seconds()
        self.answered = True
        try:
            if self._reader.feed(data):
                # A server may answer before it has the whole request, and then it may not want the rest.
                sent = self._upload is None or self._upload.done
                self._finish(reusable=sent and self._reader.in_step)
        except BadReplyError as error:
            self._owner.failed(self, self._bad_reply(error))

    def connectionLost(self, reason: Failure) -> None:
        """Finish a body that ends with the connection, and tell the owner."""
        self._transport = None
        error = self._lost_error(reason) if self.open else connect_error(self._node, reason)
        if self._awaiting and self._reader.ends_with_connection and isinstance(reason.value, ConnectionDone):
            try:
                self._finish(reusable=False)
            except BadReplyError as bad:
                error = self._bad_reply(bad)
        self._gone(error)

    def connectionFailed(self, reason: Failure) -> None:
        """Tell the owner that there will be no connection. Called by what was to connect it."""
        self._gone(connect_error(self._node, reason))

    def logPrefix(self) -> str:
        """Return the name that Twisted logs under."""
        return "skitai-http"

    def _gone(self, error: OperationError) -> None:
        self.open = self._awaiting = False
        self._payload = b""
        self._socket = self._look = None
        self._reader.close()
        self._owner.lost(self, error)

    def _finish(self, *, reusable: bool) -> None:
        result = self._reader.result(self._node)
        result.asked = self.exchange.request.target
        self._awaiting = False
        self._upload = None
        self.reused = True
        self._owner.replied(self, result, reusable=reusable)

    def _bad_reply(self, cause: BadReplyError) -> OperationError:
        error = OperationError(
            f"bad reply from {self._node.label}: {cause}", code=CODE_BAD_REPLY, node=self._node
        )
        error.__cause__ = cause
        return error

    def _lost_error(self, reason: Failure) -> OperationError:
        where = "in the middle of the reply" if self.answered else "before the reply"
        if isinstance(reason.value, ConnectionDone):
            code, text = CODE_CLOSED, f"{self._node.label} closed the connection {where}"
        else:
            code = CODE_SOCKET_ERROR
            cause = reason.value
            words = tls_text(cause) if isinstance(cause, TLSError) else reason.getErrorMessage()
            text = f"connection to {self._node.label} lost {where}: {words}"
        error = (OperationError if self.sent else UnsentError)(text, code=code, node=self._node)
        error.__cause__ = reason.value
        return error
