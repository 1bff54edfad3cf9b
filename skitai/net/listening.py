"""The sockets that the server listens on: ports, Unix sockets, and those that systemd passes on."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Collection, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

import attrs
from twisted.internet.error import CannotListenError, UnsupportedAddressFamily
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Factory

from skitai.errors import SkitaiError
from skitai.net.endpoints import Endpoint, PortEndpoint, UnixEndpoint
from skitai.net.unix_socket import UnixPort, bind_unix

#: How many connections the kernel queues until they are accepted.
BACKLOG = 1024
#: The first descriptor that systemd passes (sd_listen_fds(3)).
_FIRST_INHERITED = 3
_TCP_PROBLEMS = {
    "EADDRINUSE": ("port", "is in use: end the program that listens there or choose another port"),
    "EACCES": ("port", "needs more rights: ports below 1024 are for root, so choose a higher one"),
    "EADDRNOTAVAIL": ("ip", "is not an address of this machine: leave it out to listen on all interfaces"),
}


class ListenError(SkitaiError):
    """An address cannot be listened on; ``key`` is the config key that names it."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


@attrs.frozen
class Listening:
    """A port that listens, and whether its connections are TLS."""

    port: IListeningPort
    tls: bool

    @property
    def url(self) -> str:
        """The URL that people open."""
        return url_of(self.port.getHost(), self.tls)


def listen(
    reactor: Any,
    endpoints: Sequence[Endpoint],
    plain: Factory,
    secure: Factory | None = None,
    inherited: Sequence[int] = (),
) -> list[Listening]:
    """Listen on all of ``endpoints``, and return what listens now, in their order.

    ``secure`` makes the protocols of endpoints with TLS, ``plain`` those of the others.

    ``inherited`` are descriptors of sockets that listen already. They replace all ports, and the Unix sockets
    with the same paths. An inherited socket has TLS if the endpoint with its port or path has; a socket that
    matches no endpoint has TLS if all endpoints have.

    ``::`` takes IPv4 connections, too, if the system does so and no other endpoint has the port. Raises
    ListenError, and then nothing listens. Called in the reactor thread.
    """
    factories: dict[bool, Any] = {False: plain, True: secure}
    found: list[Listening] = []
    names = []
    try:
        for descriptor in inherited:
            with _duplicate(descriptor) as passed:
                tls = _is_tls(passed, endpoints)
                found.append(Listening(_adopt(reactor, passed, descriptor, factories[tls]), tls))
                names.append(passed.getsockname())
        for endpoint in endpoints:
            if not _is_replaced(endpoint, names):
                port = _listen(reactor, endpoint, factories[endpoint.tls], endpoints)
                found.append(Listening(port, endpoint.tls))
    except BaseException:
        for listening in found:
            listening.port.stopListening()
        raise
    return found


def take_inherited(reactor: Any, environ: MutableMapping[str, str]) -> Sequence[int]:
    """Return the descriptors of the sockets that systemd passed to this process.

    Their variables are removed from ``environ``, so that child processes do not take the sockets for theirs.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return _taken_by_twisted(reactor)
    count, _, _ = (environ.pop(name, "") for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"))
    return range(_FIRST_INHERITED, _FIRST_INHERITED + (int(count) if count.isdecimal() else 0))


def _taken_by_twisted(reactor: Any) -> list[int]:
    """Return the descriptors that Twisted took: its endpoints remove the variables when they are imported."""
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


def _duplicate(descriptor: int) -> socket.socket:
    """Return a duplicate of an inherited socket; the original stays open, but children do not inherit it."""
    try:
        os.set_inheritable(descriptor, False)
        passed = socket.socket(fileno=os.dup(descriptor))
    except OSError as error:
        raise _not_adopted(descriptor, error.strerror) from error
    if not passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        passed.close()
        raise _not_adopted(descriptor, "it does not listen")
    return passed


def _is_replaced(endpoint: Endpoint, inherited: Collection[Any]) -> bool:
    """Whether one of the inherited sockets, which have these names, replaces ``endpoint``."""
    return bool(inherited) if isinstance(endpoint, PortEndpoint) else str(endpoint.path) in inherited


def _is_tls(passed: socket.socket, endpoints: Sequence[Endpoint]) -> bool:
    name = passed.getsockname()
    for endpoint in endpoints:
        if isinstance(endpoint, UnixEndpoint):
            if str(endpoint.path) == name:
                return endpoint.tls
        elif isinstance(name, tuple) and name[1] == endpoint.port:
            return endpoint.tls
    return all(endpoint.tls for endpoint in endpoints)


def _adopt(reactor: Any, passed: socket.socket, descriptor: int, factory: Factory) -> IListeningPort:
    """Return a port on a duplicate of ``passed``."""
    passed.setblocking(False)
    if passed.family == socket.AF_UNIX:
        return _started(UnixPort(passed.dup(), factory, reactor, delete=False))
    try:
        port: IListeningPort = reactor.adoptStreamPort(passed.fileno(), passed.family, factory)
    except UnsupportedAddressFamily as error:
        raise _not_adopted(descriptor, "it is neither TCP nor Unix") from error
    return port


def _not_adopted(descriptor: int, reason: object) -> ListenError:
    return ListenError("ip", f"cannot use the inherited socket {descriptor}: {reason}")


def _listen(
    reactor: Any, endpoint: Endpoint, factory: Factory, endpoints: Sequence[Endpoint]
) -> IListeningPort:
    if isinstance(endpoint, UnixEndpoint):
        return _listen_unix(reactor, endpoint, factory)
    sharers = [each for each in endpoints if isinstance(each, PortEndpoint) and each.port == endpoint.port]
    return _listen_tcp(reactor, endpoint, factory, ipv6_only=endpoint.ip == "::" and len(sharers) > 1)


def _listen_tcp(reactor: Any, endpoint: PortEndpoint, factory: Factory, *, ipv6_only: bool) -> IListeningPort:
    try:
        if ipv6_only:  # listenTCP has no option for it
            with socket.create_server(("::", endpoint.port), family=socket.AF_INET6, backlog=BACKLOG) as made:
                made.setblocking(False)
                return reactor.adoptStreamPort(made.fileno(), made.family, factory)  # type: ignore[no-any-return]
        port: IListeningPort = reactor.listenTCP(
            endpoint.port, factory, backlog=BACKLOG, interface=endpoint.ip
        )
    except (CannotListenError, OSError) as error:  # Twisted lets an OSError of listen() through
        cause = getattr(error, "socketError", error)
        name = errno.errorcode.get(getattr(cause, "errno", None) or 0, "")
        key, problem = _TCP_PROBLEMS.get(name, ("port", f"cannot be listened on: {cause}"))
        address = attrs.evolve(endpoint, ip=endpoint.ip or "*", tls=False)
        raise ListenError(key, f"{address} {problem}") from error
    return port


def _listen_unix(reactor: Any, endpoint: UnixEndpoint, factory: Factory) -> IListeningPort:
    try:
        listening = bind_unix(endpoint.path, BACKLOG)
    except OSError as error:
        reason = error.strerror or error
        raise ListenError("unix_socket", f"cannot listen on {endpoint.path}: {reason}") from error
    return _started(UnixPort(listening, factory, reactor, delete=True))


def _started(port: UnixPort) -> UnixPort:
    port.startListening()
    return port


def url_of(address: IAddress, secure: bool) -> str:
    """Return the URL that people open to reach ``address``; for a Unix socket, its path."""
    name = getattr(address, "name", None)
    if name is not None:
        path = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        return f"unix:{path}{' (TLS)' if secure else ''}"
    host, port = address.host, address.port  # type: ignore[attr-defined]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - it is being replaced
    return f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/"
