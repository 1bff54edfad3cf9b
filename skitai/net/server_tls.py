"""TLS for ports that listen: a certificate for each name, sessions that are resumed by every worker."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Iterator, Sequence
from functools import partial
from ssl import SSLContext
from tempfile import NamedTemporaryFile
from typing import Any

import attrs
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509 import Certificate
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from skitai.net.certificates import Loaded
from skitai.net.pem import Identity, TLSConfigError
from skitai.net.tls_names import quieten
from skitai.net.tls_transport import TLSTransport, Wrap

#: What a connection may carry, the best first (RFC 7301).
PROTOCOLS = ("http/1.1",)
HTTP2_PROTOCOLS = ("h2", *PROTOCOLS)
#: Mozilla's intermediate configuration without DHE; the suites of TLS 1.3 are OpenSSL's own.
_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)


@attrs.define(eq=False)
class Shown:
    """A certificate that is shown now, and the context of connections that show it."""

    loaded: Loaded
    context: SSLContext


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
        self, default: Loaded, protocols: Sequence[str] = PROTOCOLS, clients: Sequence[Certificate] = ()
    ) -> None:
        self._protocols = tuple(protocols)
        self._clients = tuple(clients)
        self._default = self._make(default)
        self._others: list[Shown] = []
        self._by_name: dict[str, Shown] = {}
        self._first = self._default.context
        #: Returns the TLS of a new client between two buffers: a ``tls_sending.TLSObject``.
        self.wrap: Wrap = partial(self._first._wrap_bio, server_side=True)  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[Shown]:
        """Return the certificates that are shown now, the default first."""
        yield self._default
        yield from self._others

    def add(self, loaded: Loaded) -> None:
        """Show a certificate for the names of its source; raise TLSConfigError if OpenSSL refuses it."""
        shown = self._make(loaded)
        self._others.append(shown)
        self._by_name.update(dict.fromkeys(loaded.source.names, shown))
        self._ask_for_names()

    def renew(self, shown: Shown, loaded: Loaded) -> None:
        """Show ``loaded`` to new clients in the place of ``shown``; raise TLSConfigError as ``add``.

        Connections go on as they are. Called in the reactor thread.
        """
        shown.context = self._make(loaded).context
        shown.loaded = loaded
        self._ask_for_names()

    def _ask_for_names(self) -> None:
        """Have ``_choose`` called from now on. As long as there is one context, there is nothing to choose.

        A name that is not ASCII, which breaks RFC 6066, ends the handshake then: ssl cannot decode it.
        """
        quieten()
        self._first.sni_callback = self._choose

    def _choose(self, connection: Any, name: str | None, _: SSLContext) -> None:
        """Let the connection go on with the certificate of the name that the client has sent, if any."""
        context = self._shown_for(name).context
        if context is not self._first:
            connection.context = context

    def _shown_for(self, name: str | None) -> Shown:
        if not name or not self._by_name:
            return self._default
        name = name.lower()
        found = self._by_name.get(name) or self._by_name.get("*." + name.partition(".")[2])
        return found or self._default

    def _make(self, loaded: Loaded) -> Shown:
        return Shown(loaded, _context(loaded.identity, self._protocols, self._clients))


def _context(identity: Identity, protocols: Sequence[str], clients: Sequence[Certificate]) -> SSLContext:
    """Return the context of connections that show ``identity``: TLS 1.2 or later, without renegotiation."""
    context = SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE  # clients know what they do fast
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(protocols)
    # A ticket for one later connection: a resumed one brings the next, and with HTTP/2 there are no others.
    context.num_tickets = 1
    try:
        _show(context, identity)
    except (ssl.SSLError, TypeError, ValueError) as error:
        message = f"{identity.key_file} cannot secure connections: {error}"
        raise TLSConfigError(identity.key_name, message) from error
    if clients:
        context.load_verify_locations(cadata=b"".join(each.public_bytes(Encoding.DER) for each in clients))
        # An authority counts also where the one above it is not in the list, as for curl and Python 3.13.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        # What fails is refused: a session would be resumed as if it had succeeded.
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _show(context: SSLContext, identity: Identity) -> None:
    """Have ``context`` show ``identity``: by a file, because ssl takes no certificate from memory.

    The key in it is encrypted with a password that nobody else learns.
    """
    password = secrets.token_bytes(32)
    encryption = BestAvailableEncryption(password)
    with NamedTemporaryFile(prefix="skitai-") as file:
        for each in (identity.certificate, *identity.chain):
            file.write(each.public_bytes(Encoding.PEM))
        file.write(identity.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        file.flush()
        context.load_cert_chain(file.name, password=password)


class _TLSFactory(Factory):
    """Makes connections with TLS, and within them the protocols of ``wrappedFactory``.

    All methods are called in the reactor thread.
    """

    noisy = False

    def __init__(self, tls: ServerTLS, factory: Factory) -> None:
        self.wrappedFactory = factory
        self._tls = tls

    def doStart(self) -> None:
        """Begin, and the factory inside with it."""
        super().doStart()  # type: ignore[no-untyped-call]
        self.wrappedFactory.doStart()  # type: ignore[no-untyped-call]

    def doStop(self) -> None:
        """End, and the factory inside with it."""
        super().doStop()  # type: ignore[no-untyped-call]
        self.wrappedFactory.doStop()  # type: ignore[no-untyped-call]

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Return what decrypts a new connection; None if the factory inside refuses it."""
        inside = self.wrappedFactory.buildProtocol(addr)
        return None if inside is None else TLSTransport(self._tls.wrap, inside)


def with_tls(factory: Factory, tls: ServerTLS) -> Factory:
    """Return a factory whose connections are TLS, with the protocols of ``factory`` inside."""
    return _TLSFactory(tls, factory)
