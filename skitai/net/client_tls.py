"""TLS with upstream servers: which certificates to trust, and which one to show."""

from __future__ import annotations

from enum import Enum
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import attrs
from OpenSSL.crypto import X509StoreFlags
from OpenSSL.SSL import (
    VERIFY_FAIL_IF_NO_PEER_CERT,
    VERIFY_PEER,
    Connection,
    Context,
    X509VerificationCodes,
)
from service_identity import CertificateError as MalformedError
from service_identity import VerificationError
from service_identity.cryptography import extract_patterns
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.tls import BufferingTLSTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from skitai.net.pem import TLSConfigError, load_certificates, load_identity

#: What stands after "the certificate of HOST " in a message.
_REASONS = {
    X509VerificationCodes.ERR_CERT_HAS_EXPIRED: "has expired",
    X509VerificationCodes.ERR_CERT_NOT_YET_VALID: "is not valid yet",
    X509VerificationCodes.ERR_DEPTH_ZERO_SELF_SIGNED_CERT: "is self-signed and not trusted here",
    X509VerificationCodes.ERR_SELF_SIGNED_CERT_IN_CHAIN: "leads to an authority that is not trusted here",
    X509VerificationCodes.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "is of an issuer that is not known here",
    X509VerificationCodes.ERR_UNABLE_TO_GET_ISSUER_CERT: "is of an issuer that is not known here",
    X509VerificationCodes.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: "is of an issuer that is not known here",
    X509VerificationCodes.ERR_INVALID_PURPOSE: "is not meant for servers",
}
_UNTRUSTED = frozenset(
    (
        X509VerificationCodes.ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
        X509VerificationCodes.ERR_SELF_SIGNED_CERT_IN_CHAIN,
        X509VerificationCodes.ERR_UNABLE_TO_GET_ISSUER_CERT,
        X509VerificationCodes.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
        X509VerificationCodes.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
    )
)


class Fault(Enum):
    """What is wrong with a certificate, as far as that decides on what helps."""

    #: No authority that is known here stands behind it.
    UNTRUSTED = 1
    #: It is for another host.
    OF_ANOTHER = 2
    #: It has expired, or is of no use for another reason.
    USELESS = 3


class PeerCertificateError(Exception):
    """The peer's certificate was refused: the text is what stands after "the certificate of HOST "."""

    def __init__(self, text: str, fault: Fault) -> None:
        super().__init__(text)
        self.fault = fault


@attrs.frozen(cache_hash=True)
class TLSProfile:
    """How to speak TLS with a group of servers.

    ``verify``: refuse a certificate that is not trusted or not for the host. ``ca``: a PEM file with the
    authorities to trust (None: those that the platform trusts). ``certfile``: a client certificate with its
    chain. ``keyfile``: its key (None: it is in ``certfile``), which ``passphrase`` decrypts.
    """

    verify: bool = True
    ca: Path | None = None
    certfile: Path | None = None
    keyfile: Path | None = None
    passphrase: str | None = attrs.field(default=None, repr=False)


class TLSContexts:
    """The OpenSSL contexts of the profiles in use.

    ``default`` is the profile of nodes that have none of their own. The relative paths of a config start from
    ``folder``. Loading the authorities that the platform trusts takes milliseconds, so the context of each
    profile is made once, when it is first needed. Called in the reactor thread.
    """

    def __init__(self, default: TLSProfile, folder: Path = Path()) -> None:
        self.default = default
        self.folder = folder
        self._contexts: dict[TLSProfile, Context] = {}

    def load(self, profile: TLSProfile) -> Context:
        """Return the context of a profile; raise TLSConfigError if its files cannot be used."""
        context = self._contexts.get(profile)
        if context is None:
            context = self._contexts[profile] = _make_context(profile)
        return context

    def creator(self, host: str, profile: TLSProfile | None) -> ClientTLS:
        """Return what secures a connection to ``host``."""
        profile = profile or self.default
        return ClientTLS(self.load(profile), host.rstrip("."))


@implementer(IOpenSSLClientConnectionCreator)
class ClientTLS:
    """Makes TLS connections to ``host``: sends its name (SNI) and has its certificate checked."""

    def __init__(self, context: Context, host: str) -> None:
        self._context = context
        self._host = host
        self._named = not _is_address(host)

    def clientConnectionForTLS(self, protocol: Any) -> Connection:
        """Return a connection for Twisted's TLS ``protocol``, which is told why a certificate is refused."""
        connection = _ClientConnection(self._context, self, protocol)
        if self._named:  # RFC 6066, section 3: never an address
            connection.set_tlsext_host_name(self._host.encode("ascii"))
        return connection

    def objection(self, certificate: Any) -> str | None:
        """Return what is wrong with a certificate that is trusted; None: it is that of the host."""
        wanted = DNS_ID(self._host) if self._named else IPAddress_ID(self._host)
        try:
            verify_service_identity(extract_patterns(certificate.to_cryptography()), [wanted], [])
        except (VerificationError, MalformedError):
            return f"is not for {self._host!r}"
        return None


class _ClientConnection(Connection):
    """A connection of OpenSSL with what ``_check`` needs."""

    def __init__(self, context: Context, tls: ClientTLS, protocol: Any) -> None:
        super().__init__(context)
        self.tls = tls
        self.protocol = protocol


class ClientTransport(BufferingTLSTransport):
    """The transport of a connection with TLS, which is freed when it has ended."""

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        # The caller keeps the failure in a variable, and the traceback of the failure keeps that.
        if reason is not None:
            reason.cleanFailure()  # type: ignore[no-untyped-call]
        super()._tlsShutdownFinished(reason)  # type: ignore[no-untyped-call]


def _check(connection: Any, certificate: Any, code: int, depth: int, ok: int) -> bool:
    """Return whether a certificate is accepted: OpenSSL asks for each one, the server's own (depth 0) last.

    One function for all connections of a context: with one of its own, each would be part of a cycle.
    """
    reason: str | None = None
    fault = Fault.USELESS
    try:
        if not ok:
            reason = _REASONS.get(code, _code_text(code))
            fault = Fault.UNTRUSTED if code in _UNTRUSTED else fault
        elif depth == 0:
            reason, fault = connection.tls.objection(certificate), Fault.OF_ANOTHER
    except Exception as error:  # noqa: BLE001 - whatever it is, the certificate is not accepted
        reason = f"cannot be read: {error}"
    if reason is not None:
        connection.protocol.failVerification(Failure(PeerCertificateError(reason, fault)))  # type: ignore[no-untyped-call]
    return reason is None


def _code_text(code: int) -> str:
    return f"is refused by OpenSSL (X.509 verification code {code})"


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _make_context(profile: TLSProfile) -> Context:
    context = _options(profile).getContext()
    if profile.ca is not None:
        load_certificates("ca", profile.ca)  # its error says what is wrong with the file; OpenSSL's does not
        context.load_verify_locations(str(profile.ca))
        # An authority of the file counts also where the one above it is not there, as for curl.
        store = context.get_cert_store()
        assert store is not None
        store.set_flags(X509StoreFlags.PARTIAL_CHAIN)
    elif profile.verify:
        context.set_default_verify_paths()
    if profile.verify:
        context.set_verify(VERIFY_PEER | VERIFY_FAIL_IF_NO_PEER_CERT, _check)
    return context


def _options(profile: TLSProfile) -> CertificateOptions:
    """Return options with Twisted's choice of versions and ciphers, and with the client certificate."""
    if profile.certfile is not None:
        return load_identity(profile.certfile, profile.keyfile, profile.passphrase).options()
    for name in ("keyfile", "passphrase"):
        if getattr(profile, name) is not None:
            raise TLSConfigError(name, "is of no use without certfile")
    return CertificateOptions()
