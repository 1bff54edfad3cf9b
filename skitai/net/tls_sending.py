"""The sending half of a connection with TLS: what the protocol inside writes, encrypted."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from ssl import MemoryBIO, SSLError
from typing import Any, Protocol

from skitai.net.outflow import Outflow

#: Bytes that are encrypted before they are sent, and the most that leave without a look at other connections.
_PIECE, _TURN_MAX = 64 * 1024, 256 * 1024


class TLSObject(Protocol):
    """What is below an ``ssl.SSLObject``, most of whose methods only call these, which raise the same.

    Called without an SSLObject, they save twelve functions for each connection.
    """

    def do_handshake(self) -> None:
        """Go on with the handshake."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes that the peer has sent; none if it has closed TLS."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Encrypt ``data``, and return how many bytes of it."""

    def pending(self) -> int:
        """Return how many bytes are decrypted and can be read."""

    def shutdown(self) -> None:
        """Close our half: ``SSLObject.unwrap``."""

    def version(self) -> str | None:
        """Return the version, such as ``"TLSv1.3"``."""

    def selected_alpn_protocol(self) -> str | None:
        """Return what the protocol inside is, if that was chosen."""

    def getpeercert(self, der: bool, /) -> bytes | None:
        """Return the certificate of the peer, with ``der`` as bytes."""


class SendingTLS:
    """Sends over ``transport``. All methods are called in the reactor thread.

    What is written is encrypted at once if the socket takes it; else it waits here. An abort is no end of
    TLS, so that the peer sees that something is missing.
    """

    # Slots, because there may be ten thousand idle connections.
    __slots__ = (
        "_closes_half", "_incoming", "_outflow", "_outgoing", "_paused", "_producer", "_shaken", "_socket",
        "_streaming", "_tickets", "_tls", "_unsent", "_write_closed", "connected", "disconnecting",
        "transport",
    )  # fmt: skip

    transport: Any
    #: That of the transport, past which it is written to.
    _socket: Any
    _tls: TLSObject

    def __init__(self) -> None:
        self.connected = self.disconnecting = False
        #: What came from the socket, and what goes there.
        self._incoming, self._outgoing = MemoryBIO(), MemoryBIO()
        # Whether the handshake is over, and whether our half is closed, or will be when all is sent.
        self._shaken = self._write_closed = self._closes_half = False
        # What the handshake has left to send, which may wait for the first answer.
        self._tickets = b""
        # What was written and nobody has encrypted yet.
        self._unsent: deque[bytes | memoryview] | None = None
        self._producer: Any = None
        # What sends while the socket is full: it has more to ask for, then.
        self._outflow: Outflow | None = None
        self._streaming = self._paused = False

    def _send_no_more(self) -> None:
        """Note that the connection is gone."""
        self.connected = False
        self.disconnecting = self._write_closed = True
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        self._unsent = None
        self._outflow = None  # which knows this object

    def send(self, data: bytes | memoryview) -> int:
        """Send of ``data`` what the socket takes now, and return how much of it has left.

        The rest must be written, or be produced by a pull producer.
        """
        if self._write_closed or not self._shaken or self._outflow is not None:
            return 0
        sent = self._tls.write(data) if len(data) <= _PIECE else self._encrypt(data, 0)
        self._flush()
        while sent < len(data) and self._outflow is None and sent < _TURN_MAX:
            sent = self._encrypt(data, sent)
            self._flush()
        return sent

    def _encrypt(self, data: bytes | memoryview, start: int) -> int:
        """Encrypt a piece of ``data`` from ``start`` on, and return its end."""
        end = min(start + _PIECE, len(data))
        while start < end:
            start += self._tls.write(memoryview(data)[start:end] if start or end < len(data) else data)
        return end

    def _flush(self) -> None:
        data = self._outgoing.read()
        if self._tickets:
            data, self._tickets = self._tickets + data, b""
        if not data:
            return
        if self._outflow is not None:
            self.transport.write(data)
            return
        try:
            sent = self._socket.send(data)
        except OSError:
            sent = 0  # the socket is full, or broken: then the transport finds that out and reports it
        if sent < len(data):
            self._flow(data[sent:])

    def _flow(self, rest: bytes = b"") -> None:
        """Have the transport send ``rest``, and all that follows until nothing is left."""
        if self._outflow is None:
            self._outflow = Outflow(self, rest)
            self.transport.registerProducer(self._outflow, False)

    def write(self, data: bytes) -> None:
        """Send ``data`` after everything written before."""
        if not data or self._write_closed or not self.connected:
            return
        sent = 0 if self._unsent else self.send(data)
        if sent < len(data):
            if self._unsent is None:
                self._unsent = deque()
            self._unsent.append(memoryview(data)[sent:] if sent else data)
            if self._shaken:
                self._flow()
            if self._producer is not None and self._streaming and not self._paused:
                self._paused = True
                self._producer.pauseProducing()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send pieces after everything written before."""
        self.write(b"".join(iovec))

    def more(self) -> bytes:
        """Return what is to be sent next: the socket has taken everything. Nothing: it is over for now."""
        while self._outgoing.pending < _PIECE:
            if self._unsent:
                piece = self._unsent.popleft()
                end = self._encrypt(piece, 0)
                if end < len(piece):
                    self._unsent.appendleft(memoryview(piece)[end:])
            elif not self._ask_producer():
                break
        tickets, self._tickets = self._tickets, b""
        return tickets + self._outgoing.read()

    def outflow_ended(self) -> None:
        """Note that the socket takes all there is."""
        self._outflow = None
        self._settle()

    def _ask_producer(self) -> bool:
        """Have the producer write; return whether it has, or another one is to be asked by now."""
        if self._producer is not None and (self._paused or not self._streaming):
            self._paused = False
            self._producer.resumeProducing()
        return bool(self._unsent) or (self._producer is not None and self._paused)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Pause ``producer`` while the socket takes no more; without ``streaming``, asked for each piece."""
        if not self.connected:
            producer.stopProducing()
            return
        if self._producer is not None:
            raise RuntimeError(f"{producer} cannot produce: {self._producer} does")
        # Without streaming, it waits to be asked: when it comes as another one is asked, that is not over.
        self._producer, self._streaming, self._paused = producer, streaming, not streaming
        if not streaming and self._shaken:
            self._flow()

    def unregisterProducer(self) -> None:
        """Ask for no more, and close if that was waited for."""
        self._producer, self._paused = None, False
        self._settle()

    # -- the end -------------------------------------------------------------------------------------------

    def loseConnection(self) -> None:
        """Close when all is sent and no producer is registered."""
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self._settle()
            if self._shaken and self.connected and not self.transport.disconnecting:
                self.transport.pauseProducing()

    def loseWriteConnection(self) -> None:
        """Close our half when all is sent and no producer is registered."""
        if not self._write_closed:
            self._closes_half = True
            self._settle()

    def _settle(self) -> None:
        """Close what is to be closed, if all is sent.

        A push producer that is not paused holds up nothing, as with TCP: it has no more to send.
        """
        waits = self._producer is not None and (self._paused or not self._streaming)
        if not self.connected or self._unsent or waits or self._outflow is not None:
            return
        if self.disconnecting:
            self._say_goodbye()
            self.transport.loseConnection()
        elif self._closes_half:
            self._closes_half = False
            self._say_goodbye()
            self.transport.loseWriteConnection()

    def _say_goodbye(self) -> None:
        if self._shaken and not self._write_closed:
            # It also looks whether the client has said it, and takes anything else for a fault.
            unread = self._incoming.read() if self._incoming.pending else b""
            try:  # noqa: SIM105 - of each connection: three calls less
                self._tls.shutdown()
            except SSLError:
                pass
            if unread:
                self._incoming.write(unread)
            self._flush()
        self._write_closed = True

    def abortConnection(self) -> None:
        """Cut the connection."""
        if self.connected:
            self.disconnecting = self._write_closed = True
            self.transport.abortConnection()
