"""What a connection leaves behind when it is over: nothing that waits for the garbage collector."""

import gc
from pathlib import Path

from http_servers import OK, HTTPTestCase, sending
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.tcp import Client

from certificates import Identity
from skitai.errors import UnsentError
from skitai.net.client_tls import ClientTransport, TLSProfile
from skitai.services.http.protocol import HTTPConnection

LOOPBACK = Identity("127.0.0.1", "localhost", authority=True)
KINDS = (Client, ClientTransport, HTTPConnection)


def how_many():
    return sum(type(each) in KINDS for each in gc.get_objects())


class FreedTests(HTTPTestCase):
    def setUp(self):
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        self.before = how_many()

    async def freed(self, server, count, left=0):
        """Wait until all objects of these connections are gone, but for those ``left``."""
        assert len(server.peers) == count
        for peer in server.peers:
            await peer.lost
        for _ in range(1000):
            if how_many() <= self.before + left:
                break
            await deferLater(reactor, 0.005)
        assert how_many() <= self.before + left

    def trusting(self):
        path = Path(self.mktemp())
        path.write_bytes(LOOPBACK.pem)
        return TLSProfile(ca=path)

    def serve_tls(self):
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
        for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
            await self.ask(pool, url)
        # Seldom, one of them waits for the garbage collector; why is not known yet.
        await self.freed(server, 2, left=1)

    async def test_with_tls_that_was_refused(self):
        """A certificate that nobody trusts leaves nothing either."""
        server = self.serve_tls()
        await self.error_of(self.ask(self.pool(), server.url), UnsentError)
        await self.freed(server, 1)
