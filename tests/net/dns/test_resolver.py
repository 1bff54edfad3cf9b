"""Names to addresses: hosts file, DNS, the system's resolver, and what is remembered of them."""

import os
import socket
from errno import EMFILE
from pathlib import Path
from unittest import SkipTest

import pytest
from http_servers import OK, HTTPTestCase, sending
from twisted.internet import reactor
from twisted.internet.defer import gatherResults, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import Clock, deferLater
from twisted.names import dns
from twisted.names.error import DomainError
from twisted.names.server import DNSServerFactory
from zope.interface.verify import verifyObject

from clocks import OnClock
from skitai.errors import UnsentError
from skitai.net.dns import Resolver
from skitai.net.dns.files import ResolvConf, parse_hosts, parse_resolv_conf
from skitai.net.dns.system import ask_system
from skitai.net.failures import NoDescriptorError
from skitai.net.resolving import resolve


class Zone:
    """An authority that knows ``records`` by (name, type) and counts what it is asked."""

    def __init__(self, records):
        self.records = records
        self.asked = []

    def query(self, query, timeout=None):
        name = query.name.name.decode()
        self.asked.append((name, dns.QUERY_TYPES[query.type]))
        found = [record for record in self.records if record.name.name.decode() == name]
        if not found:
            raise DomainError(name)
        return succeed(([record for record in found if record.type in (query.type, dns.CNAME)], [], []))


def a(name, address, ttl=60):
    return dns.RRHeader(name, dns.A, payload=dns.Record_A(address, ttl), ttl=ttl, auth=True)


def aaaa(name, address, ttl=60):
    return dns.RRHeader(name, dns.AAAA, payload=dns.Record_AAAA(address, ttl), ttl=ttl, auth=True)


class System:
    """The reactor's sockets, a clock that a test moves for what is remembered, and a system resolver."""

    def __init__(self, **known):
        self.clock = Clock()
        self.seconds = self.clock.seconds
        self.known = {name.replace("_", "."): address for name, address in known.items()}
        self.asked = []

    def __getattr__(self, name):
        return getattr(reactor, name)

    async def find(self, _, name):
        self.asked.append(name)
        if isinstance(found := self.known.get(name, ()), Exception):
            raise found
        return (found,) if found else ()


class Known:
    """A receiver as Twisted has them."""

    def resolutionBegan(self, resolution):
        pass

    def resolutionComplete(self):
        self.found = []


def raising(number):
    """Return what makes no socket."""

    def make(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return make


class Mute(DatagramProtocol):
    """A server that says nothing, or answers whatever it is asked with ``answer`` and with garbage."""

    noisy = False
    answer = None
    answered = 0

    def datagramReceived(self, datagram, addr):
        if self.answer is not None:
            question = dns.Message()
            question.fromStr(datagram)
            message = dns.Message(question.id, answer=1)
            message.queries = [dns.Query(self.answer.name.name, self.answer.type)]
            message.answers = [self.answer]
            for data in (b"garbage", message.toStr()):
                self.transport.write(data, addr)
            self.answered += 1


class ResolverTests(HTTPTestCase):
    def resolver(self, *records, conf="", hosts="", system=None, silent=False, first=None, **options):
        """Return a resolver whose server on 127.0.0.1 knows the records; without any there is none.

        Before it, ``first`` is asked, where nobody listens.
        """
        self.zone = Zone(records)
        self.system = system or System()
        port = 1
        if records or silent:
            factory = DNSServerFactory(clients=[self.zone])
            factory.noisy = False
            self.mute = Mute()
            protocol = self.mute if silent else dns.DNSDatagramProtocol(factory)
            protocol.noisy = False
            listening = reactor.listenUDP(0, protocol, interface="127.0.0.1")
            self.addCleanup(listening.stopListening)
            port = listening.getHost().port
        paths = {"resolv_conf": Path(self.mktemp()), "hosts": Path(self.mktemp())}
        servers = [server for server in (first, "127.0.0.1") if server]
        paths["resolv_conf"].write_text("".join(f"nameserver {server}\n" for server in servers) + conf)
        paths["hosts"].write_text(hosts)
        self.hosts_file = paths["hosts"]
        resolver = Resolver(self.system, port=port, system=self.system.find, **paths, **options)
        self.addCleanup(resolver.close)
        return resolver

    async def test_interface(self):
        """It is a resolver as Twisted has them."""
        assert verifyObject(IHostnameResolver, self.resolver())

    async def test_dns(self):
        """DNS is asked for both kinds of addresses, and the system is not."""
        resolver = self.resolver(a("one.test", "10.0.0.1"), aaaa("one.test", "2001:db8::1"))
        assert sorted(await resolver.lookup("one.test")) == ["10.0.0.1", "2001:db8::1"]
        assert sorted(self.zone.asked) == [("one.test", "A"), ("one.test", "AAAA")]
        assert self.system.asked == []

    async def test_remembered_for_its_time_to_live(self):
        """An answer is used again until its time to live is over, then the server is asked again."""
        resolver = self.resolver(a("one.test", "10.0.0.1", ttl=20), a("one.test", "10.0.0.2", ttl=30))
        for seconds, questions in ((0, 2), (19, 2), (2, 4)):
            self.system.clock.advance(seconds)
            assert await resolver.lookup("one.test") == ("10.0.0.1", "10.0.0.2")
            assert len(self.zone.asked) == questions

    async def test_shared(self):
        """Those who ask for one name at the same time share one question, and one may stop waiting."""
        resolver = self.resolver(a("one.test", "10.0.0.1"))
        lookups = [resolver.lookup("one.test") for _ in range(5)]
        impatient = lookups.pop()
        impatient.addErrback(lambda _: None)
        impatient.cancel()
        assert await gatherResults(lookups) == [("10.0.0.1",)] * 4
        assert len(self.zone.asked) == 2

    async def test_alias(self):
        """The addresses behind an alias are found, for the shortest time to live on the way."""
        alias = dns.RRHeader("www.test", dns.CNAME, payload=dns.Record_CNAME("one.test", 5), ttl=5)
        resolver = self.resolver(alias)
        self.zone.query = lambda query, timeout=None: succeed(
            ([alias, a("one.test", "10.0.0.1")] if query.type == dns.A else [alias], [], [])
        )
        assert await resolver.lookup("www.test") == ("10.0.0.1",)
        self.zone.query = lambda query, timeout=None: succeed(([a("www.test", "10.0.0.2")], [], []))
        self.system.clock.advance(5)
        assert await resolver.lookup("www.test") == ("10.0.0.2",)

    async def test_search_domains(self):
        """A short name is looked up in the search domains first, one with enough dots there last."""
        resolver = self.resolver(
            a("db.b.test", "10.0.0.1"), a("x.y.a.test", "10.0.0.2"), conf="search a.test b.test"
        )
        assert await resolver.lookup("db") == ("10.0.0.1",)
        assert [name for name, kind in self.zone.asked if kind == "A"] == ["db.a.test", "db.b.test"]
        self.zone.asked.clear()
        assert await resolver.lookup("x.y") == ("10.0.0.2",)
        assert [name for name, kind in self.zone.asked if kind == "A"] == ["x.y", "x.y.a.test"]
        self.zone.asked.clear()
        assert await resolver.lookup("db.") == ()
        assert [name for name, kind in self.zone.asked if kind == "A"] == ["db"]

    async def test_hosts_file(self):
        """The hosts file comes first, in any case of letters, and is read again when it changed."""
        resolver = self.resolver(
            a("one.test", "10.0.0.1"), hosts="10.1.1.1 One.test one # comment\n::1 one\n"
        )
        assert await resolver.lookup("one") == ("10.1.1.1", "::1")
        assert await resolver.lookup("one.test") == ("10.1.1.1",)
        assert self.zone.asked == []
        self.hosts_file.write_text("")
        self.system.clock.advance(1)
        assert await resolver.lookup("one.test") == ("10.0.0.1",)

    async def test_localhost_needs_no_file(self):
        """localhost is the loopback, whatever servers say."""
        resolver = self.resolver(a("localhost", "10.0.0.1"))
        assert await resolver.lookup("localhost") == ("127.0.0.1", "::1")
        assert await resolver.lookup("x.localhost.") == ("127.0.0.1", "::1")

    async def test_fallback(self):
        """The system is asked for what DNS does not know, or where no server answers."""
        system = System(printer_local="10.2.2.2")
        for records in ((a("one.test", "10.0.0.1"),), ()):
            resolver = self.resolver(*records, conf="options timeout:1 attempts:1", system=system)
            assert await resolver.lookup("printer.local") == ("10.2.2.2",)
        assert system.asked == ["printer.local"] * 2

    async def test_a_server_that_refuses(self):
        """Where nobody listens, the next server is asked at once, though epoll hides the refusal."""
        conf = "options timeout:20 attempts:1"
        resolver = self.resolver(a("one.test", "10.0.0.1"), conf=conf, first="127.0.0.2")
        begun = reactor.seconds()
        assert await resolver.lookup("one.test") == ("10.0.0.1",)
        assert reactor.seconds() - begun < 5

    async def test_no_servers(self):
        """Without a resolv.conf the system is asked at once."""
        system = System(one_test="10.2.2.2")
        resolver = Resolver(system, resolv_conf=Path("/nowhere"), hosts=Path("/nowhere"), system=system.find)
        assert await resolver.lookup("one.test") == ("10.2.2.2",)

    async def test_system_only(self):
        """With dns=False neither the hosts file nor a server is looked at; answers are kept for a while."""
        system = System(one_test="10.2.2.2")
        resolver = self.resolver(
            a("one.test", "10.0.0.1"), hosts="10.1.1.1 one.test", system=system, dns=False
        )
        for _ in range(2):
            assert await resolver.lookup("one.test") == ("10.2.2.2",)
        assert (system.asked, self.zone.asked) == (["one.test"], [])

    async def test_unknown(self):
        """That nobody knows a name is remembered for a few seconds only."""
        resolver = self.resolver(a("one.test", "10.0.0.1"))
        for seconds, questions in ((0, 1), (4, 1), (1, 2)):
            self.system.clock.advance(seconds)
            assert await resolver.lookup("two.test") == ()
            assert len(self.system.asked) == questions

    async def test_bounded(self):
        """No more names are remembered than a thousand or so: the oldest is forgotten."""
        resolver = self.resolver(system=System(), dns=False)
        for number in range(1025):
            await resolver.lookup(f"host{number}")
        await resolver.lookup("host1024")
        assert len(self.system.asked) == 1025
        await resolver.lookup("host0")
        assert len(self.system.asked) == 1026

    async def test_closing(self):
        """Closing ends every search, with no socket and no timer left behind; then nobody is asked."""
        resolver = self.resolver(silent=True)
        lookup = resolver.lookup("one.test")
        await deferLater(reactor, 0.01)
        assert not lookup.called
        resolver.close()
        assert await lookup == ()
        assert await resolver.lookup("two.test") == ()
        assert self.system.asked == []

    async def test_the_system_cannot_look(self):
        """Whoever waits is told, and the next one has it tried again: Twisted's resolver would never end."""
        system = System()
        system.known["one.test"] = OSError(22, "Invalid argument")  # as glibc says it without a descriptor
        resolver = self.resolver(system=system, dns=False)
        pool = self.pool(resolver=resolver)
        error = await self.error_of(self.ask(pool, "http://one.test:1/"), UnsentError)
        assert error.message == "no connection to one.test:1: [Errno 22] Invalid argument"
        error = await self.error_of(resolve(resolver, "one.test"), UnsentError)
        assert error.message == "host 'one.test' cannot be looked up: [Errno 22] Invalid argument"
        other = Known()
        resolver.resolveHostName(other, "one.test")
        assert other.found == []  # of Twisted's interface, which has no word for it
        system.known["one.test"] = "10.2.2.2"
        assert await resolver.lookup("one.test") == ("10.2.2.2",)

    async def test_no_descriptor_for_a_question(self):
        """No server can be asked then, nor the system, and the message says why."""
        resolver = self.resolver(silent=True)
        self.patch(socket, "socket", raising(EMFILE))
        error = await self.error_of(self.ask(self.pool(resolver=resolver), "http://one.test:1/"), UnsentError)
        assert isinstance(error, NoDescriptorError)
        assert error.code == 707
        assert error.message.startswith("no connection to one.test:1: all ")
        assert self.system.asked == []

    async def test_what_the_system_knows(self):
        """It is asked in a thread; a name that nobody has is no failure."""
        assert "127.0.0.1" in await ask_system(reactor, "localhost")
        assert await ask_system(reactor, "unknown.invalid.") == ()

    async def test_impossible_name(self):
        """What cannot be a name is found nowhere, and nobody is asked."""
        resolver = self.resolver(a("one.test", "10.0.0.1"))
        for name in ("x" * 64 + ".test", "x" * 60 + "." + "x" * 250, "a b", "a\0b", "", "a..test"):
            assert await resolver.lookup(name) == ()
        assert (self.zone.asked, self.system.asked) == ([], [])

    async def test_impossible_search_domain(self):
        """A search domain that DNS cannot carry is passed over: no malformed question leaves."""
        resolver = self.resolver(a("one", "10.0.0.1"), conf=f"search {'x' * 64}.test\n")
        assert await resolver.lookup("one") == ("10.0.0.1",)
        assert {name for name, _ in self.zone.asked} == {"one"}

    async def test_forged(self):
        """Datagrams that answer another question, or none, are passed over."""
        resolver = self.resolver(silent=True)
        self.mute.answer = a("two.test", "10.6.6.6")
        lookup = resolver.lookup("one.test")
        while self.mute.answered < 2:
            await deferLater(reactor, 0.005)
        assert not lookup.called

    async def test_connecting(self):
        """A pool connects through it: to names, names with underscores, and not to unknown ones."""
        server = self.serve(sending(OK))
        resolver = self.resolver(a("my_app.test", "127.0.0.1"), a("one.test", "127.0.0.1"))
        pool = self.pool(resolver=resolver)
        for name in ("one.test", "my_app.test"):
            assert (await self.ask(pool, f"http://{name}:{server.port}/")).data == b"ok"
        error = await self.error_of(self.ask(pool, "http://unknown.test/"), UnsentError)
        assert (error.code, error.message) == (704, "host 'unknown.test' was not found")
        assert self.system.asked == ["unknown.test"]

    async def test_connecting_over_ipv6(self):
        """A name with addresses of both kinds is reached wherever a server listens."""
        try:
            server = self.serve(sending(OK), host="::1")
        except CannotListenError:
            raise SkipTest("no IPv6 here") from None
        resolver = self.resolver(a("both.test", "127.0.0.1"), aaaa("both.test", "::1"))
        result = await self.ask(self.pool(resolver=resolver), f"http://both.test:{server.port}/")
        assert result.data == b"ok"

    async def test_next_address(self):
        """Where nobody listens at one address of a name, the next is tried at once: no clock need move."""
        server = self.serve(sending(OK), host="127.0.0.2")
        resolver = self.resolver(a("one.test", "127.0.0.1"), a("one.test", "127.0.0.2"))
        pool = self.pool(on=OnClock(), resolver=resolver)
        result = await self.ask(pool, f"http://one.test:{server.port}/")
        assert result.data == b"ok"


def test_resolv_conf():
    """Servers, search domains and options are read; what makes no sense is passed over."""
    text = (
        "# comment\n; another\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver\nnameserver ::1\n"
        "domain old.test\nsearch A.test. b.test\noptions ndots:5 timeout:1 attempts:99 rotate ndots:x\nodd\n"
    )
    assert parse_resolv_conf(text) == ResolvConf(("10.0.0.1", "::1"), ("a.test", "b.test"), 5, 1, 5)
    assert parse_resolv_conf("") == ResolvConf()
    assert len(parse_resolv_conf("nameserver 10.0.0.1\n" * 9).servers) == 3


def test_hosts():
    """A name may have several addresses; lines that are none are passed over."""
    text = "10.0.0.1 a b\n\nx a\n10.0.0.2\n::1 B. # c\n"
    assert parse_hosts(text) == {"a": ("10.0.0.1",), "b": ("10.0.0.1", "::1")}


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("a", ["a.s.test", "a"]),
        ("a.b", ["a.b.s.test", "a.b"]),
        ("a.b.c", ["a.b.c", "a.b.c.s.test"]),
        ("a.", ["a"]),
    ],
)
def test_ndots(name, names):
    """Names with fewer dots than ndots are searched for first."""
    assert list(ResolvConf(search=("s.test",), ndots=2).candidates(name)) == names
