"""was.echo(): sends a line to an echo server, and gives the line that comes back."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.protocols.basic import LineOnlyReceiver

from skitai.calls.operation import Operation
from skitai.calls.service import HostNode, Service
from skitai.errors import OperationError, UnsentError
from skitai.plugins import hookimpl


class Echo(Service):
    """``was.echo("host:port", "message")``; ``was.echo.lb`` and ``.map`` over clusters of the type echo."""

    cluster_type = "echo"
    default_port = 7

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def operation(self, target: str, message: str) -> Operation:
        line = message.encode()
        if b"\n" in line or len(line) > Conversation.MAX_LENGTH:
            raise ValueError(f"message must be one line of at most {Conversation.MAX_LENGTH} bytes")
        return Operation(target, line, cache_key=(target, line), idempotent=True)

    def perform(self, node: HostNode, operation: Operation) -> Deferred[str]:
        endpoint = HostnameEndpoint(self._reactor, node.host, node.port)
        connected = connectProtocol(endpoint, Conversation(operation.request))
        connected.addErrback(unsent)
        return connected.addCallback(lambda conversation: conversation.reply)


class Conversation(LineOnlyReceiver):
    """Sends one line when connected; ``reply`` fires with the line that comes back. Cancel it to hang up."""

    delimiter = b"\n"

    def __init__(self, line: bytes) -> None:
        self._line = line
        self.reply: Deferred[str] = Deferred(lambda _: self.transport.abortConnection())

    def connectionMade(self):
        self.sendLine(self._line)

    def lineReceived(self, line):
        self.transport.loseConnection()
        self.reply.callback(line.decode(errors="replace"))

    def connectionLost(self, reason):
        if not self.reply.called:
            self.reply.errback(OperationError(f"the echo server hung up: {reason.getErrorMessage()}"))


def unsent(failure):
    """Tell Skitai that nothing was sent yet, so that it may ask another node of the cluster."""
    failure.trap(ConnectError, DNSLookupError)
    raise UnsentError(failure.getErrorMessage()) from failure.value


@hookimpl
def skitai_services(instance):
    return {"echo": Echo(instance.reactor)}


@hookimpl
def skitai_cluster_types(instance):
    return {"echo": Echo(instance.reactor)}
