"""How accepted connections end."""

import os
import socket
import time

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.protocol import Factory, Protocol

from skitai.net.endpoints import PortEndpoint
from skitai.net.listening import listen
from wire import PATIENCE


class Answering(Protocol):
    """Calls ``answer`` with what the client sends, and notes what happens."""

    def __init__(self, answer, events):
        self.answer, self.events = answer, events

    def dataReceived(self, data):
        self.answer(self.transport, data)
        self.events.append(("read", bool(self.transport.connected), self.waits_to_write()))

    def connectionLost(self, reason):
        self.events.append(reason.type.__name__)

    def waits_to_write(self):
        return self.transport in self.transport.reactor.getWriters()


@pytest.fixture
def ask(reactor_thread):
    """Return ``ask(answer)``: what a client gets to the end, and what the protocol has seen."""
    ports = []

    def ask(answer, *sent):
        events = []
        factory = Factory()
        factory.noisy = False
        factory.buildProtocol = lambda address: Answering(answer, events)
        [found] = reactor_thread.call(listen, reactor_thread.reactor, [PortEndpoint("127.0.0.1", 0)], factory)
        ports.append(found.port)
        got = b""
        with socket.create_connection(("127.0.0.1", found.port.getHost().port), timeout=PATIENCE) as client:
            for data in sent or (b"x",):
                client.sendall(data)
                time.sleep(0.05 if sent else 0)
            try:
                while piece := client.recv(1 << 16):
                    got += piece
            except ConnectionResetError:
                got += b"reset"
        return got, reactor_thread.call(lambda: events)

    yield ask
    for port in ports:
        reactor_thread.call(port.stopListening)


def test_a_connection_that_is_closed_while_it_is_read_ends_after_that_without_another_turn(ask):
    got, events = ask(lambda transport, data: transport.loseConnection())
    assert got == b""
    assert events == [("read", True, False), "ConnectionDone"]


@pytest.mark.parametrize("size", [5, 20_000_000])
def test_what_was_written_before_and_after_the_call_is_sent(ask, size):
    def answer(transport, data):
        transport.write(b"a" * size)
        transport.loseConnection()
        transport.write(b"b")

    got, events = ask(answer)
    assert got == b"a" * size + b"b"
    assert events[-1] == "ConnectionDone"


def test_what_is_written_only_after_the_call_is_sent(ask):
    def answer(transport, data):
        transport.loseConnection()
        transport.write(b"late")

    assert ask(answer)[0] == b"late"


def test_a_producer_finishes_first(ask):
    class Producer:
        left = 3

        def resumeProducing(self):
            self.left -= 1
            self.transport.write(b"p")
            if not self.left:
                self.transport.unregisterProducer()

        def stopProducing(self):
            """Do nothing."""

    def answer(transport, data):
        producer = Producer()
        producer.transport = transport
        transport.registerProducer(producer, False)
        transport.loseConnection()

    assert ask(answer)[0] == b"ppp"


def test_an_abort_after_the_call_is_one(ask):
    def answer(transport, data):
        transport.loseConnection()
        transport.abortConnection()

    got, events = ask(answer)
    assert got == b"reset"
    assert events[-1] == "ConnectionAborted"


def test_a_half_closed_connection_can_be_closed(ask):
    def answer(transport, data):
        transport.loseWriteConnection()
        transport.loseConnection()

    got, events = ask(answer)
    assert got == b""
    assert events[-1] == "ConnectionDone"


def test_a_protocol_that_fails_loses_its_connection(ask):
    def answer(transport, data):
        transport.loseConnection()
        raise ZeroDivisionError

    _, events = ask(answer)
    assert events[-1] in ("ZeroDivisionError", "ConnectionLost")


def test_small_writes_do_not_wait_for_each_other(ask):
    got, _ = ask(
        lambda transport, data: (
            transport.write(b"%d" % transport.getTcpNoDelay()) or transport.loseConnection()
        )
    )
    assert got == b"1"


def test_a_factory_that_fails_loses_one_connection_and_not_the_port(reactor_thread):
    made = []

    def build(address):
        made.append(address.port)
        if len(made) == 1:
            raise ZeroDivisionError
        if len(made) == 2:
            return None
        return Answering(lambda transport, data: transport.loseConnection(), [])

    factory = Factory()
    factory.noisy = False
    factory.buildProtocol = build
    [found] = reactor_thread.call(listen, reactor_thread.reactor, [PortEndpoint("127.0.0.1", 0)], factory)
    address = "127.0.0.1", found.port.getHost().port
    own = []
    for count in range(3):
        with socket.create_connection(address, timeout=PATIENCE) as client:
            own.append(client.getsockname()[1])
            if count == 2:
                client.sendall(b"x")
            assert not client.recv(1)
    reactor_thread.call(found.port.stopListening)
    assert made == own


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_a_connection_knows_its_addresses(reactor_thread, host):
    seen = []

    def build(address):
        protocol = Answering(lambda transport, data: transport.loseConnection(), [])
        protocol.connectionMade = lambda: seen.append(
            (address, protocol.transport.getPeer(), protocol.transport.getHost(), str(protocol.transport))
        )
        return protocol

    factory = Factory()
    factory.noisy = False
    factory.buildProtocol = build
    [found] = reactor_thread.call(listen, reactor_thread.reactor, [PortEndpoint(host, 0)], factory)
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    port = found.port.getHost().port
    with socket.create_connection((local, port), timeout=PATIENCE) as client:
        own = client.getsockname()
        client.sendall(b"x")
        assert not client.recv(1)
    reactor_thread.call(found.port.stopListening)
    [(given, peer, to, name)] = seen
    kind = IPv6Address if ":" in host else IPv4Address
    assert given == peer == kind("TCP", *own)
    assert to == kind("TCP", local, port)
    assert name == f"<Answering,1,{local}>"


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("goodbye", [False, True])
def test_its_client_learns_of_the_end_though_a_child_has_the_socket_too(ask, goodbye):
    """A child that an app forks keeps what is open, until it ends or begins another program."""
    children = []

    def answer(transport, data):
        child = os.fork()
        if child == 0:
            time.sleep(PATIENCE * 10)
            os._exit(0)
        children.append(child)
        transport.has_ended = goodbye  # as TLS says
        transport.write(b"bye")
        transport.loseConnection()

    try:
        got, events = ask(answer)
        assert got == b"bye"
        assert events[-1] == "ConnectionDone"
    finally:
        for child in children:
            os.kill(child, 9)
            os.waitpid(child, 0)


def test_the_log_knows_it_by_its_protocol_also_when_that_is_gone(ask):
    names = []

    class Asking(Answering):
        def connectionLost(self, reason):
            names.append(str(self.transport))

    def answer(transport, data):
        transport.protocol.__class__ = Asking
        names.append(str(transport))
        transport.loseConnection()

    ask(answer)
    before, after = names
    assert before == after
    assert "Answering" in before
    assert before.endswith("127.0.0.1>")


def test_its_client_learns_of_the_end_though_it_has_sent_more_than_was_read(ask):
    """Such as a line break behind the body of a POST (RFC 9112, section 2.2)."""

    def answer(transport, data):
        time.sleep(0.2)  # the rest comes meanwhile
        transport.write(b"bye")
        transport.loseConnection()

    got, events = ask(answer, b"x", b"\r\n")
    assert got == b"bye"
    assert events[-1] == "ConnectionDone"
