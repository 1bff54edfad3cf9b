"""One way to a connection: the protocol is connected when it is ready for use, or there is an UnsentError."""

import shutil
import socket
import tempfile
from errno import EMFILE
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from certificates import Identity
from clocks import OnClock
from skitai.errors import UnsentError
from skitai.interfaces import IConnector, INode
from skitai.net.addresses import HostNode, UnixNode
from skitai.net.client_tls import TLSContexts, TLSProfile
from skitai.net.connector import Connector
from skitai.net.failures import NoDescriptorError
from skitai.net.proxies import DirectHosts, make_route, parse_proxy

LOOPBACK = Identity("127.0.0.1", "secure.test", authority=True)


class Peer(Protocol):
    """The server's end of a connection: answers what comes with what ``factory.answer`` makes of it."""

    def connectionMade(self):
        self.received = b""
        self.lost = Deferred()
        self.factory.peers.append(self)
        if self.factory.greeting:
            self.transport.write(self.factory.greeting)

    def dataReceived(self, data):
        self.received += data
        self.factory.answer(self, data)

    def connectionLost(self, reason):
        self.lost.callback(None)


class Server(Factory):
    protocol = Peer
    noisy = False

    def __init__(self, answer=lambda peer, data: peer.transport.write(data), greeting=b""):
        self.answer = answer
        self.greeting = greeting
        self.peers = []


class Client(Protocol):
    """Says hello when connected; ``reply`` fires with the first bytes, ``lost`` when all is over."""

    def connectionMade(self):
        self.reply = Deferred()
        self.lost = Deferred()
        self.transport.write(b"hello")

    def dataReceived(self, data):
        if not self.reply.called:
            self.reply.callback(data)

    def connectionLost(self, reason):
        self.lost.callback(None)


class Listener(Client):
    """Waits to be spoken to."""

    def connectionMade(self):
        self.reply = Deferred()
        self.lost = Deferred()


CLIENTS = Factory.forProtocol(Client)


class ConnectorTests(TestCase):
    timeout = 20

    def folder(self):
        folder = tempfile.mkdtemp(prefix="skitai-test-")
        self.addCleanup(shutil.rmtree, folder)
        return Path(folder)

    def serve(self, server=None, *, listen=reactor.listenTCP, address=0, extra=(), **options):
        server = server or Server()
        port = listen(address, server, *extra, **options)
        self.addCleanup(self._stop, server, port)
        server.address = port.getHost()
        return server

    async def _stop(self, server, port):
        await port.stopListening()
        for peer in server.peers:
            if not peer.lost.called:
                peer.transport.abortConnection()
                await peer.lost

    def serve_tcp(self, server=None):
        return self.serve(server, interface="127.0.0.1")

    def serve_tls(self, server=None):
        options = LOOPBACK.server()
        return self.serve(server, listen=reactor.listenSSL, extra=(options,), interface="127.0.0.1")

    def connector(self, on=reactor, *, trusted=True, **options):
        path = self.folder() / "ca.pem"
        path.write_bytes(LOOPBACK.pem)
        contexts = TLSContexts(TLSProfile(ca=path if trusted else None))
        connector = Connector(on, tls=contexts, **options)
        self.addCleanup(connector.close)
        return connector

    async def talk(self, connecting):
        """Return the client, what the server answered it, and hang up.

        Nothing may stand between the transport and the client.
        """
        client = await connecting
        transport = client.transport
        assert getattr(transport, "wrappedProtocol", transport.protocol) is client
        reply = await client.reply
        client.transport.loseConnection()
        await client.lost
        return client, reply

    async def error_of(self, deferred, kind=UnsentError):
        return await self.assertFailure(deferred, kind)

    def test_contracts(self):
        """The connector and the nodes keep to their interfaces."""
        assert verifyObject(IConnector, self.connector())
        for node, label in (
            (HostNode("a.test", 7), "a.test:7"),
            (HostNode("::1", 7, tls=True), "[::1]:7"),
            (UnixNode("/run/x"), "unix:/run/x"),
        ):
            assert verifyObject(INode, node)
            assert node.label == label

    async def test_tcp(self):
        """A node that is an address is connected to, with a protocol of the factory."""
        server = self.serve_tcp()
        client, reply = await self.talk(
            self.connector().connect(HostNode("127.0.0.1", server.address.port), CLIENTS)
        )
        assert reply == b"hello"
        assert client.factory is CLIENTS

    async def test_name(self):
        """A name is looked up."""
        server = self.serve_tcp()
        connecting = self.connector().connect(HostNode("localhost", server.address.port), CLIENTS)
        assert (await self.talk(connecting))[1] == b"hello"

    async def test_tls(self):
        """Over TLS the protocol is connected when the certificate is verified, and bytes are not lost."""
        server = self.serve_tls(Server(greeting=b"welcome"))
        node = HostNode("127.0.0.1", server.address.port, tls=True)
        client, reply = await self.talk(self.connector().connect(node, CLIENTS))
        assert reply == b"welcome"
        assert client.transport.getPeerCertificate().to_cryptography() == LOOPBACK.certificate

    async def test_refused_certificate(self):
        """Where the certificate is not accepted, no protocol is made."""
        made = []
        server = self.serve_tls()
        node = HostNode("127.0.0.1", server.address.port, tls=True)
        factory = Factory.forProtocol(lambda: made.append(1))
        error = await self.error_of(self.connector(trusted=False).connect(node, factory))
        assert error.code == 701
        assert error.message.startswith(f"the certificate of {node.label} is self-signed")
        assert made == []

    async def test_unix_socket(self):
        """A Unix socket is a node like any other; one that is not there is an UnsentError."""
        path = str(self.folder() / "socket")
        self.serve(listen=reactor.listenUNIX, address=path)
        connector = self.connector()
        assert (await self.talk(connector.connect(UnixNode(path), CLIENTS)))[1] == b"hello"
        error = await self.error_of(connector.connect(UnixNode(f"/{'x' * 200}"), CLIENTS))
        assert (error.code, error.message) == (706, f"unix:/{'x' * 200}: the path is too long")
        error = await self.error_of(connector.connect(UnixNode(f"{path}x"), CLIENTS))
        assert (error.code, error.node.label) == (706, f"unix:{path}x")
        assert error.message.startswith(f"no connection to unix:{path}x: ")

    async def test_no_descriptor(self):
        """No other machine is to blame: the message says what to do, for every kind of node."""

        def no_socket(*args, **kwargs):
            raise OSError(EMFILE, "Too many open files")

        self.patch(socket, "socket", no_socket)
        for node in (HostNode("127.0.0.1", 1), HostNode("::1", 1), UnixNode("/run/none")):
            error = await self.error_of(self.connector().connect(node, CLIENTS))
            assert (type(error), error.code, error.node) == (NoDescriptorError, 707, node)
            assert error.message.startswith(f"no connection to {node.label}: all ")
            assert error.message.endswith(" are used: raise that limit (LimitNOFILE=, ulimit -n)")

    async def test_nobody_listens(self):
        """A port where nobody listens is code 701."""
        held = socket.socket()
        self.addCleanup(held.close)
        held.bind(("127.0.0.1", 0))
        node = HostNode("127.0.0.1", held.getsockname()[1])
        error = await self.error_of(self.connector().connect(node, CLIENTS))
        assert (error.code, error.message, error.node) == (701, f"{node.label} refused the connection", node)

    def tunnelling(self, proxy, **options):
        route = make_route(parse_proxy(f"http://127.0.0.1:{proxy.address.port}"), DirectHosts([]))
        return self.connector(route=route, **options)

    async def test_tunnel(self):
        """Where the caller names the proxy, the protocol talks through its tunnel, with or without TLS."""

        def answer(peer, data):
            if data.startswith(b"CONNECT one.test:7 HTTP/1.1\r\n"):
                peer.transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                peer.transport.write(data)

        proxy, node = self.serve_tcp(Server(answer)), HostNode("one.test", 7)
        connector = self.tunnelling(proxy)
        connecting = connector.connect(node, CLIENTS, proxy=connector.proxy_for(node))
        assert (await self.talk(connecting))[1] == b"hello"

    async def test_a_server_that_speaks_first(self):
        """What it says in the same packet as the proxy's answer is not lost, where there is no TLS."""
        greeting = b"HTTP/1.1 200 OK\r\n\r\n220 welcome"
        proxy = self.serve_tcp(Server(lambda peer, data: peer.transport.write(greeting)))
        connector = self.tunnelling(proxy)
        for tls in (False, True):
            node = HostNode("one.test", 25, tls=tls)
            connecting = connector.connect(
                node, Factory.forProtocol(Listener), proxy=connector.proxy_for(node)
            )
            if tls:
                assert "it sent more than its reply" in (await self.error_of(connecting)).message
            else:
                client = await connecting
                assert await client.reply == b"220 welcome"
                client.transport.loseConnection()
                await client.lost

    async def test_time_out(self):
        """A peer that lets callers wait, with its handshake or as a proxy, is code 702 when it is time."""
        quiet = self.serve_tcp(Server(lambda peer, data: None))
        on = OnClock()
        connector = self.tunnelling(quiet, on=on, timeout=2)
        secure = HostNode("127.0.0.1", quiet.address.port, tls=True)
        plain = HostNode("one.test", 7)
        for node, proxy in ((secure, None), (plain, connector.proxy_for(plain))):
            connecting = connector.connect(node, CLIENTS, proxy=proxy)
            while not (quiet.peers and quiet.peers[-1].received):
                await deferLater(reactor, 0.005)
            on.clock.advance(1.9)
            assert not connecting.called
            on.clock.advance(0.1)
            error = await self.error_of(connecting)
            assert (error.code, error.status, error.node) == (702, 1, node)
            await quiet.peers.pop().lost
        assert on.clock.getDelayedCalls() == []

    async def test_cancel(self):
        """Cancelling closes the socket, at whatever stage."""
        quiet = self.serve_tcp(Server(lambda peer, data: None))
        on = OnClock()
        connector = self.tunnelling(quiet, on=on)
        node = HostNode("127.0.0.1", quiet.address.port, tls=True)
        for proxy in (None, connector.proxy_for(node)):
            connecting = connector.connect(node, CLIENTS, proxy=proxy)
            while not (quiet.peers and quiet.peers[-1].received):
                await deferLater(reactor, 0.005)
            connecting.cancel()
            await self.error_of(connecting, CancelledError)
            await quiet.peers.pop().lost
        connecting = connector.connect(HostNode("127.0.0.1", quiet.address.port), CLIENTS)
        connecting.cancel()
        await self.error_of(connecting, CancelledError)
        assert on.clock.getDelayedCalls() == []

    async def test_close(self):
        """Closing fails what is under way and all that comes later with code 705; sockets are closed."""
        quiet = self.serve_tcp(Server(lambda peer, data: None))
        connector = self.connector()
        connected = await connector.connect(HostNode("127.0.0.1", quiet.address.port), CLIENTS)
        node = HostNode("127.0.0.1", quiet.address.port, tls=True)
        under_way = connector.connect(node, CLIENTS)
        while len(quiet.peers) < 2:
            await deferLater(reactor, 0.005)
        closed = connector.close()
        assert (await self.error_of(under_way)).code == 705
        await closed
        await quiet.peers[1].lost
        assert (await self.error_of(connector.connect(node, CLIENTS))).code == 705
        assert not quiet.peers[0].lost.called
        connected.transport.loseConnection()
        await connected.lost

    async def test_an_attempt_that_cannot_begin(self):
        """What is no node fails its attempt, which leaves neither a timer nor a close that never fires."""
        on = OnClock()
        connector = self.connector(on)
        await self.error_of(connector.connect(None, CLIENTS), AttributeError)
        assert on.clock.getDelayedCalls() == []
        self.successResultOf(connector.close())

    async def test_a_protocol_that_fails(self):
        """What a protocol raises when it is connected is told to who asked for it; the socket is closed."""

        class Broken(Protocol):
            def connectionMade(self):
                raise ZeroDivisionError

        server = self.serve_tcp()
        node = HostNode("127.0.0.1", server.address.port)
        await self.error_of(self.connector().connect(node, Factory.forProtocol(Broken)), ZeroDivisionError)
        while not server.peers:
            await deferLater(reactor, 0.005)
        await server.peers[0].lost

    async def test_a_protocol_that_cancels(self):
        """Cancelling closes the socket even while the protocol is connected."""
        server = self.serve_tcp()

        class Cancelling(Protocol):
            def connectionMade(self):
                connecting.cancel()

        node = HostNode("127.0.0.1", server.address.port)
        connecting = self.connector().connect(node, Factory.forProtocol(Cancelling))
        await self.error_of(connecting, CancelledError)
        while not server.peers:
            await deferLater(reactor, 0.005)
        await server.peers[0].lost
