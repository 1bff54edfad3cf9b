"""SRV records."""

from pathlib import Path

from http_servers import HTTPTestCase
from twisted.internet import reactor
from twisted.internet.protocol import DatagramProtocol
from twisted.names import dns

from skitai.errors import UnsentError
from skitai.net.dns.services import ServiceResolver

NAME = "_http._tcp.search.test"


class Server(DatagramProtocol):
    """Answers with ``records`` and a code; None: not at all."""

    noisy = False
    records = ()
    code = dns.OK

    def datagramReceived(self, datagram, addr):
        message = dns.Message()
        message.fromStr(datagram)
        message.answer, message.rCode = 1, self.code
        message.answers = [
            dns.RRHeader(NAME, dns.SRV, payload=dns.Record_SRV(*record), ttl=1) for record in self.records
        ]
        if self.code is not None:
            self.transport.write(message.toStr(), addr)


class ServiceTests(HTTPTestCase):
    def setUp(self):
        super().setUp()
        self.server = Server()
        listening = reactor.listenUDP(0, self.server, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        conf = Path(self.mktemp())
        conf.write_text("nameserver 127.0.0.1\n")
        self.ask = ServiceResolver(reactor, resolv_conf=conf, port=listening.getHost().port)

    async def problem(self):
        try:
            await self.ask(NAME)
        except UnsentError as error:
            return error.message

    async def test_records(self):
        """All records are there; no timer is left that would read resolv.conf for ever."""
        self.server.records = [(1, 2, 80, b"a.test"), (3, 4, 81, b".")]
        assert sorted(await self.ask(NAME)) == [(1, 2, 80, "a.test"), (3, 4, 81, "")]
        assert "maybeParseConfig" not in str(reactor.getDelayedCalls())

    async def test_no_such_name(self):
        """That is said."""
        self.server.code = dns.ENAME
        assert await self.problem() == f"{NAME}: DNS has no such name"

    async def test_a_server_that_fails(self):
        """So is that."""
        self.server.code = dns.ESERVER
        assert await self.problem() == f"{NAME}: no answer from DNS (DNSServerError)"

    async def test_no_answer(self):
        """That nobody answers is no error of this program."""
        self.server.code = None
        assert await self.problem() == f"{NAME}: no answer from DNS (TimeoutError)"
