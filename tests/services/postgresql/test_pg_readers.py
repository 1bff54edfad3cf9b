"""Connections that are one reader of the reactor."""

import socket

import pytest
from twisted.logger import globalLogPublisher

from skitai.services.postgresql.readers import reading_together


class Reactor:
    """Knows its readers; ``read`` has those read that are asked for."""

    def __init__(self):
        self.readers = []
        self.addReader, self.removeReader = self.readers.append, self.readers.remove
        self.addWriter = self.removeWriter = self.callLater = None

    def read(self):
        for reader in list(self.readers):
            reader.doRead()


class Reader:
    """One end of a pair of sockets, of which the test has the other."""

    def __init__(self, group):
        self.other, self._socket = socket.socketpair()
        self._group = group
        self.got, self.lost = [], []
        self.then = lambda: None
        self.fileno = self._socket.fileno
        group.addReader(self)

    def doRead(self):
        self.got.append(self._socket.recv(10))
        self.then()

    def connectionLost(self, reason):
        self.lost.append(reason)
        self.close()

    def close(self):
        self._group.removeReader(self)
        self._socket.close()
        self.other.close()


class World:
    def __init__(self):
        self.reactor = Reactor()
        self.group = reading_together(self.reactor)
        self.one, self.two = Reader(self.group), Reader(self.group)


@pytest.fixture
def world():
    world = World()
    yield world
    for reader in (world.one, world.two):
        if reader.fileno() != -1:
            reader.close()


def test_those_that_are_ready_read(world):
    """The reactor knows one reader, which has those read that have something to read."""
    assert world.reactor.readers == [world.group]
    world.one.other.send(b"1")
    world.reactor.read()
    assert (world.one.got, world.two.got) == ([b"1"], [])
    world.two.other.send(b"2")
    world.reactor.read()
    assert (world.one.got, world.two.got) == ([b"1"], [b"2"])


def test_a_reactor_has_one_group(world):
    """Whoever connects in the same reactor gets the same group."""
    assert reading_together(world.reactor) is world.group
    assert reading_together(Reactor()) is not world.group


def test_the_end_of_a_connection(world):
    """The server's end of a connection is something to read."""
    world.one.other.close()
    world.reactor.read()
    assert world.one.got == [b""]


def test_one_that_another_one_closes(world):
    """What is closed in the same turn is not read any more."""
    world.one.then, world.two.then = world.two.close, world.one.close
    world.one.other.send(b"1")
    world.two.other.send(b"2")
    world.reactor.read()
    assert sorted(world.one.got + world.two.got) in ([b"1"], [b"2"])


def test_one_that_fails(world):
    """One whose reading raises is lost, and the other one reads."""
    world.one.then = lambda: 1 // 0
    world.one.other.send(b"1")
    world.two.other.send(b"2")
    failures = []
    globalLogPublisher.addObserver(failures.append)
    try:
        world.reactor.read()
    finally:
        globalLogPublisher.removeObserver(failures.append)
    assert world.two.got == [b"2"]
    (reason,) = world.one.lost
    assert reason.check(ZeroDivisionError)
    assert [event["log_failure"].value for event in failures] == [reason.value]


def test_nothing_is_left(world):
    """Without readers the reactor knows nothing of it, and its descriptor is closed."""
    world.one.close()
    world.two.close()
    assert (world.reactor.readers, world.group.fileno()) == ([], -1)


def test_readers_may_come_again(world):
    """After the last reader has gone, another one may come."""
    world.one.close()
    world.two.close()
    late = Reader(world.group)
    late.other.send(b"3")
    world.reactor.read()
    assert late.got == [b"3"]
    late.close()


def test_the_reactor_stops(world):
    """All are told."""
    world.group.connectionLost("stopped")
    assert (world.one.lost, world.two.lost) == (["stopped"], ["stopped"])
