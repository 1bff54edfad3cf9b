"""The sockets that the server listens on: a port, a Unix socket, or those that systemd passes on."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Factory

from skitai.errors import SkitaiError

#: Connections that the kernel may hold until they are accepted.
BACKLOG = 1024
#: The first descriptor that systemd passes (sd_listen_fds(3)).
_FIRST_INHERITED = 3


class ListenError(SkitaiError):
    """An address cannot be listened on; ``key`` is the config key that names it."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


@attrs.frozen
class Addresses:
    """Where to listen: ``port`` on ``ip`` (empty: all interfaces) and, unless it is None, ``unix_socket``."""

    ip: str
    port: int
    unix_socket: Path | None = None


def listen(
    reactor: Any, addresses: Addresses, factory: Factory, environ: Mapping[str, str] = os.environ
) -> list[IListeningPort]:
    """Return the ports that now listen: sockets passed by systemd take the place of ip and port.

    Raises ListenError, with nothing left listening. Called in the reactor thread.
    """
    ports: list[IListeningPort] = []
    try:
        inherited = inherited_descriptors(environ)
        for descriptor in inherited:
            ports.append(_adopt(reactor, descriptor, factory))
        if not inherited:
            ports.append(_listen_tcp(reactor, addresses, factory))
        if addresses.unix_socket is not None:
            ports.append(_listen_unix(reactor, addresses.unix_socket, factory))
    except ListenError:
        for port in ports:
            port.stopListening()
        raise
    return ports


def inherited_descriptors(environ: Mapping[str, str]) -> list[int]:
    """Return the descriptors of the sockets that systemd passed to this process, if it did."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = environ.get("LISTEN_FDS", "")
    return list(range(_FIRST_INHERITED, _FIRST_INHERITED + int(count))) if count.isdigit() else []


def _adopt(reactor: Any, descriptor: int, factory: Factory) -> IListeningPort:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as inherited:
            family = inherited.family
        port: IListeningPort = reactor.adoptStreamPort(descriptor, family, factory)
    except (OSError, ValueError) as error:
        raise ListenError("ip", f"cannot use the inherited socket {descriptor}: {error}") from error
    return port


def _listen_tcp(reactor: Any, addresses: Addresses, factory: Factory) -> IListeningPort:
    try:
        port: IListeningPort = reactor.listenTCP(
            addresses.port, factory, backlog=BACKLOG, interface=addresses.ip
        )
    except CannotListenError as error:
        where = f"{addresses.ip or '*'}:{addresses.port}"
        raise ListenError(*_why_not(error.socketError, where)) from error
    return port


def _why_not(error: Any, where: str) -> tuple[str, str]:
    reasons = {
        "EADDRINUSE": ("port", "is in use: end the program that listens there or choose another port"),
        "EACCES": ("port", "needs more rights: ports below 1024 are for root; choose one above"),
        "EADDRNOTAVAIL": ("ip", "is no address of this machine: leave ip empty for all interfaces"),
    }
    name = errno.errorcode.get(getattr(error, "errno", 0) or 0, "")
    key, reason = reasons.get(name, ("port", f"cannot be listened on: {error}"))
    return key, f"{where} {reason}"


def _listen_unix(reactor: Any, path: Path, factory: Factory) -> IListeningPort:
    try:
        # The lock beside the socket tells a live server from a socket that a crash left behind.
        port: IListeningPort = reactor.listenUNIX(str(path), factory, backlog=BACKLOG, wantPID=True)
    except (CannotListenError, OSError) as error:
        reason = getattr(error, "socketError", error)
        raise ListenError("unix_socket", f"cannot listen on {path}: {reason}") from error
    return port


def url_of(address: IAddress, secure: bool) -> str:
    """Return how a person reaches ``address``."""
    name = getattr(address, "name", None)
    if name is not None:
        return "unix:" + (name.decode(errors="replace") if isinstance(name, bytes) else str(name))
    host, port = address.host, address.port  # type: ignore[attr-defined]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - it is being replaced
    return f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/"
