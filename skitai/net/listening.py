"""The sockets that the server listens on: ports, Unix sockets, and those that systemd passes on."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from typing import Any

import attrs
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Factory

from skitai.http.hosts import is_loopback
from skitai.net.closing import begin_nothing
from skitai.net.endpoints import Endpoint
from skitai.net.ports import Turnstile, port_on
from skitai.net.sockets import Opened, open_sockets, passed_by_systemd, url_of_name


@attrs.frozen
class Listening:
    """A port that listens on what was ``opened``, whose socket it has taken over."""

    port: IListeningPort
    opened: Opened

    @property
    def url(self) -> str:
        """The URL that people open."""
        return url_of(self.port.getHost(), self.opened.tls)

    def pause(self) -> None:
        """Accept nothing until ``go_on`` is called."""
        self.port.stopReading()  # type: ignore[attr-defined]

    def accept_all(self) -> None:
        """Accept all connections that wait, whoever else may."""
        self.port.accept_all()  # type: ignore[attr-defined]

    @property
    def is_open(self) -> bool:
        """Whether it listens still: a process that has the same socket may have ended that."""
        return bool(self.port.connected)  # type: ignore[attr-defined]

    @property
    def is_near(self) -> bool:
        """Whether its clients are on this machine, so that their connections take no time to begin."""
        host = getattr(self.port.getHost(), "host", None)  # a Unix socket has none
        return host is None or is_loopback(host)

    def begin_nothing(self) -> None:
        """Have no new connection begin, if the socket is this server's alone."""
        if self.opened.endpoint is not None:
            begin_nothing(self.port.socket)  # type: ignore[attr-defined]

    def go_on(self) -> None:
        """Accept connections."""
        self.port.startReading()  # type: ignore[attr-defined]

    def duplicate(self) -> Opened:
        """Return what is listened on once more, for another process."""
        descriptor = os.dup(self.port.fileno())  # type: ignore[attr-defined]
        return attrs.evolve(self.opened, socket=socket.socket(fileno=descriptor))

    def leave_to_others(self) -> None:
        """Let the end of this port be none for those who have a duplicate."""
        self.port.leave_to_others()  # type: ignore[attr-defined]


def listen(
    reactor: Any,
    endpoints: Sequence[Endpoint],
    plain: Factory,
    secure: Factory | None = None,
    inherited: Sequence[int] = (),
) -> list[Listening]:
    """Listen on all of ``endpoints``; see ``open_sockets`` and ``serve``. Called in the reactor thread."""
    return serve(reactor, open_sockets(endpoints, inherited), plain, secure)


def serve(
    reactor: Any,
    sockets: Sequence[Opened],
    plain: Factory,
    secure: Factory | None = None,
    turnstile: Turnstile | None = None,
) -> list[Listening]:
    """Serve what connects to ``sockets``, and return the ports that take their place, in their order.

    ``secure`` makes the protocols of connections with TLS, ``plain`` those of the others. ``turnstile`` is
    for sockets that other processes accept from, too. Called in the reactor thread.
    """
    factories: dict[bool, Any] = {False: plain, True: secure}
    return [
        Listening(port_on(reactor, opened, factories[opened.tls], turnstile), opened) for opened in sockets
    ]


def first_tls_port(listening: Sequence[Listening]) -> int | None:
    """Return the number of the first port with TLS; None if there is none."""
    hosts = (each.port.getHost() for each in listening if each.opened.tls)
    return next((number for host in hosts if (number := getattr(host, "port", None))), None)


def take_inherited(reactor: Any, environ: MutableMapping[str, str]) -> Sequence[int]:
    """Return the descriptors of the sockets that systemd passed to this process.

    Their variables are removed from ``environ``, so that child processes do not take the sockets for theirs.
    """
    passed = passed_by_systemd(environ)
    return _taken_by_twisted(reactor) if passed is None else passed


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


def url_of(address: IAddress, secure: bool) -> str:
    """Return the URL that people open to reach ``address``; for a Unix socket, its path."""
    name = getattr(address, "name", None)
    return url_of_name((address.host, address.port) if name is None else name, secure)  # type: ignore[attr-defined]
