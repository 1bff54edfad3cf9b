"""The TLS of a server: certificates from the config, with TLS around the connections that want it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from time import time
from typing import TYPE_CHECKING, Any

from skitai.config import Config
from skitai.config.certificates import CertificateConfig
from skitai.errors import ConfigError
from skitai.plugins.metrics import Metric, lowest
from skitai.plugins.mounting import CLIENT_CERT
from skitai.processes import State

if TYPE_CHECKING:
    from cryptography import x509
    from twisted.internet.protocol import Factory

    from skitai.net.certificates import Loaded, Source
    from skitai.net.pem import TLSConfigError
    from skitai.net.renewing import Renewal
    from skitai.net.server_tls import ServerTLS
    from skitai.processes.board import Board, Slot


class Secure:
    """Gives the connections of a factory TLS; ``warnings`` are sentences on the certificates for the user."""

    def __init__(self, tls: ServerTLS, reactor: Any, warnings: tuple[str, ...]) -> None:
        self.warnings = warnings
        self._tls = tls
        self._reactor = reactor
        self._renewal: Renewal | None = None

    def __call__(self, factory: Factory) -> Any:
        """Return a factory whose connections are TLS, with the protocols of ``factory`` inside."""
        from skitai.net.server_tls import with_tls

        return with_tls(factory, self._tls)

    def start(self, board: Board, slot: Slot) -> None:
        """Begin to look at the files, in the worker that has this ``slot``. Called in the reactor thread."""
        from skitai.net.renewing import Renewal

        def speaks() -> bool:
            """Whether this is the first worker of those that serve: one is enough to warn."""
            first = next((each for each in board if each.state == State.READY), None)
            return first is not None and first.number == slot.number

        self._renewal = Renewal(self._tls, self._reactor, speaks)
        self._renewal.start()

    def stop(self) -> None:
        """Look no longer. Called in the reactor thread."""
        if self._renewal is not None:
            self._renewal.stop()

    def metrics(self) -> Iterator[Metric]:
        """Return until when the certificates are valid that this worker shows."""
        from skitai.net.certificates import ends

        moments = {
            name: ends(shown.loaded.identity.certificate)
            for shown in self._tls
            for name in shown.loaded.source.names or ("default",)
        }
        text = "Until when the certificate for a name is valid, since the epoch; the worst of the workers."
        yield lowest("skitai_certificate_expires_timestamp_seconds", text, moments, "name")


def make_secure(config: Config, reactor: Any) -> Secure | None:
    """Return what gives a factory's connections TLS; None where nothing listens with it.

    Raises ConfigError for files that cannot be used.
    """
    if not config.server.any_tls:
        return None
    from skitai.net.pem import TLSConfigError  # OpenSSL is imported only where it is needed
    from skitai.net.server_tls import HTTP2_PROTOCOLS, PROTOCOLS, ServerTLS

    clients = _authorities(config)
    protocols = HTTP2_PROTOCOLS if config.server.http2 else PROTOCOLS
    tls: ServerTLS | None = None
    warnings: list[str] = []
    if config.server.client_ca is not None and not clients:
        warnings.append(str(config.error("client_ca", "has no effect, as no route has client_cert")))
    for source, blame in (_default(config), *(_other(config, line) for line in config.certificates)):
        try:
            loaded = source.read()
            if tls is None:
                tls = ServerTLS(loaded, protocols, clients=clients)
            else:
                tls.add(loaded)
        except TLSConfigError as error:
            raise blame(error) from error
        warnings += [str(blame(TLSConfigError("certfile", text))) for text in _doubts(loaded)]
    assert tls is not None
    return Secure(tls, reactor, tuple(warnings))


def _authorities(config: Config) -> list[x509.Certificate]:
    """Return the authorities of clients if any mount wants to know its clients."""
    from skitai.net.pem import TLSConfigError, load_certificates

    file = config.server.client_ca
    mounts = (mount for host in config.hosts for mount in host.mounts)
    if file is None or not any(CLIENT_CERT in mount.options for mount in mounts):
        return []
    try:
        return load_certificates("client_ca", file)
    except TLSConfigError as error:
        raise config.error(error.key, str(error)) from error


Blame = Callable[["TLSConfigError"], ConfigError]


def _default(config: Config) -> tuple[Source, Blame]:
    """Return the certificate of [server], and what points at its key in the config."""
    from skitai.net.certificates import Source
    from skitai.net.pem import load_identity

    server = config.server
    assert server.certfile is not None
    files = (server.certfile, server.keyfile) if server.keyfile else (server.certfile,)
    load = partial(load_identity, server.certfile, server.keyfile, server.passphrase)
    return Source((), files, load), lambda error: config.error(error.key, str(error))


def _other(config: Config, line: CertificateConfig) -> tuple[Source, Blame]:
    """Return the certificate of a line, and what points at that line."""
    from skitai.net.certificates import Source
    from skitai.net.pem import load_files

    load = partial(load_files, line.files, line.passphrase or config.server.passphrase)
    return Source(line.names, line.files, load), lambda error: line.error(error.sentence)


def _doubts(loaded: Loaded) -> list[str]:
    """Return what clients may not like about a certificate."""
    from skitai.net.certificates import broken_chain, ending, not_covered

    identity = loaded.identity
    file, certificate = loaded.source.files[0], identity.certificate
    said = ending(certificate, time())
    found = [f"the certificate in {file} {said}"] if said else []
    if others := not_covered(certificate, loaded.source.names):
        found.append(f"the certificate in {file} is not for {', '.join(others)}: clients refuse it")
    if broken := broken_chain(identity):
        found.append(f"{file} {broken}")
    return found
