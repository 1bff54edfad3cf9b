"""The sockets that the server listens on: a port, a Unix socket, or those that systemd passes on."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.error import CannotListenError, UnsupportedAddressFamily
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Factory

from skitai.errors import SkitaiError
from skitai.net.unix_socket import UnixPort, bind_unix

#: Connections that the kernel may hold until they are accepted.
BACKLOG = 1024
#: The first descriptor that systemd passes (sd_listen_fds(3)).
_FIRST_INHERITED = 3
_TCP_PROBLEMS = {
    "EADDRINUSE": ("port", "is in use: end the program that listens there or choose another port"),
    "EACCES": ("port", "needs more rights: ports below 1024 are for root; choose one above"),
    "EADDRNOTAVAIL": ("ip", "is no address of this machine: leave ip empty for all interfaces"),
}


class ListenError(SkitaiError):
    """An address cannot be listened on; ``key`` is the config key that names it."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


@attrs.frozen
class Addresses:
    """Where to listen: ``port`` on ``ip`` (empty: all interfaces) and, unless it is None, ``unix_socket``.

    ``inherited`` are descriptors of sockets that listen already: they take the place of ip and port.
    """

    ip: str
    port: int
    unix_socket: Path | None = None
    inherited: Sequence[int] = ()


def listen(reactor: Any, addresses: Addresses, factory: Factory) -> list[IListeningPort]:
    """Return the ports that now listen.

    Raises ListenError, with nothing left listening. Called in the reactor thread.
    """
    ports: list[IListeningPort] = []
    try:
        for descriptor in addresses.inherited:
            ports.append(_adopt(reactor, descriptor, factory))
        if not addresses.inherited:
            ports.append(_listen_tcp(reactor, addresses, factory))
        if addresses.unix_socket is not None:
            ports.append(_listen_unix(reactor, addresses.unix_socket, factory))
    except ListenError:
        for port in ports:
            port.stopListening()
        raise
    return ports


def take_inherited(reactor: Any, environ: MutableMapping[str, str]) -> Sequence[int]:
    """Return the descriptors of the sockets that systemd passed to this process, if it did.

    What tells of them is removed from ``environ``, so that child processes do not take them for theirs.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return _taken_by_twisted(reactor)
    count, _, _ = (environ.pop(name, "") for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"))
    return range(_FIRST_INHERITED, _FIRST_INHERITED + (int(count) if count.isdecimal() else 0))


def _taken_by_twisted(reactor: Any) -> list[int]:
    """Return the same as far as Twisted knows: who imports its endpoints makes it take the variables away."""
    if "twisted.internet.endpoints" not in sys.modules:
        return []
    from twisted.internet.endpoints import AdoptedStreamServerEndpoint, serverFromString

    taken: list[int] = []
    with suppress(IndexError):
        while True:
            endpoint = serverFromString(  # type: ignore[no-untyped-call]
                reactor, f"systemd:domain=INET:index={len(taken)}"
            )
            assert isinstance(endpoint, AdoptedStreamServerEndpoint)
            taken.append(endpoint.fileno)
    return taken


def _adopt(reactor: Any, descriptor: int, factory: Factory) -> IListeningPort:
    """Return a port on a duplicate of an inherited socket; the original stays open, unseen by children."""
    try:
        os.set_inheritable(descriptor, False)
        inherited = socket.socket(fileno=os.dup(descriptor))
    except OSError as error:
        raise _not_adopted(descriptor, error.strerror) from error
    with inherited:  # what it listens with is a duplicate, too
        if not inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise _not_adopted(descriptor, "it does not listen")
        inherited.setblocking(False)
        if inherited.family == socket.AF_UNIX:
            return _started(UnixPort(inherited.dup(), factory, reactor, delete=False))
        try:
            port: IListeningPort = reactor.adoptStreamPort(inherited.fileno(), inherited.family, factory)
        except UnsupportedAddressFamily as error:
            raise _not_adopted(descriptor, "it is neither TCP nor Unix") from error
        return port


def _not_adopted(descriptor: int, reason: object) -> ListenError:
    return ListenError("ip", f"cannot use the inherited socket {descriptor}: {reason}")


def _listen_tcp(reactor: Any, addresses: Addresses, factory: Factory) -> IListeningPort:
    try:
        port: IListeningPort = reactor.listenTCP(
            addresses.port, factory, backlog=BACKLOG, interface=addresses.ip
        )
    except (CannotListenError, OSError) as error:  # listen() itself may fail, too
        cause = getattr(error, "socketError", error)
        name = errno.errorcode.get(getattr(cause, "errno", None) or 0, "")
        key, problem = _TCP_PROBLEMS.get(name, ("port", f"cannot be listened on: {cause}"))
        raise ListenError(key, f"{addresses.ip or '*'}:{addresses.port} {problem}") from error
    return port


def _listen_unix(reactor: Any, path: Path, factory: Factory) -> IListeningPort:
    try:
        listening = bind_unix(path, BACKLOG)
    except OSError as error:
        raise ListenError("unix_socket", f"cannot listen on {path}: {error.strerror or error}") from error
    return _started(UnixPort(listening, factory, reactor, delete=True))


def _started(port: UnixPort) -> UnixPort:
    port.startListening()
    return port


def url_of(address: IAddress, secure: bool) -> str:
    """Return how a person reaches ``address``."""
    name = getattr(address, "name", None)
    if name is not None:
        path = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        return f"unix:{path}{' (TLS)' if secure else ''}"
    host, port = address.host, address.port  # type: ignore[attr-defined]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - it is being replaced
    return f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/"
