"""The TLS of a server: certificates from the config, with TLS around the connections that want it."""

from __future__ import annotations

from functools import partial
from time import time
from typing import TYPE_CHECKING, Any

from skitai.config import Config
from skitai.config.certificates import CertificateConfig
from skitai.errors import ConfigError

if TYPE_CHECKING:
    from twisted.internet.protocol import Factory

    from skitai.net.certificates import Source
    from skitai.net.pem import Identity
    from skitai.net.server_tls import ServerTLS


class Secure:
    """Gives the connections of a factory TLS; ``warnings`` are sentences on the certificates for the user."""

    def __init__(self, tls: ServerTLS, reactor: Any, warnings: tuple[str, ...]) -> None:
        self.tls = tls
        self.warnings = warnings
        self._reactor = reactor

    def __call__(self, factory: Factory) -> Any:
        """Return a factory whose connections are TLS, with the protocols of ``factory`` inside."""
        from skitai.net.server_tls import with_tls

        return with_tls(factory, self.tls, self._reactor)


def make_secure(config: Config, reactor: Any) -> Secure | None:
    """Return what gives a factory's connections TLS; None where nothing listens with it.

    Raises ConfigError for files that cannot be used.
    """
    if not config.server.any_tls:
        return None
    from skitai.net.pem import TLSConfigError  # OpenSSL is imported only where it is needed
    from skitai.net.server_tls import ServerTLS

    tls: ServerTLS | None = None
    warnings: list[str] = []
    for source, blame in (_default(config), *(_other(config, line) for line in config.certificates)):
        try:
            identity = source.load()
            if tls is None:
                tls = ServerTLS(source, identity)
            else:
                tls.add(source, identity)
        except TLSConfigError as error:
            raise blame(error.key, str(error)) from error
        warnings += [str(blame("certfile", text)) for text in _doubts(source, identity)]
    assert tls is not None
    return Secure(tls, reactor, tuple(warnings))


def _default(config: Config) -> tuple[Source, Any]:
    from skitai.net.certificates import Source
    from skitai.net.pem import load_identity

    server = config.server
    assert server.certfile is not None
    files = (server.certfile, server.keyfile) if server.keyfile else (server.certfile,)
    load = partial(load_identity, server.certfile, server.keyfile, server.passphrase)
    return Source((), files, load), config.error


def _other(config: Config, line: CertificateConfig) -> tuple[Source, Any]:
    from skitai.net.certificates import Source
    from skitai.net.pem import load_files

    def blame(key: str, message: str) -> ConfigError:
        return line.error(f"passphrase {message}" if key == "passphrase" else message)

    load = partial(load_files, line.files, line.passphrase or config.server.passphrase)
    return Source(line.names, line.files, load), blame


def _doubts(source: Source, identity: Identity) -> list[str]:
    """Return what clients may not like about a certificate."""
    from skitai.net.certificates import ending, not_covered

    file, certificate = source.files[0], identity.certificate
    said = ending(certificate, time())
    found = [f"the certificate in {file} {said}"] if said else []
    if others := not_covered(certificate, source.names):
        found.append(f"the certificate in {file} is not for {', '.join(others)}: clients refuse it")
    return found
