"""Which address of a name is tried when, and what comes of it where none can be reached."""

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionRefusedError, NoRouteError, TimeoutError  # noqa: A004 - Twisted's
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from skitai.net.addresses import HostNode
from skitai.net.connector import Connector


class Known:
    """A resolver that knows the addresses of every name, and tells them at once."""

    def __init__(self, *addresses):
        self.addresses = addresses

    def resolveHostName(self, receiver, hostName, portNumber=0, addressTypes=None, transportSemantics="TCP"):
        for address in self.addresses:
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, portNumber))
        receiver.resolutionComplete()

    def close(self):
        """Hold nothing."""


class Greeter(Protocol):
    """Speaks first."""

    def connectionMade(self):
        self.transport.write(b"hello")


class Running:
    """One way to a name, on a reactor without sockets."""

    def __init__(self, *addresses, host="one.test", public=False):
        self.reactor = MemoryReactorClock()
        connector = Connector(self.reactor, resolver=Known(*addresses))
        self.asked = connector.connect(HostNode(host, 80, public=public), Factory.forProtocol(Greeter))
        self.failures = []
        self.asked.addErrback(self.failures.append)

    @property
    def tried(self):
        return [client[0] for client in self.reactor.tcpClients]

    @property
    def stopped(self):
        return [connector.stoppedConnecting for connector in self.reactor.connectors]

    def fail(self, number, kind=ConnectionRefusedError):
        self.reactor.tcpClients[number][2].clientConnectionFailed(None, Failure(kind()))

    def connect(self, number):
        protocol = self.reactor.tcpClients[number][2].buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        return transport


def test_a_refusal_starts_the_next():
    """The address after one that fails is tried in the same instant."""
    running = Running("10.0.0.1", "10.0.0.2")
    assert running.tried == ["10.0.0.1"]
    running.fail(0)
    assert running.tried == ["10.0.0.1", "10.0.0.2"]
    assert not running.failures


def test_silence_starts_the_next():
    """An address that keeps silent is joined by the next one after a quarter of a second."""
    running = Running("10.0.0.1", "10.0.0.2", "10.0.0.3")
    running.reactor.advance(0.24)
    assert len(running.tried) == 1
    running.reactor.advance(0.01)
    assert len(running.tried) == 2
    running.fail(0)
    running.reactor.advance(0.24)
    assert len(running.tried) == 3
    running.reactor.advance(0.25)
    assert len(running.tried) == 3


def test_the_first_connection_wins():
    """The protocol gets the first connection, and all other attempts end."""
    running = Running("10.0.0.1", "10.0.0.2", "10.0.0.3")
    running.reactor.advance(0.25)
    transport = running.connect(1)
    assert transport.value() == b"hello"
    running.reactor.advance(1)
    assert running.stopped == [True, False]
    assert len(running.tried) == 2


def test_families_take_turns():
    """Addresses of the other family are not kept waiting by all those of the first."""
    running = Running("::1", "::2", "::3", "10.0.0.1", "10.0.0.2")
    for number in range(5):
        running.fail(number)
    assert running.tried == ["::1", "10.0.0.1", "::2", "10.0.0.2", "::3"]


@pytest.mark.parametrize(
    ("kinds", "code", "words"),
    [
        ([ConnectionRefusedError, NoRouteError], 701, "one.test:80 refused the connection"),
        ([TimeoutError, NoRouteError], 702, "no connection to one.test:80 in time"),
        ([TimeoutError, ConnectionRefusedError], 701, "one.test:80 refused the connection"),
        ([NoRouteError], 706, "no connection to one.test:80: No route to host"),
        ([], 704, "host 'one.test' was not found"),
    ],
)
def test_what_is_said_where_all_fail(kinds, code, words):
    """Where no address can be reached, the failure that says most is told, and nothing goes on."""
    running = Running(*(f"10.0.0.{number}" for number, _ in enumerate(kinds)))
    for number, kind in enumerate(kinds):
        assert not running.failures
        running.fail(number, kind)
    error = running.failures[0].value
    assert (error.code, error.message[: len(words)]) == (code, words)
    running.reactor.advance(1)
    assert running.reactor.getDelayedCalls() == []


def test_cancelling_ends_every_attempt():
    """Cancelling stops the attempts under way, and no further one begins."""
    running = Running("10.0.0.1", "10.0.0.2", "10.0.0.3")
    running.reactor.advance(0.25)
    running.asked.cancel()
    assert running.failures[0].check(CancelledError)
    assert running.stopped == [True, True]
    running.reactor.advance(10)
    assert len(running.tried) == 2
    assert running.reactor.getDelayedCalls() == []


def test_only_public_addresses_are_tried_for_a_stranger():
    """What a name stands for is looked at where it is connected to, so no second look-up can change it."""
    running = Running("10.0.0.1", "::1", "8.8.8.8", "169.254.169.254", public=True)
    assert running.tried == ["8.8.8.8"]
    running.fail(0)
    assert "refused the connection" in str(running.failures[0].value)
    assert running.tried == ["8.8.8.8"]


def test_a_name_without_a_public_address_is_not_reached():
    """The message says why; nothing is connected, be it a name, an address or one in another form."""
    for running in (
        Running("127.0.0.1", "fd00::1", public=True),
        Running(host="169.254.169.254", public=True),
        Running(host="::ffff:10.0.0.1", public=True),
    ):
        assert running.tried == []
        (failure,) = running.failures
        assert str(failure.value).startswith("[706] ")
        assert "is at no public address" in str(failure.value)
    assert Running(host="8.8.8.8", public=True).tried == ["8.8.8.8"]
    assert Running(host="127.0.0.1").tried == ["127.0.0.1"]
