"""was.echo against an echo server on the loopback: no Skitai server is needed to test a service."""

from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest
from skitai_echo import Conversation, Echo
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from skitai.calls.operation import Operation
from skitai.calls.service import HostNode
from skitai.errors import OperationError, UnsentError
from skitai.interfaces import IService
from skitai.net.connector import Connector
from skitai.plugins.manager import create_plugin_manager


class Server(Protocol):
    """Serves one connection; ``gone`` fires when that is over."""

    def __init__(self):
        self.heard = Deferred()
        self.gone = Deferred()

    def dataReceived(self, data):
        self.heard.callback(data)

    def connectionLost(self, _reason):
        self.gone.callback(None)


class EchoServer(Server):
    """Sends back what it is sent."""

    def dataReceived(self, data):
        self.transport.write(data)


class RudeServer(Server):
    """Hangs up on whoever speaks to it."""

    def dataReceived(self, _data):
        self.transport.loseConnection()


class PerformTests(TestCase):
    """Echo.perform() over real sockets."""

    def listen(self, server):
        port = reactor.listenTCP(0, Factory.forProtocol(lambda: server), interface="127.0.0.1")
        self.addCleanup(lambda: server.gone)
        self.addCleanup(port.stopListening)
        return HostNode("127.0.0.1", port.getHost().port)

    async def test_reply(self):
        """The line that comes back is the result, whatever letters it has."""
        service = Echo(Connector(reactor))
        node = self.listen(EchoServer())
        assert await service.perform(node, service.operation(node.label, "grüße")) == "grüße"

    async def test_cancel(self):
        """Cancelling closes the socket."""
        server = Server()
        node = self.listen(server)
        asked = Echo(Connector(reactor)).perform(node, Operation(node.label, b"hello"))
        assert await server.heard == b"hello\n"
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        await server.gone

    async def test_hang_up(self):
        """A server that hangs up without an answer makes the call fail."""
        node = self.listen(RudeServer())
        with pytest.raises(OperationError, match="hung up"):
            await Echo(Connector(reactor)).perform(node, Operation(node.label, b"hello"))

    async def test_nobody_listens(self):
        """A refused connection is an UnsentError: another node of the cluster may be asked."""
        port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        node = HostNode("127.0.0.1", port.getHost().port)
        await port.stopListening()
        with pytest.raises(UnsentError):
            await Echo(Connector(reactor)).perform(node, Operation(node.label, b"hello"))


class ContractTests(SynchronousTestCase):
    """What Skitai expects of the plugin."""

    def test_interface(self):
        """The service keeps to the interface."""
        assert verifyObject(IService, Echo(Connector(reactor)))

    def test_message_is_one_line(self):
        """A message of two lines, or one too long for the protocol, is refused before anything is sent."""
        for message in ("two\nlines", "x" * (Conversation.MAX_LENGTH + 1)):
            with pytest.raises(ValueError, match="one line"):
                Echo(Connector(reactor)).operation("localhost:7", message)

    def test_plugin(self):
        """Skitai loads the module, and knows was.echo and clusters of the type echo from it."""
        manager = create_plugin_manager(
            entry_points=[EntryPoint("echo", "skitai_echo", "skitai")], environ={}
        )
        instance = SimpleNamespace(connector=Connector(reactor))
        assert [info.state for info in manager.plugins()] == ["loaded"]
        assert list(manager.services(instance)) == ["echo"]
        assert list(manager.cluster_types(instance)) == ["echo"]
