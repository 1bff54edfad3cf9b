"""TLS for ports that listen: a certificate for each name, sessions that are resumed by every worker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

import attrs
from cryptography.x509 import Certificate
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.interfaces import IAddress, IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from zope.interface import implementer, providedBy
from zope.interface.declarations import Provides

from skitai.net.certificates import Loaded
from skitai.net.client_certificates import ClientCertificate
from skitai.net.pem import Identity, TLSConfigError

#: What a connection may carry, the best first (RFC 7301).
PROTOCOLS = (b"http/1.1",)
HTTP2_PROTOCOLS = (b"h2", *PROTOCOLS)
#: Mozilla's intermediate configuration without DHE; the suites of TLS 1.3 are OpenSSL's own.
_CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    b"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)


@attrs.define(eq=False)
class Shown:
    """A certificate that is shown now, and the context of connections that show it."""

    loaded: Loaded
    context: SSL.Context


@implementer(IOpenSSLServerConnectionCreator)
class ServerTLS:
    """Gives each connection the certificate for the name that its client asks for (RFC 6066, section 3).

    ``default`` is shown to all that ask for no name or for one that none is added for. Raises TLSConfigError
    where OpenSSL refuses it as too weak. ``clients`` are authorities: if there are any, each client is asked
    for a certificate, and one that none of them has signed ends the handshake. TLS 1.3 cannot ask later.

    Connections begin on one context, the first. What encrypts the tickets of sessions (RFC 8446, section 2.2;
    RFC 5077) stays with that, whatever certificate is shown. So processes that are forked from this one
    resume each other's sessions, also when each of them has renewed its certificates.
    """

    def __init__(
        self, default: Loaded, protocols: Sequence[bytes] = PROTOCOLS, clients: Sequence[Certificate] = ()
    ) -> None:
        self._protocols = tuple(protocols)
        self._clients = tuple(clients)
        self._default = self._make(default)
        self._others: list[Shown] = []
        self._by_name: dict[bytes, Shown] = {}
        self._first = self._default.context
        self._first.set_tlsext_servername_callback(self._choose)

    def __iter__(self) -> Iterator[Shown]:
        """Return the certificates that are shown now, the default first."""
        yield self._default
        yield from self._others

    def add(self, loaded: Loaded) -> None:
        """Show a certificate for the names of its source; raise TLSConfigError if OpenSSL refuses it."""
        shown = self._make(loaded)
        self._others.append(shown)
        self._by_name.update({name.encode(): shown for name in loaded.source.names})

    def renew(self, shown: Shown, loaded: Loaded) -> None:
        """Show ``loaded`` to new clients in the place of ``shown``; raise TLSConfigError as ``add``.

        Connections go on as they are. Called in the reactor thread.
        """
        shown.context = self._make(loaded).context
        shown.loaded = loaded

    def serverConnectionForTLS(self, tls_protocol: Any) -> SSL.Connection:
        """Return the connection of a new client. Called in the reactor thread."""
        connection = SSL.Connection(self._first, None)
        connection.set_accept_state()
        connection.set_app_data(tls_protocol)
        return connection

    def _choose(self, connection: SSL.Connection) -> None:
        """Let the connection go on with the certificate of the name that the client has sent, if any."""
        context = self._shown_for(connection.get_servername()).context
        if context is not self._first:
            connection.set_context(context)

    def _shown_for(self, name: bytes | None) -> Shown:
        if not name or not self._by_name:
            return self._default
        name = name.lower()
        found = self._by_name.get(name) or self._by_name.get(b"*." + name.partition(b".")[2])
        return found or self._default

    def _make(self, loaded: Loaded) -> Shown:
        return Shown(loaded, _context(loaded.identity, self._protocols, self._clients))


def _context(identity: Identity, protocols: Sequence[bytes], clients: Sequence[Certificate]) -> SSL.Context:
    """Return the context of connections that show ``identity``: TLS 1.2 or later, without renegotiation."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # an idle connection takes less memory
    context.set_cipher_list(_CIPHERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # tickets need none
    # A ticket holds for all names: contexts must agree on it.
    context.set_session_id(sha256(b"skitai").digest())
    try:
        context.use_certificate(identity.certificate)
        for each in identity.chain:
            context.add_extra_chain_cert(each)
        context.use_privatekey(identity.private_key)
        context.check_privatekey()
    except (SSL.Error, TypeError, ValueError) as error:
        message = f"{identity.key_file} cannot secure connections: {error}"
        raise TLSConfigError(identity.key_name, message) from error

    def select(_: SSL.Connection, offered: list[bytes]) -> Any:
        return next((each for each in protocols if each in offered), SSL.NO_OVERLAPPING_PROTOCOLS)

    context.set_alpn_select_callback(select)
    for each in clients:
        store = context.get_cert_store()
        assert store is not None
        store.add_cert(X509.from_cryptography(each))
        context.add_client_ca(each)
    if clients:
        # What fails is refused: a session would be resumed as if it had succeeded.
        context.set_verify(SSL.VERIFY_PEER)
    return context


#: What the TLS of a connection provides, by the type of the transport below.
_provided: dict[type, Any] = {}


class TLSTransport(BufferingTLSTransport):
    """The TLS of one connection."""

    _client: ClientCertificate | None = None

    def makeConnection(self, transport: Any) -> None:
        """Begin the handshake on ``transport``, with the protocol inside connected.

        As Twisted's, which puts together anew each time what interfaces ``transport`` and this provide: that
        is a twentieth of what a connection costs.
        """
        kind = type(transport)
        if kind not in _provided:
            _provided[kind] = Provides(type(self), providedBy(transport))
        self.__provides__ = _provided[kind]
        self._tlsConnection = self.factory._creatorCallable(self)
        self._appSendBuffer: list[bytes] = []
        self.connected = 1
        self.transport = transport
        self.factory.registerProtocol(self)  # type: ignore[no-untyped-call]
        self.wrappedProtocol.makeConnection(self)
        self._checkHandshakeStatus()  # type: ignore[no-untyped-call]

    @property
    def client_certificate(self) -> ClientCertificate | None:
        """The certificate that the client has shown and that an authority of ours has signed; or None."""
        if self._client is None:
            handle: SSL.Connection | None = self.getHandle()  # type: ignore[no-untyped-call]
            found = None if handle is None else handle.get_peer_certificate(as_cryptography=True)
            self._client = None if found is None else ClientCertificate(found)
        return self._client


class _TLSFactory(TLSMemoryBIOFactory):
    """Makes no connection if the wrapped factory returns no protocol, which Twisted's does not expect."""

    protocol = TLSTransport

    def buildProtocol(self, addr: IAddress | None) -> Any:
        inside = self.wrappedFactory.buildProtocol(addr)
        return None if inside is None else self.protocol(self, inside)


def with_tls(factory: Factory, options: ServerTLS, reactor: Any) -> TLSMemoryBIOFactory:
    """Return a factory whose connections are TLS, with the protocols of ``factory`` inside."""
    return _TLSFactory(options, False, factory, clock=reactor)
