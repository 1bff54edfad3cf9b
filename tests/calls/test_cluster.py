from collections import Counter, deque

import pytest
from twisted.internet.task import Clock

from skitai.calls.cluster import FIRST_PAUSE, LONGEST_PAUSE, TIMEOUTS_MAX, Cluster, Member
from skitai.net.addresses import HostNode


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(clock):
    """Make a cluster of members a, b, ... with these weights."""

    def make(*weights):
        members = [Member(HostNode(chr(97 + n), 80), weight) for n, weight in enumerate(weights)]
        return Cluster("c", "http", members, clock.seconds)

    return make


def picks(cluster, count):
    """Pick ``count`` members that never finish; return the letters."""
    letters = ""
    for _ in range(count):
        member = cluster.pick()
        member.in_flight += 1
        letters += member.node.host
    return letters


def test_ties_go_round(make):
    """Members that are equally busy take turns, whether or not they are done in between."""
    cluster = make(1, 1, 1)
    assert picks(cluster, 6) == "abcabc"
    for member in cluster.members:
        member.in_flight = 0
    assert "".join(cluster.pick().node.host for _ in range(6)) == "abcabc"


def test_the_least_busy_is_picked(make):
    """A member with less to do comes first."""
    cluster = make(1, 1, 1)
    cluster.members[0].in_flight = 2
    cluster.members[1].in_flight = 1
    assert picks(cluster, 3) == "cbc"


def test_weights_share_the_work(make):
    """A member of weight 3 has three times the work of one of weight 1."""
    assert Counter(picks(make(1, 3), 40)) == {"a": 10, "b": 30}


def test_weights_share_what_comes_one_after_the_other(make):
    """Requests that never overlap are shared in the same way: nobody is busy, and the weights still count."""
    cluster = make(1, 2, 1)
    assert Counter(cluster.pick().node.host for _ in range(40)) == {"a": 10, "b": 20, "c": 10}


@pytest.mark.parametrize("at_once", [1, 2, 3, 8, 40])
@pytest.mark.parametrize("weights", [(1, 10), (1, 2), (3, 1, 1), (1, 1, 1)])
def test_weights_share_the_work_however_much_there_is(make, weights, at_once):
    """The shares are those of the weights, whether requests come one by one or many at once."""
    cluster = make(*weights)
    under_way, picked = deque(), Counter()
    for _ in range(60 * sum(weights)):
        if len(under_way) == at_once:
            under_way.popleft().in_flight -= 1
        member = cluster.pick()
        member.in_flight += 1
        under_way.append(member)
        picked[member.node.host] += 1
    assert [picked[member.node.host] // 60 for member in cluster.members] == list(weights)


def test_who_was_away_does_not_catch_up(make, clock):
    """A member that is back after a rest gets its share from then on, not what it missed."""
    cluster = make(1, 1)
    a, b = cluster.members
    cluster.failed(a)
    for _ in range(20):
        assert cluster.pick() is b
    cluster.succeeded(a)
    assert Counter(cluster.pick().node.host for _ in range(10)) == {"a": 5, "b": 5}


def test_time_outs_in_a_row_are_a_failure(make):
    """A member that is silent again and again rests; an answer, or a mere look, is no such time-out."""
    cluster = make(1, 1)
    a = cluster.members[0]
    for seconds in [2.0] * (TIMEOUTS_MAX - 1) + [0.0] * 10:
        cluster.timed_out(a, False, seconds)
    cluster.succeeded(a)
    for _ in range(TIMEOUTS_MAX - 1):
        cluster.timed_out(a, False, 2.0)
    assert a.failures == 0
    cluster.timed_out(a, False, 2.0)
    assert (a.failures, a.paused_until) == (1, FIRST_PAUSE)


def test_what_was_tried_is_not_picked(make):
    """A second attempt goes elsewhere; when all were tried there is none."""
    cluster = make(1, 1)
    a, b = cluster.members
    assert cluster.pick([a]) is b
    assert cluster.pick([b]) is a
    assert cluster.pick([a, b]) is None


def test_a_failed_member_rests(make, clock):
    """A member that failed is passed over until its pause ends."""
    cluster = make(1, 1)
    a, b = cluster.members
    cluster.failed(a)
    assert [cluster.pick() for _ in range(3)] == [b, b, b]
    clock.advance(FIRST_PAUSE)
    assert cluster.pick() is a


def test_pauses_grow_up_to_the_longest(make, clock):
    """Each failure in a row doubles the pause, up to a limit."""
    cluster = make(1)
    member, pauses = cluster.members[0], []
    for _ in range(9):
        cluster.failed(member)
        pauses.append(member.paused_until - clock.seconds())
        clock.advance(pauses[-1])
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert pauses[-1] == LONGEST_PAUSE


def test_failures_while_it_rests_count_once(make, clock):
    """A member that breaks with a hundred requests under way rests no longer than for one."""
    cluster = make(1)
    member = cluster.members[0]
    for _ in range(100):
        cluster.failed(member)
    assert member.paused_until == FIRST_PAUSE


def test_an_answer_ends_the_pause(make):
    """A member that answers is well, and its next failure is its first."""
    cluster = make(1, 1)
    a = cluster.members[0]
    cluster.failed(a)
    cluster.succeeded(a)
    assert cluster.pick() is a
    cluster.failed(a)
    assert a.paused_until == FIRST_PAUSE


def test_when_all_rest_all_are_tried(make):
    """Where every member failed lately, any is better than none."""
    cluster = make(1, 1)
    a, b = cluster.members
    cluster.failed(a)
    cluster.failed(b)
    assert cluster.pick() is a
    assert cluster.pick([a]) is b


def test_a_resting_member_is_the_last_resort(make):
    """A second attempt goes to a resting member if all others were tried."""
    cluster = make(1, 1)
    a, b = cluster.members
    cluster.failed(a)
    assert cluster.pick([b]) is a


def test_needs_members(make):
    """A cluster of none raises ValueError that names it."""
    with pytest.raises(ValueError, match="cluster @c has no members"):
        make()


class TestProbing:
    @pytest.fixture
    def back(self, make, clock):
        """A cluster of two whose first member has just ended its pause."""
        cluster = make(1, 1)
        cluster.failed(cluster.members[0])
        clock.advance(FIRST_PAUSE)
        return cluster

    def test_one_request_at_a_time_finds_out(self, back):
        """While one request tries a member that failed, the others go elsewhere."""
        a, b = back.members
        assert back.pick() is a
        assert back.begin(a) is True
        assert [back.pick() for _ in range(3)] == [b, b, b]

    def test_an_answer_brings_it_back(self, back):
        """When the probe is answered, the member takes its share again."""
        a, b = back.members
        probe = back.begin(back.pick())
        back.end(a, probe)
        back.succeeded(a, 0.5)
        assert {back.pick(), back.pick()} == {a, b}
        assert back.begin(a) is False

    def test_a_failure_makes_it_rest_longer(self, back, clock):
        """When the probe fails, the next one comes after twice the pause."""
        a, b = back.members
        probe = back.begin(back.pick())
        back.end(a, probe)
        back.failed(a)
        assert [back.pick() for _ in range(2)] == [b, b]
        clock.advance(2 * FIRST_PAUSE)
        assert back.pick() is a

    def test_a_probe_that_was_cancelled_says_nothing(self, back):
        """The next request tries again."""
        a, _ = back.members
        back.end(a, back.begin(back.pick()))
        assert a in (back.pick(), back.pick())
        assert back.begin(a) is True

    def test_when_all_are_down_a_probe_keeps_nobody_off(self, make, clock):
        """Where no member is well, all are asked, probes or not."""
        cluster = make(1)
        cluster.failed(cluster.members[0])
        clock.advance(FIRST_PAUSE)
        cluster.begin(cluster.pick())
        assert cluster.pick() is cluster.members[0]
        assert cluster.begin(cluster.members[0]) is False

    def test_requests_from_before_the_failure_are_no_probes(self, back):
        """Long requests that were under way when the member broke do not keep it from being tried."""
        a, _ = back.members
        a.in_flight = 5
        back.members[1].in_flight = 9
        assert back.pick() is a


class TestView:
    def test_states(self, make, clock):
        """Each member is up, resting or probing, with its numbers."""
        cluster = make(1, 2, 1)
        a, b, c = cluster.members
        cluster.begin(a)
        cluster.begin(b)
        cluster.end(b, False)
        cluster.succeeded(b, 0.25)
        cluster.failed(c)
        clock.advance(FIRST_PAUSE)
        cluster.failed(a)
        clock.advance(0.25)
        view = cluster.view()
        assert (view.name, view.type) == ("c", "http")
        assert [(m.label, m.weight, m.state, m.rests_for) for m in view.members] == [
            ("a:80", 1, "resting", 0.75),
            ("b:80", 2, "up", 0),
            ("c:80", 1, "probing", 0),
        ]
        assert [(m.in_flight, m.requests, m.failures, m.latency) for m in view.members] == [
            (1, 1, 1, None),
            (0, 1, 0, 0.25),
            (0, 0, 1, None),
        ]
        assert repr(view) == "<http cluster @c: a:80 resting for 0.8 s, b:80 up, c:80 probing>"

    def test_latency_moves_towards_what_is_new(self, make):
        """The latency is an average in which the newest answers count most."""
        cluster = make(1)
        [member] = cluster.members
        for latency in [1.0, 2.0, *[2.0] * 30]:
            cluster.succeeded(member, latency)
        assert 1.99 < cluster.view().members[0].latency < 2

    def test_is_of_one_moment(self, make):
        """A view does not change afterwards."""
        cluster = make(1)
        view = cluster.view()
        cluster.begin(cluster.members[0])
        assert view.members[0].in_flight == 0
