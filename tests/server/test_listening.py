"""The sockets that the server listens on."""

import errno
import os
import socket
import stat

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase, TestCase

from skitai.server import listening
from skitai.server.listening import Addresses, ListenError, listen, take_inherited, url_of


class Greeter(Protocol):
    """Says hello to whoever connects, and hangs up."""

    def connectionMade(self):
        self.transport.write(b"hello")
        self.transport.loseConnection()


class Caller(Protocol):
    """Collects what it is told until the other side hangs up."""

    def __init__(self):
        self.heard = b""
        self.gone = Deferred()

    def dataReceived(self, data):
        self.heard += data

    def connectionLost(self, _reason):
        self.gone.callback(self.heard)


class ListeningTestCase(TestCase):
    """Listens for greeters; a port or connection that stays open fails the test."""

    timeout = 60

    def setUp(self):
        self.factory = Factory.forProtocol(Greeter)
        self.factory.noisy = False
        self.folder = self.mktemp()
        os.mkdir(self.folder)
        self.socket_path = os.path.join(os.path.realpath(self.folder), "s")
        # The path of a Unix socket has some hundred bytes at most: that of trial's folder may be too long.
        self.before = os.getcwd()
        os.chdir(self.folder)
        self.addCleanup(os.chdir, self.before)

    def listen(self, ip="127.0.0.1", port=0, unix_socket=None, environ=None):
        path = None if unix_socket is None else listening.Path(unix_socket)
        ports = listen(reactor, Addresses(ip, port, path), self.factory, {} if environ is None else environ)
        for opened in ports:
            self.addCleanup(opened.stopListening)
        return ports

    def error(self, **addresses):
        """Return key and message of the error, which leaves no factory started."""
        with pytest.raises(ListenError) as caught:
            self.listen(**addresses)
        return caught.value.key, str(caught.value)

    async def greeting(self, address):
        """Return what the server at a port or path says."""
        creator = Factory.forProtocol(Caller)
        connect = reactor.connectUNIX if isinstance(address, str) else reactor.connectTCP
        caller = Caller()
        creator = _ClientFactory(caller)
        connect(address, creator) if isinstance(address, str) else connect("127.0.0.1", address, creator)
        return await caller.gone
