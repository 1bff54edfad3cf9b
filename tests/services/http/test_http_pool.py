"""Which connection a request gets, when one is repeated, and what cancelling and closing leave behind."""

import socket
from pathlib import Path

import pytest
from http_servers import OK, HTTPTestCase, Peer, sending
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock

from clocks import OnClock
from skitai.config import Config
from skitai.errors import OperationError, OperationTimeout, UnsentError
from skitai.net.connector import Connector
from skitai.services.http import ConnectionPool, HTTPService, plugin

FIRST_ONLY = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"


def silent(peer):
    """Handle a request by never answering."""


async def arrived(server, count):
    """Wait until the server has seen that many requests."""
    while len(server.heads) < count:
        await deferLater(reactor, 0.005)


class ReuseTests(HTTPTestCase):
    async def test_one_connection_for_one_request_after_the_other(self):
        """A connection is kept alive and carries the next request, also one made in a callback."""
        server = self.serve(sending(OK))
        pool = self.pool()
        for _ in range(3):
            await self.ask(pool, server.url)
        nested = self.ask(pool, server.url).addCallback(lambda _: self.ask(pool, server.url))
        assert (await nested).data == b"ok"
        assert (len(server.peers), len(server.heads)) == (1, 5)

    async def test_connections_that_must_not_be_reused(self):
        """A reply that says close, is HTTP/1.0 or has bytes after it costs the connection only."""
        closing = OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        for data in (closing, OK.replace(b"1.1", b"1.0"), OK + OK):
            server = self.serve(sending(data))
            pool = self.pool()
            assert [(await self.ask(pool, server.url)).data for _ in range(2)] == [b"ok", b"ok"]
            assert len(server.peers) == 2
            await gatherResults([peer.lost for peer in server.peers])

    async def test_the_servers_own_time(self):
        """A connection is not used in the last second that its server keeps it, nor kept any longer.

        Keep-Alive is that of RFC 2068, section 19.7.1.1. A POST at just that moment would be lost, as nobody
        knows whether it was served (RFC 9112, section 9.3.1). undici and hyper read the field, too.
        """
        for field, seconds, is_kept in [
            (b"timeout=5, max=100", 3.9, True),
            (b"timeout=5, max=100", 4, False),
            (b'max=7, Timeout = "5"', 4, False),
            (b"timeout=1", 0.4, True),
            (b"timeout=1", 0.5, False),
            (b"timeout=0", 0, False),
            (b"timeout=never", 9, True),
            (b"max=5", 9, True),
            (b"timeout=99999999999999999999", 9, True),
        ]:
            on = OnClock()
            server = self.serve(sending(OK.replace(b"\r\n", b"\r\nKeep-Alive: %b\r\n" % field, 1)))
            pool = self.pool(on=on)
            for _ in range(2):
                await self.ask(pool, server.url, method="POST")
                on.clock.rightNow += seconds  # without a sweep
            assert (len(server.peers) == 1) is is_kept, (field, seconds)

    async def test_the_sweep_knows_the_servers_time(self):
        """An idle connection whose server has said 5 s is closed after 4; one without such a word is not."""
        on = OnClock()
        polite = self.serve(sending(OK.replace(b"\r\n", b"\r\nKeep-Alive: timeout=5\r\n", 1)))
        silent = self.serve(sending(OK))
        pool = self.pool(on=on)
        for server in (polite, silent):
            await self.ask(pool, server.url)
        on.clock.pump([1] * 3)
        assert pool.statistics()["idle"] == 2
        on.clock.pump([1] * 2)
        await polite.peers[0].lost
        assert not polite.peers[0].was_reset
        assert pool.statistics()["idle"] == 1

    async def test_unasked_reply(self):
        """A reply that nobody asked for closes the idle connection and answers no later request."""
        server = self.serve(sending(OK))
        pool = self.pool()
        await self.ask(pool, server.url)
        server.peers[0].write(b"HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n")
        await server.peers[0].lost
        assert (await self.ask(pool, server.url)).code == 200

    async def test_unasked_bytes_in_the_kernel(self):
        """Even bytes that the reactor has not read yet keep a request off the connection."""
        for method in ("GET", "POST"):
            server = self.serve(sending(OK))
            pool = self.pool()
            await self.ask(pool, server.url)
            server.peers[0].slip(b"HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n")
            assert (await self.ask(pool, server.url, method=method)).code == 200
            assert len(server.peers) == 2

    async def test_unasked_bytes_while_an_app_computes(self):
        """Bytes that come after an app asked and before its turn ends do so, too: it may take its time."""
        for method in ("GET", "POST"):
            server = self.serve(sending(OK))
            pool = self.pool()
            await self.ask(pool, server.url)
            asked = self.ask(pool, server.url, method=method)
            server.peers[0].slip(b"HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n")
            assert (await asked).code == 200
            assert (len(server.peers), len(server.heads)) == (2, 2)

    async def test_unasked_bytes_before_the_turn_ends(self):
        """What comes between a request and the end of the reactor's turn is not the reply to it."""
        server, other = self.serve(sending(OK)), self.serve(silent)
        pool = self.pool()
        await self.ask(pool, server.url)
        awaited = self.ask(pool, other.url)
        await arrived(other, 1)
        # Both are there when the reactor looks next; the first makes the app ask again.
        other.peers[0].slip(OK)
        server.peers[0].slip(b"HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n")
        await awaited
        assert (await self.ask(pool, server.url)).code == 200
        assert (len(server.peers), len(server.heads)) == (2, 2)

    async def test_closed_while_idle(self):
        """A connection that the server closed meanwhile is not used for a POST, which would be lost."""
        server = self.serve(sending(OK))
        pool = self.pool()
        for known in (True, False):
            await self.ask(pool, server.url)
            peer = server.peers[-1]
            peer.transport.socket.shutdown(socket.SHUT_WR)
            if known:  # to the reactor, which closes the other side
                await peer.lost
            assert (await self.ask(pool, server.url, method="POST")).data == b"ok"
            assert server.peers[-1] is not peer

    def stale(self, *, lose):
        """Return a server whose connections answer once and take the second request to the grave."""
        return self.serve(lambda peer: peer.write(OK) if peer.requests == 1 else lose(peer))

    async def test_stale_get_is_repeated(self):
        """A GET that a stale connection swallowed is repeated without the app noticing."""
        for lose in (lambda peer: peer.close(), lambda peer: peer.reset()):
            server = self.stale(lose=lose)
            pool = self.pool()
            assert [(await self.ask(pool, server.url)).data for _ in range(2)] == [b"ok", b"ok"]
            assert (len(server.peers), len(server.heads)) == (2, 3)

    async def test_stale_post_is_not_repeated(self):
        """A POST that may have arrived is not repeated."""
        server = self.stale(lose=lambda peer: peer.close())
        pool = self.pool()
        await self.ask(pool, server.url)
        error = await self.error_of(self.ask(pool, server.url, method="POST"), OperationError)
        assert (error.code, isinstance(error, UnsentError)) == (700, False)
        assert len(server.heads) == 2

    async def test_a_get_is_repeated_only_once(self):
        """A server that closes every connection gets a second request and no third."""
        server = self.serve(lambda peer: peer.write(OK) if len(server.heads) == 1 else peer.close())
        pool = self.pool()
        await self.ask(pool, server.url)
        assert (await self.error_of(self.ask(pool, server.url), OperationError)).code == 700
        assert len(server.heads) == 3

    async def test_a_begun_reply_is_not_repeated(self):
        """A request whose reply broke off is not repeated: the server has done its work."""
        begin = sending(FIRST_ONLY, close=True)
        server = self.serve(lambda peer: peer.write(OK) if peer.requests == 1 else begin(peer))
        pool = self.pool()
        await self.ask(pool, server.url)
        assert (await self.error_of(self.ask(pool, server.url), OperationError)).code == 700
        assert len(server.heads) == 2


class LimitTests(HTTPTestCase):
    async def test_queue(self):
        """Requests beyond the limit wait in order for a connection; cancelled ones leave the queue."""
        server = self.serve(silent)
        pool = self.pool(connections=1)
        asked = [self.ask(pool, server.url + str(number)) for number in range(4)]
        asked[2].cancel()
        await self.error_of(asked[2], CancelledError)
        for turn, number in enumerate((0, 1, 3)):
            await arrived(server, turn + 1)
            server.peers[0].write(OK)
            assert (await asked[number]).code == 200
        assert len(server.peers) == 1
        assert [head.split()[1] for head in server.heads] == [b"/0", b"/1", b"/3"]

    async def test_queue_moves_up_when_a_connection_is_lost(self):
        """Whatever ends a connection, the next in the queue gets a new one."""
        server = self.serve(silent)
        pool = self.pool(connections=1)
        asked = [self.ask(pool, server.url) for _ in range(4)]
        await arrived(server, 1)
        server.peers[0].reset()
        assert (await self.error_of(asked[0], OperationError)).code == 706
        await arrived(server, 2)
        asked[1].cancel()
        await self.error_of(asked[1], CancelledError)
        await arrived(server, 3)
        server.peers[2].write(OK.replace(b"1.1", b"1.0"))
        await asked[2]
        await arrived(server, 4)
        server.peers[3].write(OK)
        assert (await asked[3]).code == 200

    async def test_idle_limit(self):
        """No more connections than allowed are kept idle."""
        server = self.serve(sending(OK))
        pool = self.pool(idle=2)
        await gatherResults([self.ask(pool, server.url) for _ in range(5)])
        while sum(peer.lost.called for peer in server.peers) < 3:
            await deferLater(reactor, 0.005)
        assert not any(peer.was_reset for peer in server.peers if peer.lost.called)
        await gatherResults([self.ask(pool, server.url) for _ in range(2)])
        assert len(server.peers) == 5

    async def test_full_queue(self):
        """A request beyond the queue's limit fails at once, and those in the queue get their turn."""
        server = self.serve(silent)
        pool = self.pool(connections=1, waiting=1)
        asked = [self.ask(pool, server.url) for _ in range(3)]
        error = await self.error_of(asked[2], UnsentError)
        assert error.message == f"1 requests wait for a connection to 127.0.0.1:{server.port} already"
        for turn in range(2):
            await arrived(server, turn + 1)
            server.peers[0].write(OK)
            assert (await asked[turn]).data == b"ok"

    async def test_total_limit(self):
        """Hosts share the limit of all connections: an idle one makes room, else they queue in order."""
        servers = [self.serve(silent) for _ in range(3)]
        pool = self.pool(total=1)
        asked = [self.ask(pool, server.url) for server in servers]
        for server, one in zip(servers, asked, strict=True):
            await arrived(server, 1)
            assert sum(len(other.heads) for other in servers) == 1 + servers.index(server)
            server.peers[0].write(OK)
            assert (await one).data == b"ok"
        assert pool.statistics()["open"] == 1

    async def test_total_limit_without_a_connection(self):
        """A host whose only request leaves the queue is forgotten, and those behind it get their turn."""
        one, other = self.serve(silent), self.serve(silent)
        pool = self.pool(total=1)
        first = self.ask(pool, one.url)
        gone = self.ask(pool, other.url.replace("127.0.0.1", "127.0.0.2"))
        last = self.ask(pool, other.url)
        gone.cancel()
        await self.error_of(gone, CancelledError)
        assert len(pool.statistics()["hosts"]) == 2
        await arrived(one, 1)
        one.peers[0].write(OK)
        await first
        await arrived(other, 1)
        other.peers[0].write(OK)
        assert (await last).data == b"ok"

    async def test_total_limit_and_a_host_that_no_longer_waits(self):
        """A turn is not lost on a host whose request has left the queue, though it has connections."""
        one, other = self.serve(silent), self.serve(silent)
        pool = self.pool(total=2)
        kept = [self.ask(pool, one.url), self.ask(pool, one.url)]
        await arrived(one, 2)
        gone, last = self.ask(pool, one.url), self.ask(pool, other.url)
        gone.cancel()
        await self.error_of(gone, CancelledError)
        one.peers[0].write(OK)
        await arrived(other, 1)
        for peer in (one.peers[1], other.peers[0]):
            peer.write(OK)
        assert [(await asked).data for asked in (*kept, last)] == [b"ok"] * 3

    async def test_stale_retry_is_under_the_limits(self):
        """A request that a stale connection swallowed waits for its turn, before those that came later."""

        def answer(peer):
            if peer.requests == 1:
                peer.write(OK)
            else:
                peer.close()

        stale, other = self.serve(answer), self.serve(silent)
        pool = self.pool(total=1)
        await self.ask(pool, stale.url)
        repeated, first = self.ask(pool, stale.url), self.ask(pool, other.url)
        later = self.ask(pool, f"{stale.url}later")
        await arrived(other, 1)
        assert pool.statistics()["open"] == 1
        assert len(stale.peers) == 1
        other.peers[0].write(OK)
        await first
        assert [(await one).data for one in (repeated, later)] == [b"ok", b"ok"]
        assert [head.split()[1] for head in stale.heads[2:4]] == [b"/", b"/later"]

    async def test_a_connector_that_raises(self):
        """What raises where a connection is to be made fails that request, and no later one."""
        server = self.serve(silent)
        pool = self.pool(connections=1)
        asked = [self.ask(pool, server.url) for _ in range(3)]
        await arrived(server, 1)
        connect, pool.connector.connect = pool.connector.connect, lambda *args, **options: 1 / 0
        server.peers[0].close()
        assert (await self.error_of(asked[0], OperationError)).code == 700
        for one in asked[1:]:
            await self.error_of(one, ZeroDivisionError)
        pool.connector.connect = connect
        last = self.ask(pool, server.url)
        await arrived(server, 2)
        server.peers[1].write(OK)
        assert (await last).data == b"ok"

    async def test_many_that_fail_at_once(self):
        """However many wait, attempts that fail at once fail one after the other, not within each other."""
        resolver = NobodyKnown()
        pool = self.pool(resolver=resolver, connections=1)
        asked = [self.ask(pool, "http://unknown.test/") for _ in range(2000)]
        resolver.receiver.resolutionComplete()
        for one in asked:
            assert (await self.error_of(one, UnsentError)).code == 704
        assert pool.statistics()["hosts"] == []

    async def test_statistics(self):
        """The statistics say what every host has and what became of the requests."""
        server = self.serve(lambda peer: peer.write(OK) if peer.head.startswith(b"GET / ") else None)
        pool = self.pool(connections=2)
        for _ in range(2):
            await self.ask(pool, server.url)
        asked = [self.ask(pool, f"{server.url}{number}") for number in range(3)]
        counts = {"open": 2, "idle": 0, "in_use": 2, "waiting": 1}
        totals = {"requests": 5, "reused": 2, "errors": 0}
        host = {"host": f"127.0.0.1:{server.port}", "tls": False}
        assert pool.statistics() == {**counts, **totals, "hosts": [{**host, **counts}]}
        await pool.close()
        for one in asked:
            await self.error_of(one, OperationError)
        assert pool.statistics() == {**dict.fromkeys(counts, 0), **totals, "errors": 3, "hosts": []}


class SweepTests(HTTPTestCase):
    async def test_idle_connections_expire(self):
        """A connection without use is closed after a while, not reset; then no timer is left.

        A reset is an error for its server: that of Python's http.server prints a traceback.
        """
        on = OnClock()
        server = self.serve(sending(OK))
        pool = self.pool(on=on)
        await self.ask(pool, server.url)
        on.clock.advance(5)
        assert not server.peers[0].lost.called
        on.clock.advance(5)
        await server.peers[0].lost
        assert not server.peers[0].was_reset
        await deferLater(reactor, 0)
        on.clock.advance(5)
        assert on.clock.getDelayedCalls() == []

    async def test_use_keeps_a_connection(self):
        """A connection in regular use does not expire, and there is one timer however many requests."""
        on = OnClock()
        server = self.serve(sending(OK))
        pool = self.pool(on=on)
        for _ in range(8):
            await self.ask(pool, server.url)
            assert len(on.clock.getDelayedCalls()) == 1
            on.clock.advance(5)
        assert len(server.peers) == 1

    async def test_silence(self):
        """A request to a server that goes silent fails with a timeout, before and within the reply."""
        for handler in (silent, sending(FIRST_ONLY)):
            on = OnClock()
            server = self.serve(handler)
            asked = self.ask(self.pool(on=on), server.url)
            await arrived(server, 1)
            await deferLater(reactor, 0.05)
            on.clock.pump([5] * 11)
            assert not asked.called
            on.clock.advance(5)
            error = await self.error_of(asked, OperationTimeout)
            assert (error.code, error.status) == (702, 1)
            assert "sent nothing for 60 seconds" in error.message
            await server.peers[0].lost

    async def test_timeouts_are_taken_at_their_word(self):
        """Silence ends within a second of its time, and a handshake that does not end at its very time."""
        on = OnClock()
        server = self.serve(silent)
        pool = self.pool(on=on, connect_seconds=1, silence_seconds=2)
        silence, handshake = self.ask(pool, server.url), self.ask(pool, server.url.replace("http", "https"))
        while len(server.peers) < 2 or not server.heads or len(server.everything) < 300:
            await deferLater(reactor, 0.005)
        on.clock.advance(0.9)
        assert not handshake.called
        on.clock.advance(0.1)
        error = await self.error_of(handshake, UnsentError)
        assert (error.code, error.message) == (702, f"no connection to 127.0.0.1:{server.port} in time")
        on.clock.advance(0.9)
        assert not silence.called
        on.clock.advance(1.1)
        assert (await self.error_of(silence, OperationTimeout)).code == 702
        await gatherResults([peer.lost for peer in server.peers])

    async def test_a_slow_upload_is_no_silence(self):
        """A request is not failed while the server takes its body, however slowly, but when it stops to."""
        on = OnClock()

        def handler(peer):
            peer.in_body = True
            peer.transport.pauseProducing()

        server = self.serve(handler)
        asked = self.ask(self.pool(on=on), server.url, bytes(16 << 20), method="POST")
        await arrived(server, 1)
        while len(server.everything) < 8 << 20:
            on.clock.advance(5)
            assert not asked.called
            before = len(server.everything)
            server.peers[0].transport.resumeProducing()
            while len(server.everything) < before + (1 << 19):
                await deferLater(reactor, 0.001)
            server.peers[0].transport.pauseProducing()
            await deferLater(reactor, 0.01)
        on.clock.pump([5] * 13)
        assert (await self.error_of(asked, OperationTimeout)).code == 702
        server.peers[0].transport.resumeProducing()

    async def test_an_answer_before_the_end_of_the_upload(self):
        """A server that answers early has answered; what it did not take is no part of a later request."""

        def handler(peer):
            if not peer.in_body:
                peer.in_body = peer.head.startswith(b"POST")
                peer.transport.pauseProducing()
                peer.write(OK)

        server = self.serve(handler)
        pool = self.pool()
        assert (await self.ask(pool, server.url, bytes(32 << 20), method="POST")).data == b"ok"
        server.peers[0].transport.resumeProducing()
        assert (await self.ask(pool, server.url)).data == b"ok"
        assert len(server.peers) == 2


class CancelTests(HTTPTestCase):
    async def test_cancelling_closes_the_socket(self):
        """Cancelling before or within the reply closes the socket at once and fails with CancelledError."""
        for handler in (silent, sending(FIRST_ONLY)):
            server = self.serve(handler)
            asked = self.ask(self.pool(), server.url)
            await arrived(server, 1)
            await deferLater(reactor, 0.02)
            asked.cancel()
            await self.error_of(asked, CancelledError)
            await server.peers[0].lost

    async def test_cancelling_a_repeated_request(self):
        """A request that is being repeated on a fresh connection is cancelled there."""
        server = self.serve(
            lambda peer: [silent, Peer.close, lambda peer: peer.write(OK)][-min(len(server.heads), 3)](peer)
        )
        pool = self.pool()
        await self.ask(pool, server.url)
        asked = self.ask(pool, server.url)
        await arrived(server, 3)
        asked.cancel()
        await self.error_of(asked, CancelledError)
        await server.peers[1].lost

    async def test_cancelling_before_the_server_is_there(self):
        """Cancelling right after asking gives up the attempt to connect."""
        server = self.serve(silent)
        asked = self.ask(self.pool(), server.url)
        asked.cancel()
        await self.error_of(asked, CancelledError)
        await deferLater(reactor, 0.02)
        assert server.heads == []

    async def test_cancelling_while_a_name_is_resolved(self):
        """Cancelling gives up on a name that is still being resolved, whatever comes of it later."""
        resolver = NeverResolver()
        before = reactor.installNameResolver(resolver)
        self.addCleanup(reactor.installNameResolver, before)
        asked = self.ask(self.pool(), "http://slow.test/")
        asked.cancel()
        await self.error_of(asked, CancelledError)
        resolver.receiver.resolutionComplete()

    async def test_closing_the_pool(self):
        """Closing fails what is waiting, connecting or under way with code 705, and closes all sockets."""
        server = self.serve(lambda peer: peer.write(OK) if peer.head.endswith(b"/") else None)
        pool = self.pool(connections=2)
        asked = [self.ask(pool, server.url) for _ in range(3)]
        asked[0].addErrback(lambda _: None)
        await arrived(server, 2)
        asked[0] = self.ask(pool, server.url)
        closed = pool.close()
        for one in asked:
            error = await self.error_of(one, UnsentError if one is not asked[1] else OperationError)
            assert error.code == 705
        await closed
        await gatherResults([peer.lost for peer in server.peers])
        assert (await self.error_of(self.ask(pool, server.url), UnsentError)).code == 705

    async def test_closing_an_idle_pool(self):
        """Closing closes idle connections, and twice is as good as once."""
        server = self.serve(sending(OK))
        pool = self.pool()
        await self.ask(pool, server.url)
        await gatherResults([pool.close(), pool.close()])
        await server.peers[0].lost
        assert not server.peers[0].was_reset


class NeverResolver:
    """Keeps whoever asks waiting."""

    def resolveHostName(self, receiver, hostName, portNumber=0, addressTypes=None, transportSemantics="TCP"):
        self.receiver = receiver


class NobodyKnown(NeverResolver):
    """Keeps the first waiting until ``release``, and tells everybody else that there is no such host."""

    receiver = None

    def resolveHostName(self, receiver, *args, **kwargs):
        if self.receiver is None:
            self.receiver = receiver
        else:
            receiver.resolutionComplete()

    def close(self):
        """Hold nothing."""


@pytest.fixture
def memory():
    """A reactor without sockets, and a pool on it."""
    reactor = MemoryReactorClock()
    return reactor, ConnectionPool(reactor)


def get(pool, url="http://10.0.0.1/"):
    """Return the Deferred of a GET."""
    service = HTTPService("GET", pool)
    operation = service.operation(url)
    return service.perform(service.node(url), operation)


def test_cancelling_an_attempt_stops_it(memory):
    """Cancelling while the connection is being made stops that."""
    reactor, pool = memory
    failures = []
    asked = get(pool).addErrback(failures.append)
    asked.cancel()
    assert reactor.connectors[0].stoppedConnecting
    assert failures[0].check(CancelledError)


def test_connecting_takes_too_long(memory):
    """A host that does not let itself be connected to is an UnsentError with code 702, when it is time."""
    reactor, pool = memory
    failures = []
    get(pool).addErrback(failures.append)
    reactor.advance(2.9)
    assert not failures
    reactor.advance(0.1)
    assert (type(failures[0].value), failures[0].value.code) == (UnsentError, 702)
    assert reactor.connectors[0].stoppedConnecting


class Instance:
    """What the plugin needs of an instance."""

    config = Config(Path("skitai.conf"))

    def __init__(self):
        self.reactor = MemoryReactorClock()
        self.connector = Connector(self.reactor)
        self.states = {}

    def state(self, owner, make):
        if owner not in self.states:
            self.states[owner] = make()
        return self.states[owner]

    def section(self, name):
        return self.config.claim({})[name]


def test_plugin():
    """Services of one instance share a pool, those of two instances do not; shutdown closes it."""
    one, two = Instance(), Instance()
    services = plugin.skitai_services(one)
    assert services["get"].method == "GET"
    assert plugin.skitai_cluster_types(one)["http"].cluster_types == {"http"}
    closed = plugin.skitai_shutdown(one)
    assert isinstance(closed, Deferred)
    assert closed.called
    failures = []
    for instance in (one, two):
        given = services if instance is one else plugin.skitai_services(two)
        for service in (given["get"], given["post"]):
            operation = service.operation("http://10.0.0.1/")
            service.perform(service.node("http://10.0.0.1/"), operation).addErrback(failures.append)
    assert [failure.value.code for failure in failures] == [705, 705]
    assert len(two.reactor.tcpClients) == 2
