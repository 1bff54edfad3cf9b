"""Twisted's ports for sockets that listen already, whoever made them."""

from __future__ import annotations

import os
import socket
from typing import Any, Protocol

from twisted.internet import tcp, unix
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python import log
from twisted.python.failure import Failure

from skitai.loop import native
from skitai.net.accepted import Accepted
from skitai.net.exhaustion import REFUSALS
from skitai.net.sockets import ANY, BACKLOG, Opened
from skitai.net.unix_files import identity_of

#: How many more are accepted in the next turn where as many as may be have come in this one.
_MORE = 20


class Turnstile(Protocol):
    """Says when this process may accept a connection for which others are waiting, too."""

    def wait(self) -> float:
        """Return the seconds to wait until this is asked again; 0: accept one now."""


class _Port(tcp.Port):
    """With a ``turnstile``, the port accepts one connection in a turn of the reactor, when it may.

    Otherwise it accepts what waits, as Twisted does: few at first, and more where more come.
    """

    turnstile: Turnstile | None = None
    reactor: Any
    # Twisted's own writes three lines for each connection that it has no descriptor for.
    _logger = Logger(observer=REFUSALS)

    def doRead(self) -> None:
        """Accept what waits."""
        if self.turnstile is None or self._may_accept(self.turnstile):
            super().doRead()  # type: ignore[no-untyped-call]

    def _may_accept(self, turnstile: Turnstile) -> bool:
        """Return whether one connection may be accepted now; else look again when it may."""
        seconds = turnstile.wait()
        if seconds:
            self.stopReading()  # type: ignore[no-untyped-call]
            self.reactor.callLater(seconds, self._look_again)
        self.numberAccepts = 1
        return not seconds

    def logPrefix(self) -> str:
        """Return what the log calls it."""
        return type(self.factory).__name__

    def accept_all(self) -> None:
        """Accept all that waits: the server stops, and the system would hang up on it."""
        self.turnstile = None
        self.numberAccepts = BACKLOG
        self.doRead()

    def leave_to_others(self) -> None:
        """Let other processes go on with the socket when this one stops."""
        self._shouldShutdown = False

    def _look_again(self) -> None:
        if self.connected and not self.disconnecting:
            self.startReading()  # type: ignore[no-untyped-call]


class _TCPPort(_Port):
    """Accepts TCP connections.

    Twisted asks the system in the same way, but prepares for a failure beforehand, and has Python look up
    names for the family and the type of each connection: thirty calls, at whose end a connection begins.
    """

    # For those that Twisted accepts.
    transport = Accepted
    # What connections connect to, if that is the same for all.
    _common_host: IAddress | None = None

    def startListening(self) -> None:
        """Begin to accept."""
        super().startListening()
        host: Any = self.getHost()  # type: ignore[no-untyped-call]
        if host.host not in ANY:
            self._common_host = host

    def doRead(self) -> None:
        """Accept what waits."""
        if self.turnstile is not None and not self._may_accept(self.turnstile):
            return
        most = self.numberAccepts
        for count in range(most):
            try:
                descriptor, address = self.socket._accept()  # type: ignore[union-attr]
            except BlockingIOError:
                self.numberAccepts = max(1, count)
                return
            except OSError:  # Twisted asks once more, and knows what to do
                super(_Port, self).doRead()  # type: ignore[no-untyped-call]
                return
            try:
                self._begin(descriptor, address)
            except BaseException:  # noqa: BLE001 - others must still be accepted
                log.err()  # type: ignore[no-untyped-call]
        self.numberAccepts = most + _MORE

    def _begin(self, descriptor: int, address: Any) -> None:
        """Begin a connection whose client has an ``address`` as the system tells it."""
        accepted = native.socket(self.addressFamily, self.socketType, 0, descriptor)
        if len(address) == 2:
            # Made without the two calls that check whether "TCP" is one of the types.
            peer: Any = IPv4Address.__new__(IPv4Address)
            peer.type = "TCP"
            peer.host, peer.port = address
        else:
            if address[3]:  # of an interface, whose name belongs to the host
                names = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
                host, _ = _sockets_of_twisted().getnameinfo(address, names)
                address = (host, *address[1:])
            peer = IPv6Address("TCP", *address)
        assert self.factory is not None
        try:
            protocol = self.factory.buildProtocol(peer)
        except BaseException:
            accepted.close()
            raise
        if protocol is None:
            accepted.close()
            return
        self.sessionno += 1
        protocol.makeConnection(
            Accepted(accepted, protocol, address, self, self.sessionno, self.reactor, peer, self._common_host)
        )


class _UnixPort(_Port, unix.Port):
    """Accepts connections of a Unix socket.

    All methods are called in the reactor thread.
    """

    def __init__(self, opened: Opened, factory: Factory, reactor: Any) -> None:
        unix.Port.__init__(self, opened.socket.getsockname(), factory, reactor=reactor)
        self._listening = _for_reactor(opened.socket)
        self._file = opened.file

    def leave_to_others(self) -> None:
        """Let other processes go on with the socket, and its file, when this one stops."""
        super().leave_to_others()
        self._file = None

    def startListening(self) -> None:
        """Begin to accept."""
        # As Twisted's own ports do: the descriptor to give up when there are no others left.
        tcp._reservedFD.reserve()  # type: ignore[no-untyped-call]
        self.factory.doStart()  # type: ignore[union-attr]
        self.connected = True
        self.socket = self._listening
        self.fileno = self.socket.fileno  # type: ignore[method-assign]
        self.numberAccepts = 100
        self.startReading()  # type: ignore[no-untyped-call]

    def stopListening(self) -> Any:  # type: ignore[override]  # its argument is for subclasses
        """Stop accepting: the file goes at once. Returns a Deferred that fires when the socket is closed."""
        name = self._listening.getsockname()
        if self._file is not None and self._file == identity_of(name):
            os.unlink(name)
        return self.loseConnection()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure) -> None:
        """Close the socket."""
        tcp.Port.connectionLost(self, reason)  # type: ignore[no-untyped-call]


def _sockets_of_twisted() -> Any:
    """Return the module of sockets that Twisted uses, whose sockets gevent has not patched."""
    return vars(tcp)["socket"]


def _for_reactor(listening: socket.socket) -> socket.socket:
    """Return a duplicate of ``listening`` that never waits, of the class that Twisted uses."""
    made: socket.socket = _sockets_of_twisted().socket(
        listening.family, listening.type, 0, os.dup(listening.fileno())
    )
    made.setblocking(False)
    return made


def port_on(reactor: Any, opened: Opened, factory: Factory, turnstile: Turnstile | None) -> IListeningPort:
    """Have ``factory`` serve what connects to ``opened``, whose place the returned port takes.

    Called in the reactor thread.
    """
    port: _Port
    if opened.socket.family == socket.AF_UNIX:
        port = _UnixPort(opened, factory, reactor)
    else:
        port = _TCPPort._fromListeningDescriptor(  # type: ignore[no-untyped-call]
            reactor, opened.socket.fileno(), opened.socket.family, factory
        )
        port._preexistingSocket.close()  # type: ignore[union-attr]  # it waits, where gevent has patched it
        port._preexistingSocket = _for_reactor(opened.socket)
        # Each write is a complete unit: it must not wait until the client has acknowledged the last one. What
        # is accepted has that from here.
        port._preexistingSocket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    port.turnstile = turnstile
    port.startListening()
    # A shutdown() of a socket that others hold, too, would end it for all of them. One that is ours alone
    # must end although a child, which an app has forked, may hold it.
    port._shouldShutdown = opened.endpoint is not None
    opened.socket.close()
    return port
