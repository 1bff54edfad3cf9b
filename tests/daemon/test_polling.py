"""A reactor that calls functions when something can be read."""

import socket

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactor
from twisted.python.failure import Failure

from skitai.daemon.polling import ReactorPoll


@pytest.fixture
def pair():
    first, second = socket.socketpair()
    with first, second:
        yield first


def test_what_is_watched_calls(pair):
    """The reactor has a reader with the descriptor; each time that it can be read, the function is called."""
    reactor, calls = MemoryReactor(), []
    poll = ReactorPoll(reactor)
    poll.watch(pair, lambda: calls.append("read"))
    [reader] = reactor.getReaders()
    assert reader.fileno() == pair.fileno()
    assert reader.logPrefix() == "poll"
    reader.doRead()
    reader.doRead()
    assert calls == ["read", "read"]
    reader.connectionLost(Failure(ConnectionDone()))  # as a reactor that stops says
    assert calls == ["read", "read"]


def test_no_longer_watched(pair):
    """What was given up is no reader any more; a second time does no harm."""
    reactor = MemoryReactor()
    poll = ReactorPoll(reactor)
    poll.watch(pair, lambda: None)
    poll.unwatch(pair)
    poll.unwatch(pair)
    assert reactor.getReaders() == []
