"""What the tests of the HTTP channel share: a server in memory, and one on a real socket."""

import gc
import socket
import ssl

import pytest
from http_channel import MemoryServer
from twisted.logger import formatEvent, globalLogPublisher

from certificates import Identity, tls_of
from serving import eventually
from skitai.net.server_tls import with_tls
from skitai.server.http1.factory import HTTPFactory
from skitai.server.http1.limits import ServerLimits
from skitai.server.site import Mounts, Site
from wire import PATIENCE, Client


@pytest.fixture
def memory_server():
    """Return ``memory_server(app=None, judge=None, **limits)``: see MemoryServer.

    At the end no connection, time-out or producer may be left over.
    """
    servers = []

    def start(app=None, judge=None, **limits):
        servers.append(MemoryServer(app, judge, **limits))
        return servers[-1]

    yield start
    for server in servers:
        server.stop_listening()
        for channel in list(server.factory.channels):
            channel.transport.lose()
        server.clock.advance(0)
        assert not server.factory.channels
        assert not server.clock.getDelayedCalls()


class LoopbackServer:
    """A factory that listens on a free port of the loopback interface; its reactor runs in another thread.

    ``wrap(factory)`` may return another factory around it, such as TLS.
    """

    def __init__(self, loop, handle, judge, wrap, limits):
        self.loop = loop
        self.factory = HTTPFactory(loop.reactor, handle, ServerLimits(**limits), judge=judge)
        self._port = loop.call(loop.reactor.listenTCP, 0, wrap(self.factory), interface="127.0.0.1")
        self.port = self._port.getHost().port

    def connect(self, **options):
        """Return a client with a connection of its own."""
        return Client(self.port, **options)

    def channel(self):
        """Return the channel of the only connection, once there is one."""
        return next(iter(eventually(lambda: set(self.factory.channels), "a connection")))

    def blocked(self):
        """Return whether a client does not take what is sent to it."""
        # Asked of the reactor: a connection is known a moment before it is all there.
        return self.loop.call(lambda: any(channel.output.blocked for channel in self.factory.channels))

    def time_out(self):
        """Let the deadline of the only connection pass."""
        self.loop.call(self.channel().timed_out)

    def cut_off(self):
        """Let one deadline pass after the other until no client is left: who reads has more than one."""

        def pass_deadlines():
            for channel in list(self.factory.channels):
                channel.timed_out()
            return not self.factory.channels

        eventually(lambda: self.loop.call(pass_deadlines), "the end of the connections")

    def wait_until_idle(self):
        """Wait until there is no connection."""
        eventually(lambda: not self.factory.channels, "the end of the connections")

    def stop(self):
        """Cut all connections and stop; waits until they are gone."""
        self.loop.call(self._port.stopListening)
        ended = self.loop.call(lambda: [self.factory.finish()])[0]
        self.loop.call(self.factory.abort)
        self.loop.call(lambda: ended)


@pytest.fixture
def loopback_server(reactor_thread):
    """Return ``loopback_server(handle, judge=None, wrap=..., **limits)``: see LoopbackServer."""
    servers = []

    def start(handle, judge=None, wrap=lambda factory: factory, **limits):
        servers.append(LoopbackServer(reactor_thread, handle, judge, wrap, limits))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def how_many():
    """Return ``how_many(*kinds)``: how many objects there are of them. No garbage is collected meanwhile."""
    gc.collect()
    gc.disable()
    yield lambda *kinds: sum(type(each) in kinds for each in gc.get_objects())
    gc.enable()


@pytest.fixture
def log():
    """The events that are logged during the test."""
    events = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


@pytest.fixture
def log_text(log):
    """Return a function that gives all that was logged during the test as text."""
    return lambda: "\n".join(formatEvent(event) for event in log)


@pytest.fixture
def failures(log):
    """Return a function that gives the tracebacks that were logged during the test."""
    return lambda: [event["log_failure"].getTraceback() for event in log if "log_failure" in event]


@pytest.fixture
def mounted(memory_server):
    """Return ``mounted(resource, point=b"")``: a server with the resource at that mount point."""

    def mount(resource, point=b""):
        site = Site(Mounts([], [(point, resource)]))
        return memory_server(site.handle, site.judge)

    return mount


@pytest.fixture(scope="session")
def wrap_in_tls(tmp_path_factory):
    """Return a function that puts TLS around a factory."""
    identity = Identity("localhost")
    pem = tmp_path_factory.mktemp("tls") / "server.pem"
    pem.write_bytes(identity.key_pem() + identity.pem)
    return lambda factory: with_tls(factory, tls_of(pem))


@pytest.fixture
def tls_client():
    """Return ``tls_client(server, receive_buffer=None)``: a TLS socket that is connected to it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    clients = []

    def connect(server, receive_buffer=None):
        plain = socket.socket()
        plain.settimeout(PATIENCE)
        if receive_buffer is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.connect(("127.0.0.1", server.port))
        clients.append(context.wrap_socket(plain))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()
