"""What a connection leaves behind when it is over: nothing that waits for the garbage collector."""

import gc
import socket
from pathlib import Path

from http_servers import OK, HTTPTestCase, sending
from twisted.internet import reactor, unix
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.tcp import Client
from twisted.protocols.tls import BufferingTLSTransport

from certificates import Identity
from skitai.errors import UnsentError
from skitai.net.addresses import UnixNode
from skitai.net.client_tls import ClientTransport, TLSProfile
from skitai.services.http.protocol import HTTPConnection

LOOPBACK = Identity("127.0.0.1", "localhost", authority=True)
KINDS = (Client, unix.Client, ClientTransport, HTTPConnection)


_finish = BufferingTLSTransport._tlsShutdownFinished


def finish(transport, reason):
    """Do as Twisted, but have its servers leave no failures, whose frames may hold any connection."""
    if reason is not None and type(transport) is not ClientTransport:
        reason.cleanFailure()
    _finish(transport, reason)


def how_many():
    return sum(type(each) in KINDS for each in gc.get_objects())


class FreedTests(HTTPTestCase):
    def setUp(self):
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        self.before = how_many()

    async def freed(self, server, count):
        """Wait until all objects of these connections are gone."""
        assert len(server.peers) == count
        for peer in server.peers:
            await peer.lost
        await self.gone()

    async def gone(self):
        for _ in range(1000):
            if how_many() <= self.before:
                break
            await deferLater(reactor, 0.005)
        assert how_many() <= self.before

    def trusting(self):
        path = Path(self.mktemp())
        path.write_bytes(LOOPBACK.pem)
        return TLSProfile(ca=path)

    def serve_tls(self):
        self.patch(BufferingTLSTransport, "_tlsShutdownFinished", finish)
        server = self.serve(
            sending(OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)),
            listen=reactor.listenSSL,
            extra=(LOOPBACK.server(),),
        )
        server.url = server.url.replace("http://", "https://")
        return server

    async def test_without_tls(self):
        """At once, whoever closes, and whether an address was given or a name was looked up."""
        server = self.serve(sending(OK))
        for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
            pool = self.pool()
            await self.ask(pool, url)
            await pool.close()
            pool = self.pool()
            server.handler = sending(OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            await self.ask(pool, url)
        await self.freed(server, 4)

    async def test_with_tls(self):
        """TLS, too, with all that OpenSSL has of it."""
        server = self.serve_tls()
        pool = self.pool(profile=self.trusting())
        for url in (server.url, server.url.replace("127.0.0.1", "localhost")) * 10:
            await self.ask(pool, url)
        await self.freed(server, 20)

    async def test_with_tls_that_was_refused(self):
        """A certificate that nobody trusts leaves nothing either."""
        server = self.serve_tls()
        await self.error_of(self.ask(self.pool(), server.url), UnsentError)
        await self.freed(server, 1)

    async def test_those_that_nobody_accepts(self):
        """One to an address, those of a name, and one of a Unix socket."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            await self.error_of(self.ask(self.pool(), f"http://{host}:{port}/"), UnsentError)
        connecting = self.connector().connect(UnixNode(self.mktemp()), Factory.forProtocol(Protocol))
        await self.error_of(connecting, UnsentError)
        await self.gone()

    async def test_those_that_are_given_up(self):
        """The time-out of the connection ends an attempt that is under way."""
        full = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.addCleanup(full.close)
        address = full.getsockname()
        for _ in range(3):  # those that wait to be accepted, and one more
            waiting = socket.socket()
            self.addCleanup(waiting.close)
            waiting.setblocking(False)
            waiting.connect_ex(address)
        for host in ("127.0.0.1", "localhost"):
            pool = self.pool(connect_seconds=0.1)
            error = await self.error_of(self.ask(pool, f"http://{host}:{address[1]}/"), UnsentError)
            assert "connect" in str(error)
        await self.gone()
