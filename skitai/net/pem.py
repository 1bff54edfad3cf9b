"""Certificates and private keys from PEM files, for servers and clients."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from twisted.internet.ssl import CertificateOptions

#: The end of the line before each kind of private key.
_KEY = b"PRIVATE KEY-----"


class TLSConfigError(ValueError):
    """TLS cannot be set up as configured: ``key`` is the config key to blame."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)

    @property
    def sentence(self) -> str:
        """The message for a place where the key is not named."""
        return f"{self.key} {self}" if self.key == "passphrase" else str(self)


@attrs.frozen
class Identity:
    """What one side proves itself with: a certificate, the chain after it, and the private key.

    The private key came from ``key_file``, which the config key ``key_name`` names.
    """

    certificate: x509.Certificate
    chain: list[x509.Certificate]
    private_key: Any = attrs.field(repr=False)
    key_name: str
    key_file: Path

    def options(self, **options: Any) -> CertificateOptions:
        """Return Twisted's options with it; raise TLSConfigError if OpenSSL refuses it as too weak."""
        result = CertificateOptions(
            # Twisted annotates these with pyOpenSSL's certificates, which pyOpenSSL has deprecated.
            privateKey=self.private_key,
            certificate=self.certificate,  # type: ignore[arg-type]
            extraCertChain=self.chain,  # type: ignore[arg-type]
            **options,
        )
        try:
            result.getContext()
        except (SSL.Error, TypeError, ValueError) as error:
            message = f"{self.key_file} cannot secure connections: {error}"
            raise TLSConfigError(self.key_name, message) from error
        return result


def load_identity(certfile: Path, keyfile: Path | None, passphrase: str | None) -> Identity:
    """Return the certificate, chain and private key that two files hold; one, if ``keyfile`` is None.

    ``passphrase`` decrypts the key. Raises TLSConfigError for files that cannot be used.
    """
    certificates = load_certificates("certfile", certfile)
    name, file = ("keyfile", keyfile) if keyfile else ("certfile", certfile)
    return _identity(certificates, certfile, name, file, passphrase)


def load_files(files: Sequence[Path], passphrase: str | None) -> Identity:
    """Return the identity in several files that count as one: the certificate, its chain and the key.

    The first certificate of the first file is the identity's own; the last key counts. ``passphrase``
    decrypts it. Raises TLSConfigError, whose key is of no use, for files that cannot be used.
    """
    certificates: list[x509.Certificate] = []
    key_file = files[-1]
    for file in files:
        pem = _read("files", file)
        if file is files[0] or b"-----BEGIN CERTIFICATE" in pem:
            found = load_certificates("files", file)
            certificates += [each for each in found if each not in certificates]
        elif _KEY not in pem:
            raise TLSConfigError("files", f"{file} holds neither a certificate nor a key in PEM form")
        if _KEY in pem:
            key_file = file
    return _identity(certificates, files[0], "files", key_file, passphrase)


def _identity(
    certificates: Sequence[x509.Certificate], certfile: Path, name: str, keyfile: Path, passphrase: str | None
) -> Identity:
    leaf, *chain = certificates
    private_key = _private_key(name, keyfile, passphrase)
    if private_key.public_key() != leaf.public_key():
        message = f"the key in {keyfile} is not that of the first certificate in {certfile}"
        raise TLSConfigError(name, message)
    return Identity(leaf, chain, private_key, name, keyfile)


def load_certificates(name: str, file: Path) -> list[x509.Certificate]:
    """Return the certificates in a file, at least one; raise TLSConfigError blaming the key ``name``."""
    pem = _read(name, file)
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        message = f"{file} holds no certificate in PEM form, or a damaged one"
        raise TLSConfigError(name, message) from error


def _private_key(name: str, file: Path, passphrase: str | None) -> Any:
    pem = _read(name, file)
    try:
        # A passphrase for a key that is not encrypted raises TypeError. It does no harm, so it is left out.
        return load_pem_private_key(pem, passphrase.encode() if passphrase and b"ENCRYPTED" in pem else None)
    except TypeError as error:
        raise TLSConfigError("passphrase", f"is missing: the key in {file} is encrypted") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if b"ENCRYPTED" in pem:
            raise TLSConfigError("passphrase", f"does not open the key in {file}") from error
        message = f"{file} holds no private key in PEM form, or a damaged one"
        if _KEY not in pem:
            hint = {
                "certfile": ": name the file of the key in keyfile",
                "files": ": name it behind the certificate",
            }
            message = f"{file} holds no private key in PEM form{hint.get(name, '')}"
        raise TLSConfigError(name, message) from error


def _read(name: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise TLSConfigError(name, f"cannot read {file}: {error.strerror}") from error
