"""Upstream proxies: absolute-form for http, tunnels for https, and what goes wrong with them."""

import socket
from base64 import b64encode
from pathlib import Path
from types import SimpleNamespace

from http_servers import OK, HTTPTestCase, Peer, Server, sending
from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater

from certificates import Identity
from clocks import OnClock
from skitai.errors import UnsentError
from skitai.net.client_tls import TLSProfile
from skitai.net.proxies import DirectHosts, make_route, parse_proxy
from skitai.services.http import ConnectionPool

LOOPBACK = Identity("127.0.0.1", "secure.test", authority=True)
TOKEN = b64encode(b"me:a b").decode()
ANSWER = b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n"


class Outbound(Protocol):
    """The proxy's connection to the server behind it."""

    def __init__(self, client):
        self.client = client

    def dataReceived(self, data):
        self.client.transport.write(data)

    def connectionLost(self, reason):
        self.client.transport.loseConnection()


class ProxyPeer(Peer):
    """A client of a proxy whose every tunnel leads to ``factory.target``, a port on the loopback."""

    outbound = None

    def dataReceived(self, data):
        if self.outbound is not None:
            self.outbound.transport.write(data)
        else:
            super().dataReceived(data)

    def open_tunnel(self):
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.factory.target)
        connectProtocol(endpoint, Outbound(self)).addCallback(self.opened)

    def opened(self, outbound):
        self.outbound = outbound
        self.write(ANSWER)

    def connectionLost(self, reason):
        if self.outbound is not None:
            self.outbound.transport.loseConnection()
        super().connectionLost(reason)


class ProxyTests(HTTPTestCase):
    def proxy(self, handler=ProxyPeer.open_tunnel):
        server = Server(handler)
        server.protocol = ProxyPeer
        return self.serve(server)

    def pool_through(self, proxy, *, credentials="", direct=(), **options):
        url = f"http://{credentials}127.0.0.1:{proxy.port}"
        return self.pool(route=make_route(parse_proxy(url), DirectHosts(direct)), **options)

    def serve_tls(self):
        server = self.serve(sending(OK), listen=reactor.listenSSL, extra=(LOOPBACK.server(),))
        path = Path(self.mktemp())
        path.write_bytes(LOOPBACK.pem)
        server.profile = TLSProfile(ca=path)
        return server

    async def test_plain(self):
        """A plain request goes to the proxy in absolute-form, over a connection that is kept."""
        proxy = self.proxy(sending(OK))
        pool = self.pool_through(proxy, credentials="me:a%20b@")
        for _ in range(2):
            assert (await self.ask(pool, "http://app.test:81/x?y=http")).data == b"ok"
        lines = proxy.heads[1].decode().split("\r\n")
        assert lines[0] == "GET http://app.test:81/x?y=http HTTP/1.1"
        assert lines.count("Host: app.test:81") == lines.count(f"Proxy-Authorization: Basic {TOKEN}") == 1
        assert len(proxy.peers) == 1

    async def test_body(self):
        """The body of a request through a proxy is not touched."""
        proxy = self.proxy(sending(OK))
        body = b"a b\r\n\r\nc"
        await self.ask(self.pool_through(proxy), "http://app.test/", body, method="POST")
        assert proxy.everything.endswith(b"\r\n\r\n" + body)

    async def test_tunnel(self):
        """A request over TLS goes through a tunnel, which is kept, and the certificate is checked."""
        server, proxy = self.serve_tls(), self.proxy()
        proxy.target = server.port
        pool = self.pool_through(proxy, credentials="me:a%20b@", profile=server.profile)
        for _ in range(2):
            assert (await self.ask(pool, "https://secure.test/")).data == b"ok"
        lines = proxy.heads[0].decode().split("\r\n")
        assert lines[0] == "CONNECT secure.test:443 HTTP/1.1"
        assert lines[1:] == ["Host: secure.test:443", f"Proxy-Authorization: Basic {TOKEN}"]
        assert (len(proxy.heads), len(server.heads)) == (1, 2)
        assert b"Proxy-Authorization" not in b"".join(server.heads)
        error = await self.error_of(self.ask(pool, "https://other.test/"), UnsentError)
        assert error.message == "the certificate of other.test:443 is not for 'other.test'"

    async def test_tunnel_without_tls(self):
        """A pool for requests that switch to another protocol asks for tunnels, not with absolute-form."""
        server, proxy = self.serve(sending(OK)), self.proxy()
        proxy.target = server.port
        route = make_route(parse_proxy(f"http://127.0.0.1:{proxy.port}"), DirectHosts(()))
        pool = ConnectionPool(reactor, connector=self.connector(route=route), tunnels=True)
        self.addCleanup(pool.close)
        result = await self.ask(pool, "http://plain.test/a")
        assert (result.code, result.data) == (200, b"ok")
        assert proxy.everything.startswith(b"CONNECT plain.test:80 HTTP/1.1\r\n")
        assert server.everything.startswith(b"GET /a HTTP/1.1\r\nHost: plain.test\r\n")

    async def test_tunnel_after_interim_answers(self):
        """A proxy may say that it is at work before it answers, in one piece with the answer or before it."""
        for early in (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Wait\r\nVia: x\r\n\r\n" * 2):
            server, proxy = self.serve_tls(), self.proxy(lambda peer, early=early: begin(peer, early))

            def begin(peer, early):
                peer.write(early + b"HTTP/1.1 1")
                reactor.callLater(0, peer.write, b"00 \r\n\r\n")
                reactor.callLater(0.01, peer.open_tunnel)

            proxy.target = server.port
            pool = self.pool_through(proxy, profile=server.profile)
            assert (await self.ask(pool, "https://secure.test/")).data == b"ok"

    async def refused_tunnel(self, handler):
        """Return what is said where the proxy gives no tunnel."""
        proxy = self.proxy(handler)
        error = await self.error_of(self.ask(self.pool_through(proxy), "https://secure.test/"), UnsentError)
        prefix = f"proxy 127.0.0.1:{proxy.port} gave no tunnel to secure.test:443: "
        assert error.code == 701
        assert error.message.startswith(prefix)
        await proxy.peers[0].lost
        return error.message.removeprefix(prefix)

    async def test_no_tunnel(self):
        """A proxy that refuses, talks nonsense, talks for ever or hangs up is a clear failure."""
        wants = b"HTTP/1.1 407 Authentication Required\r\nContent-Length: 0\r\n\r\n"
        hint = "user and password are wrong or missing"
        assert (
            await self.refused_tunnel(sending(wants)) == f"it answered '407 Authentication Required': {hint}"
        )
        assert await self.refused_tunnel(sending(b"HTTP/1.1 403 No\r\n\r\n")) == "it answered '403 No'"
        assert await self.refused_tunnel(sending(b"HTTP/1.1 101 Up\r\n\r\n")) == "it answered '101 Up'"
        for garbage in (
            b"SSH-2.0-x\r\n",
            b"HTTP/1.1 what\r\n\r\n",
            b"HTTP/1.1 2\r\n\r\n",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nwhat",
            b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 9999,
        ):
            assert await self.refused_tunnel(sending(garbage)) == "its reply is not HTTP"
        assert await self.refused_tunnel(sending(ANSWER + b"x")) == "it sent more than its reply"
        assert (await self.refused_tunnel(Peer.close)).startswith("it closed the connection")

    async def test_proxy_that_is_not_there(self):
        """Where the proxy refuses connections or has no address, the message says that it is the proxy."""
        held = socket.socket()  # bound, but nobody listens
        self.addCleanup(held.close)
        held.bind(("127.0.0.1", 0))
        proxy = SimpleNamespace(port=held.getsockname()[1])
        pool = self.pool_through(proxy)
        for url, node in (("http://app.test/", "app.test:80"), ("https://secure.test/", "secure.test:443")):
            error = await self.error_of(self.ask(pool, url), UnsentError)
            text = f"127.0.0.1:{proxy.port} refused the connection (the proxy for {node})"
            assert (error.code, error.message, error.node.label) == (701, text, node)

    async def test_cancelling_a_tunnel(self):
        """Cancelling while the proxy keeps the client waiting closes the connection to it."""
        proxy = self.proxy(lambda peer: None)
        asked = self.ask(self.pool_through(proxy), "https://secure.test/")
        while not proxy.heads:
            await deferLater(reactor, 0.005)
        asked.cancel()
        await self.error_of(asked, CancelledError)
        await proxy.peers[0].lost

    async def test_a_proxy_that_lets_callers_wait(self):
        """Where the proxy does not answer in time, the message says that it is the proxy."""
        proxy, on = self.proxy(lambda peer: None), OnClock()
        asked = self.ask(self.pool_through(proxy, on=on), "https://secure.test/")
        while not proxy.heads:
            await deferLater(reactor, 0.005)
        on.clock.advance(3)
        error = await self.error_of(asked, UnsentError)
        text = f"no connection to secure.test:443 through proxy 127.0.0.1:{proxy.port} in time"
        assert (error.code, error.message) == (702, text)
        await proxy.peers[0].lost

    async def test_direct(self):
        """A host that no_proxy names is asked without the proxy."""
        server, proxy = self.serve(sending(OK)), self.proxy()
        pool = self.pool_through(proxy, direct=["127.0.0.0/8"])
        assert (await self.ask(pool, server.url)).data == b"ok"
        assert proxy.peers == []
