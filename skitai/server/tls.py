"""TLS for what listens: a certificate, its chain and its key from PEM files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.tls import TLSMemoryBIOFactory

from skitai.server.listening import ListenError


def server_options(certificate: Path, key: Path | None, passphrase: str | None) -> CertificateOptions:
    """Return what connections are secured with: TLS 1.2 or later, with HTTP/1.1 inside.

    ``certificate`` is a file with the certificate, the chain after it and, unless ``key`` is another file,
    the private key; ``passphrase`` opens an encrypted key. Raises ListenError for files that cannot be used.
    """
    leaf, *chain = _certificates(certificate)
    name, file = ("keyfile", key) if key else ("certfile", certificate)
    private_key = _private_key(name, file, passphrase)
    if private_key.public_key() != leaf.public_key():
        raise ListenError(name, f"the key in {file} is not that of the first certificate in {certificate}")
    options = CertificateOptions(
        # Annotated as pyOpenSSL's own, which pyOpenSSL has deprecated.
        privateKey=private_key,
        certificate=leaf,  # type: ignore[arg-type]
        extraCertChain=chain,  # type: ignore[arg-type]
        acceptableProtocols=[b"http/1.1"],
    )
    try:
        options.getContext()
    except (SSL.Error, TypeError, ValueError) as error:  # such as a key that TLS is too weak or too odd for
        raise ListenError(name, f"{file} cannot secure connections: {error}") from error
    return options


def _certificates(file: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read("certfile", file))
    except ValueError as error:
        raise ListenError("certfile", f"{file} holds no certificate in PEM form, or a damaged one") from error


def _private_key(name: str, file: Path, passphrase: str | None) -> Any:
    pem = _read(name, file)
    try:
        # Raises TypeError for a passphrase where none is needed, too: that is no reason to serve nobody.
        return load_pem_private_key(pem, passphrase.encode() if passphrase and b"ENCRYPTED" in pem else None)
    except TypeError as error:
        raise ListenError("passphrase", f"is missing: the key in {file} is encrypted") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if b"ENCRYPTED" in pem:
            raise ListenError("passphrase", f"does not open the key in {file}") from error
        raise ListenError(name, f"{file} holds no private key in PEM form, or a damaged one") from error


def _read(name: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ListenError(name, f"cannot read {file}: {error.strerror}") from error


def with_tls(factory: Factory, options: CertificateOptions, reactor: Any) -> TLSMemoryBIOFactory:
    """Return a factory whose connections are TLS and hand what is inside to those of ``factory``."""
    return TLSMemoryBIOFactory(options, False, factory, clock=reactor)
