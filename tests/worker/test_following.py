"""Clusters whose members DNS names: they come and go, and what is under way goes on."""

import attrs
import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from instances import RunningInstance, make_instance
from serving import eventually
from skitai.calls.cluster import Cluster, Member
from skitai.errors import UnsentError
from skitai.net.addresses import HTTPNode, member_node
from skitai.net.discovery import Found, Source, source_of
from skitai.services.http import plugin as http
from skitai.worker.following import Followed, Following, node_maker


class World:
    """A cluster with a fixed member and one source, on a fake clock; ``hosts`` is what DNS says."""

    def __init__(self, source="dns:search.internal:8080"):
        self.clock = Clock()
        self.hosts = succeed([])
        self.records = []
        self.asked = 0
        self.following = Following(self.clock, self, self._services)
        node_of = node_maker(lambda address: member_node(address, tls=False))
        fixed = (Member(HTTPNode("fixed", 80)),)
        self.cluster = Cluster("c", "http", fixed, self.clock.seconds, follows=True)
        self.following.followed.append(Followed(self.cluster, fixed, (source_of(source),), node_of))

    def resolve(self, host):
        assert host == "search.internal"
        self.asked += 1
        hosts = self.hosts
        return hosts if isinstance(hosts, Deferred) else succeed(list(hosts))

    def _services(self, name):
        self.asked += 1
        return succeed(self.records)

    def start(self, *hosts):
        self.hosts = hosts
        self.following.start()

    @property
    def labels(self):
        return [member.node.label for member in self.cluster.members]


@pytest.fixture
def world():
    return World()


def test_members_come_and_go(world):
    """The cluster has what DNS says, in the same order whatever the order of the answer."""
    world.start("10.0.0.2", "10.0.0.1")
    assert world.labels == ["fixed:80", "10.0.0.1:8080", "10.0.0.2:8080"]
    world.hosts = ["10.0.0.2", "10.0.0.3"]
    world.clock.advance(1)
    assert world.labels == ["fixed:80", "10.0.0.2:8080", "10.0.0.3:8080"]
    world.following.stop()
    world.hosts = []
    world.clock.advance(5)
    assert len(world.labels) == 3
    assert world.clock.getDelayedCalls() == []


def test_a_member_that_stays_keeps_its_state(world):
    """What is known of it is not forgotten; what is under way at one that goes ends there."""
    world.start("10.0.0.1", "10.0.0.2")
    _, stays, goes = world.cluster.members
    world.cluster.failed(stays)
    world.cluster.begin(goes)
    world.hosts = ["10.0.0.1"]
    world.clock.advance(1)
    assert world.cluster.members[1] is stays
    assert (stays.failures, goes.in_flight) == (1, 1)
    world.cluster.end(goes, False)


def test_a_name_server_that_is_away(world):
    """Those that are known stay, and the next answer counts again."""
    world.start("10.0.0.1")
    world.hosts = fail(UnsentError("host 'search.internal' was not found"))
    world.clock.advance(1)
    world.hosts = fail(UnsentError("host 'search.internal' was not found"))
    world.clock.advance(1)
    assert world.labels == ["fixed:80", "10.0.0.1:8080"]
    world.hosts = ["10.0.0.9"]
    world.clock.advance(1)
    assert world.labels == ["fixed:80", "10.0.0.9:8080"]


def test_an_answer_that_takes_long(world):
    """Nobody asks again meanwhile; an answer after the stop changes nothing."""
    late = Deferred()
    world.hosts = late
    world.following.start()
    world.clock.advance(3)
    assert world.asked == 1
    world.following.stop()
    late.callback(["10.0.0.1"])
    assert world.labels == ["fixed:80"]


def test_services():
    """SRV records (RFC 2782): the members of the first priority, with their ports and weights."""
    world = World("srv:_http._tcp.search.internal")
    world.records = [(10, 5, 8001, "b.internal"), (10, 0, 8000, "a.internal"), (20, 9, 9, "spare.internal")]
    world.following.start()
    assert world.labels == ["fixed:80", "a.internal:8000", "b.internal:8001"]
    assert [member.weight for member in world.cluster.members] == [1, 1, 5]
    world.clock.pump([1] * 9)
    assert world.asked == 1
    world.clock.advance(1)
    assert world.asked == 2


def test_services_that_are_none():
    """A record without a target or a port names nobody (RFC 2782), and one with a bad target only itself."""
    world = World("srv:_http._tcp.search.internal")
    world.records = [(0, 1, 80, ""), (0, 1, 0, "a.internal"), (5, 1, 80, "b c"), (5, 1, 80, "d.internal")]
    world.following.start()
    assert world.labels == ["fixed:80", "d.internal:80"]


def test_the_name_stays_for_host_and_certificate(world):
    """A member is connected to by its address, and asked by its name."""
    world.start("10.0.0.1", "2001:db8::1")
    first, second = (member.node for member in world.cluster.members[1:])
    assert (first.host, first.at, first.authority) == ("search.internal", "10.0.0.1", "search.internal:8080")
    assert second.label == "[2001:db8::1]:8080"


def test_nodes_that_have_no_name_of_their_own():
    """Where a service knows only addresses, the address takes the place of the name."""

    @attrs.frozen
    class Node:
        label: str

    node_of = node_maker(Node)
    assert node_of(Found("db.internal:5432/shop/u/p", "10.0.0.1")).label == "10.0.0.1:5432/shop/u/p"
    assert node_of(Found("db.internal/shop", "::1")).label == "[::1]/shop"


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("host:80", None),
        ("dns:a.b:80", Source("dns:", "a.b", ":80")),
        ("dns:a.b", Source("dns:", "a.b")),
        ("dns:a.b:5432/shop/u/p/w", Source("dns:", "a.b", ":5432", "/shop/u/p/w")),
        ("srv:_http._tcp.a.b", Source("srv:", "_http._tcp.a.b")),
    ],
)
def test_sources(address, source):
    """The two forms, and addresses that name a member."""
    assert source_of(address) == source


@pytest.mark.parametrize("address", ["dns:", "dns::80", "dns:a b:80", "srv:http.a.b", "srv:_http._sctp.a"])
def test_malformed_sources(address):
    """What is neither is refused."""
    with pytest.raises(ValueError, match="is not"):
        source_of(address)


def test_a_cluster_of_an_instance(reactor_thread, tmp_path):
    """localhost is looked up, too: the cluster of a server has its addresses, and answers."""
    config = tmp_path / "a.conf"
    config.write_text(
        "[server]\nip = 127.0.0.1\nport = 0\n"
        "[@c]\nmembers = dns:localhost:9\n[@none]\nmembers = dns:no.invalid:9\n"
    )
    running = RunningInstance(reactor_thread, make_instance(reactor_thread.reactor, config, http=http))
    try:
        was = running.instance.was
        eventually(lambda: was.cluster("@c").members, "the members")
        assert "127.0.0.1:9" in [member.label for member in was.cluster("@c").members]
        result = was.get("@none/").getwait(10)
        assert (result.code, result.msg) == (704, "cluster @none has no members at present")
        assert was.get.map("@none/").getswait(10).code == [704]
    finally:
        running.stop()
