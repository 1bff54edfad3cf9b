"""TLS for what listens: a certificate, its chain and its key from PEM files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from OpenSSL import SSL, crypto
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.tls import TLSMemoryBIOFactory

from skitai.server.listening import ListenError

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def with_tls(
    factory: Factory, certificate: Path, key: Path | None, passphrase: str | None, reactor: Any
) -> TLSMemoryBIOFactory:
    """Return a factory whose connections are TLS.

    ``certificate`` is a file with the certificate, the chain after it and, unless ``key`` is another file,
    the private key; ``passphrase`` opens an encrypted key. Raises ListenError for files that cannot be used.
    """
    name, file = "certfile", certificate
    try:
        chain = [
            crypto.load_certificate(crypto.FILETYPE_PEM, pem)
            for pem in _CERTIFICATE.findall(certificate.read_bytes())
        ]
        if not chain:
            raise ListenError("certfile", f"{certificate} holds no certificate in PEM form")
        name, file = ("keyfile", key) if key is not None else (name, file)
        # Without a passphrase OpenSSL would ask for one on the terminal, and wait.
        secret = (passphrase or "").encode()
        private_key = crypto.load_privatekey(crypto.FILETYPE_PEM, file.read_bytes(), secret)
        options = CertificateOptions(
            privateKey=private_key,
            certificate=chain[0],
            extraCertChain=chain[1:],
            acceptableProtocols=[b"http/1.1"],
        )
        options.getContext().check_privatekey()
    except (SSL.Error, crypto.Error, OSError, ValueError) as error:
        reason = "wrong passphrase, or no key in PEM form" if isinstance(error, crypto.Error) else error
        raise ListenError(name, f"cannot use {file}: {reason}") from error
    return TLSMemoryBIOFactory(options, False, factory, clock=reactor)
