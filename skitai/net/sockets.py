"""Listening sockets before any reactor: made as the config says, or taken over from whoever passed them."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Collection, MutableMapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import attrs
from twisted.logger import Logger

from skitai.errors import SkitaiError
from skitai.net.endpoints import Endpoint, PortEndpoint, UnixEndpoint
from skitai.net.unix_files import bind_unix, identity_of

_log = Logger()

#: How many connections the kernel queues until they are accepted.
BACKLOG = 1024
_TCP_PROBLEMS = {
    "EADDRINUSE": ("port", "is in use: end the program that listens there or choose another port"),
    "EACCES": (
        "port",
        "needs more rights: ports below 1024 are for root, so choose a higher one, or start as root with"
        " user = NAME in [server]",
    ),
    "EADDRNOTAVAIL": ("ip", "is not an address of this machine: 0.0.0.0 or :: is all interfaces"),
}
#: The first descriptor that systemd passes (sd_listen_fds(3)).
_FIRST_INHERITED = 3
#: The hosts by which any address of the machine is meant, and how this machine itself reaches them.
ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - it is being replaced

#: What ``socket.getsockname()`` returns: a path, or host and port.
Name: TypeAlias = Any


class ListenError(SkitaiError):
    """An address cannot be listened on; ``key`` is the config key that names it."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


@attrs.frozen
class Opened:
    """A socket that listens; ``tls`` is whether its connections are TLS.

    ``endpoint`` is the one that it was made for; None if it was inherited. ``file`` is then the identity of
    the file of a Unix socket, which goes with the socket.
    """

    socket: socket.socket
    tls: bool
    endpoint: Endpoint | None = None
    file: tuple[int, int] | None = None

    @property
    def url(self) -> str:
        """The URL that people open."""
        return url_of_name(self.socket.getsockname(), self.tls)

    def is_at(self, endpoint: Endpoint) -> bool:
        """Whether it was made for the address of ``endpoint``."""
        return self.endpoint is not None and attrs.evolve(self.endpoint, tls=endpoint.tls) == endpoint

    def close(self) -> None:
        """Listen no longer: for this process, and for new clients of a Unix socket that was made here."""
        if self.file is not None:
            name = self.socket.getsockname()
            if self.file == identity_of(name):
                os.unlink(name)
        self.socket.close()


def passed_by_systemd(environ: MutableMapping[str, str]) -> Sequence[int] | None:
    """Return the descriptors of the sockets that systemd passed to this process; None if it passed none.

    Their variables are removed from ``environ``, so that child processes do not take the sockets for theirs.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    count, _, _ = (environ.pop(name, "") for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"))
    return range(_FIRST_INHERITED, _FIRST_INHERITED + (int(count) if count.isdecimal() else 0))


def pass_on(descriptors: Sequence[int], environ: MutableMapping[str, str]) -> None:
    """Undo ``passed_by_systemd``, for a program that this process is about to become."""
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
    environ.update(LISTEN_FDS=str(len(descriptors)), LISTEN_PID=str(os.getpid()))


def open_sockets(
    endpoints: Sequence[Endpoint], inherited: Sequence[int] = (), present: Sequence[Opened] = ()
) -> list[Opened]:
    """Listen on all of ``endpoints``, and return what listens now, in their order, behind what was inherited.

    ``inherited`` are descriptors of sockets that listen already. They replace all ports, and the Unix sockets
    with the same paths. An inherited socket has TLS if the endpoint with its port or path has; a socket that
    matches no endpoint has TLS if all endpoints have. What is returned for it is a duplicate. ``present`` are
    sockets of before: those among them that are wanted now are taken, instead of new ones.

    ``::`` takes IPv4 connections, too, if the system does so and no other endpoint has the port. Raises
    ListenError, and then nothing listens that was made here.
    """
    found: list[Opened] = []
    made: list[Opened] = []
    left = list(present)
    try:
        for descriptor in inherited:
            passed = _duplicate(descriptor)
            found.append(Opened(passed, _is_tls(passed.getsockname(), endpoints)))
            made.append(found[-1])
        names = [opened.socket.getsockname() for opened in found]
        _warn_of_unopened(endpoints, names)
        for endpoint in endpoints:
            if _is_replaced(endpoint, names):
                continue
            old = next((each for each in left if each.is_at(endpoint)), None)
            if old is None:
                made.append(_open(endpoint, endpoints))
                found.append(made[-1])
            else:
                left.remove(old)
                found.append(attrs.evolve(old, tls=endpoint.tls, endpoint=endpoint))
    except BaseException:
        for opened in made:
            opened.close()
        raise
    return found


def _warn_of_unopened(endpoints: Sequence[Endpoint], inherited: Sequence[Name]) -> None:
    """Say which ports nobody opens, if sockets for others were passed: else none may have been configured."""
    numbers = {name[1] for name in inherited if isinstance(name, tuple)}
    ports = [endpoint for endpoint in endpoints if isinstance(endpoint, PortEndpoint)]
    if not any(endpoint.port in numbers for endpoint in ports):
        return
    for endpoint in ports:
        if endpoint.port not in numbers:
            _log.warn(
                "port {port} is not opened: systemd passes sockets, and none for it (add a ListenStream=)",
                port=endpoint.port,
            )


def open_port(endpoint: PortEndpoint) -> Opened:
    """Listen on ``endpoint``, among other processes of the user that may do so at once. Raises ListenError.

    The system chooses one of them for each connection.
    """
    return _open_tcp(endpoint, ipv6_only=False, among_processes=True)


def _open(endpoint: Endpoint, endpoints: Sequence[Endpoint]) -> Opened:
    if isinstance(endpoint, UnixEndpoint):
        return _open_unix(endpoint)
    sharers = [each for each in endpoints if isinstance(each, PortEndpoint) and each.port == endpoint.port]
    return _open_tcp(endpoint, ipv6_only=endpoint.ip == "::" and len(sharers) > 1)


def _open_tcp(endpoint: PortEndpoint, *, ipv6_only: bool, among_processes: bool = False) -> Opened:
    family = socket.AF_INET6 if ":" in endpoint.ip else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A port whose connections of before are not forgotten yet can be had at once.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if among_processes:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if ipv6_only:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((endpoint.ip, endpoint.port))
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        name = errno.errorcode.get(error.errno or 0, "")
        key, problem = _TCP_PROBLEMS.get(name, ("port", f"cannot be listened on: {error}"))
        address = attrs.evolve(endpoint, ip=endpoint.ip or "*", tls=False)
        raise ListenError(key, f"{address} {problem}") from error
    made.setblocking(False)
    return Opened(made, endpoint.tls, endpoint)


def _open_unix(endpoint: UnixEndpoint) -> Opened:
    try:
        made = bind_unix(Path(endpoint.path), BACKLOG)
    except OSError as error:
        reason = error.strerror or error
        raise ListenError("unix_socket", f"cannot listen on {endpoint.path}: {reason}") from error
    made.setblocking(False)
    return Opened(made, endpoint.tls, endpoint, identity_of(made.getsockname()))


def _duplicate(descriptor: int) -> socket.socket:
    """Return a duplicate of an inherited socket; the original stays open, but children do not inherit it."""
    try:
        os.set_inheritable(descriptor, False)
        passed = socket.socket(fileno=os.dup(descriptor))
    except OSError as error:
        raise _not_adopted(descriptor, error.strerror) from error
    reason = None
    if not passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        reason = "it does not listen"
    elif passed.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        reason = "it is neither TCP nor Unix"
    if reason is not None:
        passed.close()
        raise _not_adopted(descriptor, reason)
    passed.setblocking(False)
    return passed


def _not_adopted(descriptor: int, reason: object) -> ListenError:
    return ListenError("ip", f"cannot use the inherited socket {descriptor}: {reason}")


def _is_replaced(endpoint: Endpoint, inherited: Collection[Name]) -> bool:
    """Whether one of the inherited sockets, which have these names, replaces ``endpoint``."""
    return bool(inherited) if isinstance(endpoint, PortEndpoint) else str(endpoint.path) in inherited


def _is_tls(name: Name, endpoints: Sequence[Endpoint]) -> bool:
    for endpoint in endpoints:
        if isinstance(endpoint, UnixEndpoint):
            if str(endpoint.path) == name:
                return endpoint.tls
        elif isinstance(name, tuple) and name[1] == endpoint.port:
            return endpoint.tls
    return all(endpoint.tls for endpoint in endpoints)


def url_of_name(name: Name, secure: bool) -> str:
    """Return the URL that people open to reach a socket of this name; for a Unix socket, its path.

    A socket on all interfaces is one: others reach it by more than the URL of this machine.
    """
    if not isinstance(name, tuple):
        path = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        return f"unix:{path}{' (TLS)' if secure else ''}"
    bound, port = str(name[0]), name[1]
    host = ANY.get(bound, bound)
    url = f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/"
    return f"{url} (all interfaces)" if bound in ANY else url
