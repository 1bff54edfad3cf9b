"""The TLS of one connection: a protocol on the transport below, and the transport of the protocol inside."""

from __future__ import annotations

import sys
from collections.abc import Callable
from socket import IPPROTO_TCP
from ssl import MemoryBIO, SSLError, SSLWantReadError, SSLZeroReturnError
from typing import TYPE_CHECKING, Any, Protocol

from cryptography.x509 import Certificate, load_der_x509_certificate
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    INegotiated,
    IProtocol,
    IPushProducer,
    ISSLTransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from skitai.net.tls_failures import FAILURES, PLAIN_REPLY, is_plain_http
from skitai.net.tls_records import LOOK_BYTES, Records
from skitai.net.tls_sending import SendingTLS, TLSObject

if sys.platform == "linux":
    from socket import TCP_QUICKACK

if TYPE_CHECKING:
    from skitai.net.client_certificates import ClientCertificate

#: Bytes that are read at a time: a record holds no more (RFC 8446, section 5.1).
_RECORD_MAX = 16 * 1024
#: Why a connection ended whose client has not said so (RFC 8446, section 6.1). Made once: clients do that.
_CUT_OFF = Failure(ConnectionLost("TLS was not closed"))  # type: ignore[no-untyped-call]
_LEFT = Failure(ConnectionDone())  # type: ignore[no-untyped-call]


class Wrap(Protocol):
    """Makes the TLS of a new connection between two buffers of encrypted bytes."""

    def __call__(self, incoming: MemoryBIO, outgoing: MemoryBIO) -> TLSObject:
        """Return it, before its handshake."""


@implementer(IProtocol, IHalfCloseableProtocol, ISSLTransport, INegotiated, IPushProducer)
class TLSTransport(SendingTLS):
    """The TLS of one connection to a server. All methods are called in the reactor thread.

    A client that says that it sends no more still gets its answers, if ``wrappedProtocol`` can handle that;
    not if it closes TCP besides. One that goes without a word has cut the connection off.
    """

    __slots__ = (
        "_client", "_early", "_early_with_data", "_failed", "_read_closed", "_reason", "_records", "_wrap",
        "getHost", "getPeer", "wrappedProtocol",
    )  # fmt: skip

    #: The transport's own: they return the address that the client connected to, and the client's.
    getHost: Callable[[], Any]
    getPeer: Callable[[], Any]

    def __init__(self, wrap: Wrap, inside: Any) -> None:
        SendingTLS.__init__(self)  # of each connection: it saves what super() looks up
        self.wrappedProtocol: Any = inside
        self._wrap = wrap
        self._client: ClientCertificate | None = None
        self._reason: Failure | None = None
        # Whether the client sends no more.
        self._read_closed = False
        # Whether TLS has failed: the client was told why, and nothing that still comes is read.
        self._failed = False
        # All that has come until it is much, how many records of it had data, and what counts them then.
        self._early, self._early_with_data = b"", 0
        self._records: Records | None = None

    # -- the transport below -------------------------------------------------------------------------------

    def makeConnection(self, transport: Any) -> None:
        """Begin on a connected transport: the protocol inside is connected before the handshake."""
        self.transport = transport
        self.connected = True
        self.getHost, self.getPeer = transport.getHost, transport.getPeer
        self._tls = self._wrap(self._incoming, self._outgoing)
        self._socket = transport.getHandle()
        self.wrappedProtocol.makeConnection(self)

    def connectionMade(self) -> None:
        """Called by nobody: ``makeConnection`` does it all."""

    def dataReceived(self, data: bytes) -> None:
        """Take encrypted bytes."""
        if self._read_closed or self._failed or (self.disconnecting and self._shaken):
            return
        self._incoming.write(data)
        if not self._shaken:
            data += self._shake_hands()
        with_data = self._read() if self._shaken and self._incoming.pending else 0
        if self._records is None:  # the whole of a short connection needs no look
            self._early += data
            self._early_with_data += with_data
            if len(self._early) < LOOK_BYTES:
                return
            self._records = Records()
            data, self._early, with_data = self._early, b"", self._early_with_data
        is_over = self.disconnecting or self._failed or self._read_closed
        if not is_over and self._records.are_too_many(data, with_data):
            FAILURES.tell_of_flood(self.getPeer())
            self.abortConnection()

    def _shake_hands(self) -> bytes:
        """Go on with the handshake; return what has come since, which is in ``_incoming``, too."""
        try:
            self._tls.do_handshake()
        except SSLWantReadError:
            self._flush()
            return b""
        except SSLError as error:
            self._fail(error)
            return b""
        come = b""
        if self._tls.version() == "TLSv1.3":
            # Only tickets are left. They leave with the first answer: a packet less, and some clients write
            # in one thread what they read in another, which the arrival of tickets confuses.
            self._tickets = self._outgoing.read()
            come = self._acknowledge()
            self._incoming.write(come)
        else:
            self._flush()
        self._shaken = True
        if self._unsent or self._producer is not None:
            self._flow()
        return come

    def _acknowledge(self) -> bytes:
        """Have the system acknowledge now what has come, because nothing is sent; return what has come then.

        A client that does not set TCP_NODELAY keeps its request back until then: 40 ms on Linux. Others have
        sent it while the handshake was computed. To ask the system is cheaper than a turn of the reactor.
        """
        try:
            if sys.platform == "linux":
                self._socket.setsockopt(IPPROTO_TCP, TCP_QUICKACK, 1)
            come: bytes = b"" if self._incoming.pending else self._socket.recv(_RECORD_MAX)
        except (AttributeError, OSError):  # nothing is there yet; it is a Unix socket, or no socket at all
            return b""
        return come

    def _read(self) -> int:
        """Pass on what has come; return how many records that was."""
        tls, incoming, count = self._tls, self._incoming, 0
        while not self.disconnecting:
            try:
                data = tls.read(_RECORD_MAX)
            except SSLWantReadError:
                break
            except SSLZeroReturnError:  # as below, after we have closed our half
                data = b""
            except SSLError as error:
                self._fail(error)
                break
            if not data:
                self._client_ended()
                break
            count += 1
            self.wrappedProtocol.dataReceived(data)
            if not incoming.pending and not tls.pending():
                break
        if self.connected and self._outgoing.pending:  # such as the refusal of a new handshake
            self._flush()
        return count

    def _client_ended(self) -> None:
        self._read_closed = self.transport.has_ended = True
        if IHalfCloseableProtocol.providedBy(self.wrappedProtocol):
            self.wrappedProtocol.readConnectionLost()
        else:
            self.loseConnection()

    def readConnectionLost(self) -> None:
        """Note that no more bytes come.

        A client that has not said so within TLS is cut off. One that has, and closes TCP besides, has left:
        whoever only waits for an answer does the one without the other. If it takes something still, it is
        found out by that.
        """
        if not self._read_closed and not self._failed:
            self.transport.connectionLost(_CUT_OFF)
        elif self._write_closed or self._failed:
            self.transport.loseConnection()
        elif self._outflow is None:
            self.transport.connectionLost(_LEFT)

    def writeConnectionLost(self) -> None:
        """Note that our half of the connection is closed."""
        if IHalfCloseableProtocol.providedBy(self.wrappedProtocol):
            self.wrappedProtocol.writeConnectionLost()

    def connectionLost(self, reason: Failure) -> None:
        """Clean up: the connection is gone."""
        self._send_no_more()
        inside, self.wrappedProtocol = self.wrappedProtocol, None  # which knows this object
        reason, self._reason = self._reason or reason, None  # whose traceback knows this object
        inside.connectionLost(reason)

    def _fail(self, error: SSLError) -> None:
        self._reason = Failure(error)  # type: ignore[no-untyped-call]
        if not self._shaken:
            FAILURES.tell(error, self.getPeer())
        if not self._shaken and is_plain_http(error):
            self._outgoing.write(PLAIN_REPLY)
        self._flush()  # what is wrong, for the client
        self._write_closed = True
        # What waits can no more be encrypted, and a client that does not read learns nothing.
        if self._outflow is not None:
            self.abortConnection()
        elif self._shaken:
            self.disconnecting = True
            self.transport.loseConnection()
        else:
            # Some of what the client has sent is not read yet, such as the request behind its certificate: a
            # close would reset the connection before it has read what is wrong. It ends it now, or the
            # protocol inside does, for which nothing comes in time.
            self._failed = True
            self._unsent = None
            self.transport.loseWriteConnection()

    # -- reading, as the protocol wants it: IPushProducer --------------------------------------------------

    def pauseProducing(self) -> None:
        """Read no more for now; what was read already still comes."""
        if self.connected:
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Read on."""
        if self.connected and not self.disconnecting:
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()

    # -- what is known of the connection -------------------------------------------------------------------

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """The protocol that was chosen in the handshake (RFC 7301), or None."""
        chosen = self._tls.selected_alpn_protocol()
        return None if chosen is None else chosen.encode()

    @property
    def client_certificate(self) -> ClientCertificate | None:
        """The certificate that the client has shown and that an authority of ours has signed; or None."""
        if self._client is None and (found := self._certificate()):
            from skitai.net.client_certificates import ClientCertificate

            self._client = ClientCertificate(found)
        return self._client

    def _certificate(self) -> Certificate | None:
        found = self._tls.getpeercert(True) if self._shaken else None
        return load_der_x509_certificate(found) if found else None

    def getPeerCertificate(self) -> Any:
        """Return the same as pyOpenSSL has it, which is what Twisted's transports do."""
        from OpenSSL.crypto import X509

        found = self._certificate()
        return found and X509.from_cryptography(found)

    def getTcpNoDelay(self) -> bool:
        """Return whether small pieces are sent at once. As the next three, of TCP only."""
        return bool(self.transport.getTcpNoDelay())

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Send small pieces at once or not."""
        self.transport.setTcpNoDelay(enabled)

    def getTcpKeepAlive(self) -> bool:
        """Return whether it is found out now and then whether the client is still there."""
        return bool(self.transport.getTcpKeepAlive())

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Find that out or not."""
        self.transport.setTcpKeepAlive(enabled)

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        descriptor: int = self.transport.fileno()
        return descriptor
