"""Loopback servers that send literal bytes, and a test case that leaves no socket behind."""

from __future__ import annotations

import fcntl
import shutil
import socket
import struct
import tempfile
import termios

from twisted.internet import defer, reactor
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from skitai.errors import OperationError
from skitai.net.client_tls import TLSContexts, TLSProfile
from skitai.net.connector import Connector
from skitai.services.http import ConnectionPool, HTTPService, PoolLimits

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Peer(Protocol):
    """The server's end of one connection; ``handler`` is called with it for each request's head."""

    def connectionMade(self):
        self.received = b""
        self.requests = 0
        self.in_body = False  # once set, what comes is no further request
        self.lost = defer.Deferred()
        self.factory.peers.append(self)

    def dataReceived(self, data):
        self.factory.everything += data
        if self.in_body:
            return
        self.received += data
        while b"\r\n\r\n" in self.received:
            self.head, _, self.received = self.received.partition(b"\r\n\r\n")
            self.requests += 1
            self.factory.heads.append(self.head)
            self.factory.handler(self)

    def connectionLost(self, reason):
        self.was_reset = not reason.check(ConnectionDone)
        self.lost.callback(None)

    def write(self, data):
        self.transport.write(data)

    def slip(self, data):
        """Have ``data`` wait in the client's kernel, unseen by the reactor, which serves both ends."""
        handle, wire = self.transport.getHandle(), self.transport.socket
        if handle is not wire:  # it is OpenSSL's
            handle.send(data)
            data = handle.bio_read(len(data) + 1000)
        wire.send(data)
        while struct.unpack("i", fcntl.ioctl(wire, termios.TIOCOUTQ, bytes(4))) != (0,):
            pass  # not acknowledged yet

    def close(self):
        self.transport.loseConnection()

    def reset(self):
        """Close with a RST instead of a FIN."""
        self.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abortConnection()


class Server(Factory):
    """Counts connections (``peers``) and remembers what came (``heads``, ``everything``)."""

    protocol = Peer
    noisy = False

    def __init__(self, handler):
        self.handler = handler
        self.peers = []
        self.heads = []
        self.everything = bytearray()


def sending(data, *, close=False):
    """Return a handler that answers each request with ``data``."""

    def handler(peer):
        peer.write(data)
        if close:
            peer.close()

    return handler


class HTTPTestCase(TestCase):
    """Serves on port 0 and cleans up; a reactor that is not clean afterwards fails the test."""

    timeout = 30

    def mktemp(self):
        """Return the path of a file to be made, in a folder that goes with the test: trial's would stay."""
        folder = tempfile.mkdtemp(prefix="skitai-test-")
        self.addCleanup(shutil.rmtree, folder)
        return f"{folder}/file"

    def serve(self, handler, *, listen=reactor.listenTCP, extra=(), host="127.0.0.1"):
        server = handler if isinstance(handler, Server) else Server(handler)
        port = listen(0, server, *extra, interface=host)
        self.addCleanup(self._stop, server, port)
        server.port = port.getHost().port
        server.url = f"http://{f'[{host}]' if ':' in host else host}:{server.port}/"
        return server

    async def _stop(self, server, port):
        await port.stopListening()
        for peer in server.peers:
            if not peer.lost.called:
                peer.transport.abortConnection()
                await peer.lost

    def pool(self, *, on=reactor, profile=None, resolver=None, route=None, connect_seconds=None, **limits):
        """Return a pool that is closed in the end; ``profile`` is its ``TLSProfile``."""
        connector = self.connector(
            on=on, profile=profile, resolver=resolver, route=route, timeout=connect_seconds
        )
        pool = ConnectionPool(on, PoolLimits(**limits), connector=connector)
        self.addCleanup(pool.close)
        return pool

    def connector(self, *, on=reactor, profile=None, **options):
        """Return a connector that is closed in the end."""
        given = {name: value for name, value in options.items() if value is not None}
        connector = Connector(on, tls=TLSContexts(profile or TLSProfile()), **given)
        self.addCleanup(connector.close)
        return connector

    def ask(self, pool, url, *args, method="GET", **kwargs):
        """Return the Deferred of one request."""
        service = HTTPService(method, pool)
        operation = service.operation(url, *args, **kwargs)
        return service.perform(service.node(url), operation)

    async def fetch(self, handler, *args, method="GET", **kwargs):
        """Return the result of one request to a server of its own."""
        server = self.serve(handler)
        limits = {name: kwargs.pop(name) for name in ("response_max",) if name in kwargs}
        return await self.ask(self.pool(**limits), server.url, *args, method=method, **kwargs)

    async def error_of(self, deferred, kind):
        """Return the exception, of the given kind, that a Deferred must fail with."""
        return await self.assertFailure(deferred, kind)

    async def fetch_error(self, handler, **kwargs):
        """Return the code of the OperationError that a request must fail with, and its text."""
        error = await self.error_of(defer.ensureDeferred(self.fetch(handler, **kwargs)), OperationError)
        return error.code, error.message
