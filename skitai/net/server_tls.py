"""TLS for ports that listen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.tls import TLSMemoryBIOFactory

from skitai.net.pem import TLSConfigError, load_identity
from skitai.net.sockets import ListenError


def server_options(certificate: Path, key: Path | None, passphrase: str | None) -> CertificateOptions:
    """Return the options of connections: TLS 1.2 or later, with HTTP/1.1 inside.

    ``certificate`` is a file with the certificate, the chain after it and, unless ``key`` is another file,
    the private key. ``passphrase`` decrypts the key. Raises ListenError for files that cannot be used.

    Clients may resume sessions by tickets (RFC 8446, section 2.2; RFC 5077). The key of these is in the
    options, so processes that are forked after this resume each other's.
    """
    try:
        identity = load_identity(certificate, key, passphrase)
        return identity.options(acceptableProtocols=[b"http/1.1"], enableSessionTickets=True)
    except TLSConfigError as error:
        raise ListenError(error.key, str(error)) from error


class _TLSFactory(TLSMemoryBIOFactory):
    """Makes no connection if the wrapped factory returns no protocol, which Twisted's does not expect."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        inside = self.wrappedFactory.buildProtocol(addr)
        return None if inside is None else self.protocol(self, inside)


def with_tls(factory: Factory, options: CertificateOptions, reactor: Any) -> TLSMemoryBIOFactory:
    """Return a factory whose connections are TLS, with the protocols of ``factory`` inside."""
    return _TLSFactory(options, False, factory, clock=reactor)
