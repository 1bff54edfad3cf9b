"""The addresses of a host name."""

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.testing import MemoryReactorClock

from skitai.errors import UnsentError
from skitai.net.connector import Connector


class Resolver:
    """Finds ``addresses`` when it is told to."""

    def __init__(self, *addresses):
        self.addresses = addresses
        self.asked = []

    def resolveHostName(self, receiver, host, portNumber=0):
        self.asked.append(host)
        self.receiver = receiver
        receiver.resolutionBegan(None)
        for address in self.addresses:
            family = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(family("TCP", address, 0))

    def close(self):
        """Do nothing."""


def resolving(resolver, host="db.test"):
    return Connector(MemoryReactorClock(), resolver=resolver).resolve(host)


def test_addresses_alternate():
    """The addresses come so that the two families take turns."""
    resolver = Resolver("10.0.0.1", "10.0.0.2", "::1")
    resolved = resolving(resolver)
    assert not resolved.called
    resolver.receiver.resolutionComplete()
    assert resolved.result == ["10.0.0.1", "::1", "10.0.0.2"]
    assert resolver.asked == ["db.test"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_is_its_own(host):
    """Nobody is asked about an address."""
    assert resolving(Resolver(), host).result == [host]


def test_no_address():
    """A name without addresses is an error with its code."""
    resolver = Resolver()
    resolved = resolving(resolver)
    resolver.receiver.resolutionComplete()
    failure = resolved.result
    resolved.addErrback(lambda _: None)
    assert failure.type is UnsentError
    assert (failure.value.code, failure.value.message) == (704, "host 'db.test' was not found")


def test_cancelling():
    """Whoever gives up hears nothing more."""
    resolver = Resolver("10.0.0.1")
    resolved = resolving(resolver)
    resolved.addErrback(lambda _: "given up")
    resolved.cancel()
    resolver.receiver.resolutionComplete()
    assert resolved.result == "given up"
