"""was.echo(): sends a line to an echo server, and gives the line that comes back."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver

from skitai.calls.operation import Operation
from skitai.calls.service import HostNode, Service
from skitai.errors import OperationError
from skitai.plugins import hookimpl


class Echo(Service):
    """``was.echo("host:port", "message")``; ``was.echo.lb`` and ``.map`` over clusters of the type echo."""

    cluster_types = frozenset({"echo"})
    default_port = 7

    def __init__(self, connector: Any) -> None:
        self._connector = connector

    def operation(self, target: str, message: str) -> Operation:
        line = message.encode()
        if b"\n" in line or len(line) > Conversation.MAX_LENGTH:
            raise ValueError(f"message must be one line of at most {Conversation.MAX_LENGTH} bytes")
        return Operation(target, line, cache_key=(target, line), idempotent=True)

    def perform(self, node: HostNode, operation: Operation) -> Deferred[str]:
        connecting = self._connector.connect(node, Factory.forProtocol(Conversation))
        return connecting.addCallback(lambda conversation: conversation.ask(operation.request))


class Conversation(LineOnlyReceiver):
    """Sends one line; ``reply`` fires with the line that comes back. Cancel it to hang up."""

    delimiter = b"\n"

    def ask(self, line: bytes) -> Deferred[str]:
        self.reply: Deferred[str] = Deferred(lambda _: self.transport.abortConnection())
        self.sendLine(line)
        return self.reply

    def lineReceived(self, line):
        self.transport.loseConnection()
        self.reply.callback(line.decode(errors="replace"))

    def connectionLost(self, reason):
        if not self.reply.called:
            self.reply.errback(OperationError(f"the echo server hung up: {reason.getErrorMessage()}"))


@hookimpl
def skitai_services(instance):
    return {"echo": Echo(instance.connector)}


@hookimpl
def skitai_cluster_types(instance):
    return {"echo": Echo(instance.connector)}
