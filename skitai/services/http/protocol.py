"""One client connection: it sends a request at a time, and reports the reply or the loss to its owner."""

from __future__ import annotations

import typing
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

from OpenSSL.SSL import Error as TLSError
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol
from twisted.internet.tcp import Connection as TCPConnection
from twisted.logger import Logger, LogLevel
from zope.interface import implementer

from skitai.errors import CODE_CLOSED, CODE_EXCEPTION, CODE_SOCKET_ERROR, OperationError, UnsentError
from skitai.net.failures import tls_text
from skitai.net.handover import close_all, hand_over
from skitai.net.looking import look_at
from skitai.services.http.decoding import BadReplyError, ReplyBody
from skitai.services.http.filesource import PIECE
from skitai.services.http.reply import ReplyReader
from skitai.services.http.sink import Delivery
from skitai.services.http.streaming import Sendable, Sender, StreamedBody

if TYPE_CHECKING:
    import select

    from twisted.python.failure import Failure

    from skitai.loop.sending import SendQueue
    from skitai.net.addresses import HTTPNode
    from skitai.services.http.result import HTTPResult
    from skitai.services.http.transfer import Transfer

_log = Logger()

#: Seconds before the end of an idle connection that its server has announced. A request needs time to get
#: there, and the server's time began when it sent its reply, not when that came.
_EARLIER = 1.0


class Phase(Enum):
    """How far a connection is with its request."""

    IDLE = "there is no request"
    QUEUED = "the request waits for the end of the reactor's turn: nothing of it was sent"
    REFUSED = "nothing of the request will be sent here: it takes another connection"
    SENT = "a byte of the request may have been sent"
    ANSWERED = "a byte of the reply has come"
    CLOSED = "the connection is closed or being closed"


# Globals, because an attribute of an enum takes five times as long to look up, and each request looks up a
# dozen of them.
IDLE, QUEUED, REFUSED, SENT, ANSWERED, CLOSED = Phase
#: The phases in which nothing of the request was sent.
UNSENT = (QUEUED, REFUSED)


class Owner(typing.Protocol):
    """What a connection reports to. All of it is called in the reactor thread."""

    def replied(
        self, connection: HTTPConnection, result: HTTPResult, body: ReplyBody | None, *, reusable: bool
    ) -> None:
        """Take the reply, and a ``body`` that is still to be decoded into it.

        If the connection is not reusable, the owner must ``abort`` it.
        """

    def switched(self, connection: HTTPConnection, result: HTTPResult) -> None:
        """Take the reply 101: another protocol has the connection now."""

    def failed(self, connection: HTTPConnection, error: OperationError) -> None:
        """Abort the connection: the reply is malformed, or bytes came that answer nothing."""

    def lost(self, connection: HTTPConnection, error: OperationError) -> None:
        """Note that the connection is gone; its request, if it has one, fails with ``error``."""


@implementer(IProtocol)
class HTTPConnection:
    """A connection to ``node`` that carries one request at a time: ``transfer``, None while it is idle.

    ``reused`` says that it carried a request before. ``active`` is when something was last sent or received,
    by the reactor's clock; ``asked`` when something of the request was. ``expires`` is when an idle
    connection must not be used any more, because its server is about to close it; None if it did not say.
    ``is_paused`` says that the sink of the present reply takes no more for now.
    """

    __slots__ = (
        "_look", "_node", "_owner", "_reader", "_seconds", "_sending", "_socket", "_transport", "_upload",
        "active", "asked", "expires", "is_paused", "phase", "reused", "transfer",
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
        self._reader = ReplyReader(response_max)
        self._transport: Any = None
        self._socket: Any = None
        self._look: select.poll | None = None
        self._upload: Sender | None = None
        self.transfer: Any = None
        self.phase: Phase = IDLE
        self.reused = self.is_paused = False
        self.active = self.asked = seconds()
        self.expires: float | None = None

    @property
    def waits_for_head(self) -> bool:
        """Whether the head of the reply is still to come."""
        return not self._reader.has_head

    @property
    def waits_for_body(self) -> bool:
        """Whether the node waits for more of the request, which comes from somebody else."""
        return getattr(self._upload, "waits", False)

    def ask(self, transfer: Transfer) -> None:
        """Send the request of ``transfer``."""
        self.transfer = transfer
        request = transfer.request
        self._reader.expect(
            head_only=request.method == "HEAD",
            deliver=None if request.sink is None else self._deliver,
            may_switch=request.switch is not None,
            interim=None if request.interim is None else self._inform,
        )
        self.phase = QUEUED
        self.active = self.asked = self._seconds()
        if self._socket is not None and len(transfer.payload) <= PIECE:
            self._sending.add(self)
        else:
            self.flush()

    def flush(self) -> None:
        """Send the request that waits for the end of the reactor's turn."""
        if self.phase is not QUEUED:
            return  # given up meanwhile
        if self.reused and not self._is_quiet():
            self._refuse()
        elif self._send(self.transfer.payload) and (stream := self.transfer.request.stream) is not None:
            self._stream(stream)

    def _refuse(self) -> None:
        """Close the connection; then the owner sends the request over another one (``lost``)."""
        self.phase = REFUSED
        self._transport.abortConnection()

    def _is_quiet(self) -> bool:
        """Return whether the socket has nothing to read.

        On an idle connection that could only be the peer's close, after which a POST would be lost, or bytes
        that answer nothing, such as a 408, which must not be taken for the reply to the next request
        (RFC 9112, section 9.2). Checked right before the send, because an app that computes in a greenlet
        keeps the reactor from reading.
        """
        # poll() costs a third of recv(MSG_PEEK), which raises if all is well.
        return self._look is None or not self._look.poll(0)

    def abort(self) -> None:
        """Close the socket at once; its request is forgotten."""
        self.phase = CLOSED
        self.transfer = None
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abortConnection()

    def close(self) -> None:
        """Close the connection in good order: no request is under way.

        A reset, as ``abort`` makes it, would be an error in the server's log.
        """
        self.phase = CLOSED
        transport, self._transport = self._transport, None
        if transport is not None:
            close_all(transport)

    def _send(self, payload: bytes) -> bool:
        """Write to the socket what it takes, and to the transport the rest; return False if it was closed.

        Writing to the socket saves two epoll calls and a turn of the reactor, and shows whether any byte was
        sent.
        """
        count = 0
        if self._socket is not None:
            try:
                count = self._socket.send(payload)
            except BlockingIOError:
                pass
            except OSError:
                self._refuse()
                return False
        self.phase = SENT
        if count < len(payload):
            # From here on the transport buffers: later bytes written to the socket would overtake these.
            self._socket = None
            if len(payload) - count <= PIECE or self.transfer.request.stream is not None:
                self._transport.write(payload[count:])
            else:
                self._stream(StreamedBody((payload[count:],)))
        return True

    def _stream(self, body: Sendable) -> None:
        """Send ``body`` as fast as the peer takes it; each piece that it takes counts as activity."""
        self._socket = None  # as above: the transport buffers
        self._upload = body.sender(
            self._transport,
            progressed=self._note_progress,
            failed=lambda error: self._owner.failed(self, error),
        )
        self._upload.start()

    def note_wait(self) -> None:
        """Begin the time-outs anew: so far the node could not answer."""
        self._note_progress()

    def _note_progress(self) -> None:
        self.active = self.asked = self._seconds()

    def _inform(self) -> None:
        """Hand an interim reply over."""
        try:
            self.transfer.request.interim(self._reader.head(self._node))
        except ValueError as cause:
            raise BadReplyError(f"an interim reply cannot be passed on: {cause}") from cause

    # Called by the sink of a reply, through its Delivery

    def _deliver(self) -> Delivery:
        """Open the sink: the head of the reply has come."""
        reply = self._reader.head(self._node)
        reply.asked = self.transfer.request.target
        self.transfer.delivery = delivery = Delivery(self, self.transfer.request.sink, reply)
        delivery.begin()
        return delivery

    def pause(self) -> None:
        """Read nothing for now."""
        if not self.is_paused and self._transport is not None:
            self.is_paused = True
            self._transport.pauseProducing()

    def resume(self) -> None:
        """Read on; the pause does not count as silence of the peer."""
        if self.is_paused and self._transport is not None:
            self.is_paused = False
            self.active = self._seconds()
            self._transport.resumeProducing()

    def give_up(self, error: OperationError) -> None:
        """Fail the request with ``error`` and close the connection."""
        error.node = self._node
        self._owner.failed(self, error)

    # IProtocol

    def makeConnection(self, transport: Any) -> None:
        """Take the transport, which is ready for use: a TLS handshake is over."""
        self._transport = transport
        # Not below TLS: bytes written to that socket would not be encrypted.
        if isinstance(transport, TCPConnection):
            self._socket = transport.socket
        self._look = look_at(transport)

    def connectionMade(self) -> None:
        """Do nothing: ``makeConnection`` has done it."""

    def dataReceived(self, data: bytes) -> None:
        """Read the reply."""
        if self.phase is SENT:
            self.phase = ANSWERED
        elif self.phase is not ANSWERED:
            self._unasked()
            return
        self.active = self._seconds()
        try:
            complete = self._reader.feed(data)
            if self.phase is not ANSWERED:
                pass  # the sink of the reply gave it up
            elif self._reader.switched is not None:
                self._switch()
            elif complete:
                # A server may reply before it has read the whole request, and may never read the rest.
                sent = self._upload is None or self._upload.done
                self._finish(reusable=sent and self._reader.in_step)
            elif self.transfer.delivery is not None:
                self.transfer.delivery.wait()
        except BadReplyError as error:
            self._owner.failed(self, error.about(self._node))

    def _unasked(self) -> None:
        """Close the connection: bytes came before a request was sent."""
        if self.phase is QUEUED and self.reused:
            self._refuse()
        elif self.phase in (QUEUED, IDLE):
            self._owner.failed(self, BadReplyError("bytes that nobody asked for").about(self._node))

    def connectionLost(self, reason: Failure) -> None:
        """Finish a body that ends with the connection, and report the loss."""
        self._transport = None  # so that nothing aborts it again
        error = self._lost_error(reason)
        if self.phase is ANSWERED and self._reader.ends_with_connection:
            try:
                if isinstance(reason.value, ConnectionDone):
                    self._finish(reusable=False)
            except BadReplyError as bad:
                error = bad.about(self._node)
        self._forget_transport()
        self._owner.lost(self, error)
        self.phase = CLOSED
        self._reader.forget()

    def logPrefix(self) -> str:
        """Return the name for Twisted's log."""
        return "skitai-http"

    def _finish(self, *, reusable: bool) -> None:
        transfer = self.transfer
        if transfer.delivery is None:
            result = self._reader.result(self._node)
            result.asked = transfer.request.target
        else:
            result = transfer.delivery.reply
            result.trailers = self._reader.trailers
            self.resume()
        self.phase = IDLE
        self._upload = None
        self.reused = True
        lasting = self._reader.lasting
        self.expires = None if lasting is None else self.active + lasting - min(_EARLIER, lasting / 2)
        self._owner.replied(self, result, self._reader.take_unfinished(), reusable=reusable)

    def _forget_transport(self) -> None:
        self._transport = self._socket = self._look = None
        self._reader.close()

    def _switch(self) -> None:
        """Hand the connection to the protocol that the request asked for."""
        transfer, result = self.transfer, self._reader.head(self._node)
        result.asked = transfer.request.target
        try:
            protocol = transfer.request.switch(result)
            assert protocol is not None, "there is no protocol to switch to"
        except OperationError as refusal:
            self.give_up(refusal)
            return
        except Exception as cause:  # noqa: BLE001 - it is not ours: its request fails, and nothing else
            self.give_up(_not_switched(cause))
            return
        if self.transfer is not transfer:
            return  # it was cancelled meanwhile
        transport, received = self._transport, self._reader.switched or b""
        self._forget_transport()
        transfer.stop = transport.abortConnection
        try:
            hand_over(transport, protocol, received)
        except Exception as cause:  # noqa: BLE001 - as above
            transport.abortConnection()
            error = _not_switched(cause)
            error.node = self._node
            self._owner.lost(self, error)
        else:
            self._owner.switched(self, result)
        self.phase = CLOSED

    def _lost_error(self, reason: Failure) -> OperationError:
        where = "in the middle of the reply" if self.phase is ANSWERED else "before the reply"
        if isinstance(reason.value, ConnectionDone):
            code, text = CODE_CLOSED, f"{self._node.label} closed the connection {where}"
        else:
            code = CODE_SOCKET_ERROR
            cause = reason.value
            words = tls_text(cause) if isinstance(cause, TLSError) else reason.getErrorMessage()
            text = f"connection to {self._node.label} lost {where}: {words}"
        kind = UnsentError if self.phase in UNSENT else OperationError
        error = kind(text, code=code, node=self._node)
        error.__cause__ = reason.value
        return error


def _not_switched(cause: Exception) -> OperationError:
    """Log what another protocol raised when it was to begin; return the error for the request."""
    _log.failure("switching to another protocol failed", level=LogLevel.error)
    error = OperationError(f"switching to another protocol failed: {cause!r}", code=CODE_EXCEPTION)
    error.__cause__ = cause
    return error
