"""When a mail is tried, by the clock of a test: delays, limits, servers that take nothing."""

from itertools import pairwise

import pytest

from skitai.daemon.mail.lanes import Lane, Waiting
from skitai.daemon.mail.queue import Queue
from skitai.daemon.mail.retries import Policy
from skitai.mail.envelope import Server

POLICY = Policy(10, random=lambda: 0.5)


def mail(name="a", at=0.0, created=0.0):
    return Waiting(at, name, created)


class TestPolicy:
    """How often, and how far apart."""

    def test_delays(self):
        """They grow fourfold up to 4.5 hours, then there are 6 hours between two tries."""
        assert [POLICY.delay(tries) for tries in range(1, 10)] == [
            4, 16, 64, 256, 1024, 4096, 16384, 21600, 21600,
        ]  # fmt: skip

    @pytest.mark.parametrize(("chance", "seconds"), [(0, 12), (1, 20)])
    def test_jitter(self, chance, seconds):
        assert Policy(10, random=lambda: chance).delay(2) == seconds

    def test_last(self):
        """As many tries as configured follow the first."""
        assert [Policy(2).is_last(tries) for tries in (1, 2, 3)] == [False, False, True]
        assert Policy(0).is_last(1)


class TestLane:
    """The mails of one server."""

    def test_order(self):
        """The oldest is the first; one that waits is due in its time."""
        lane = Lane()
        for name, at in (("late", 20.0), ("a", 0.0), ("b", 0.0)):
            lane.add(mail(name, at), 10.0)
        assert [lane.take(10.0).id, lane.take(10.0).id] == ["a", "b"]
        assert lane.take(10.0) == 10.0
        assert lane.next_time(10.0) == 20.0
        assert lane.take(20.0).id == "late"
        assert lane.take(20.0) is None

    def test_clock_set_back(self):
        """Nothing waits longer because of that: neither a mail, nor the server, nor the rate."""
        lane = Lane(rate=1)
        for name, at in (("a", 0.0), ("b", 0.0), ("late", 100_500.0)):
            lane.add(mail(name, at), 100_000.0)
        assert lane.take(100_000.0).id == "a"
        lane.failed(100_000.0, POLICY)
        back = 100_000.0 - 86_400
        assert lane.take(back) == 4
        assert lane.take(back + 4) == pytest.approx(60 - 1 - 4)
        assert lane.take(back + 60).id == "b"
        assert lane.take(back + 400) == 100
        assert lane.take(back + 500).id == "late"

    def test_rate(self):
        """60 mails a minute are one each second, without a burst after a rest."""
        lane = Lane(rate=60)
        for name in "abcd":
            lane.add(mail(name), 100.0)
        taken = []
        now = 100.0
        while (found := lane.take(now)) is not None:
            if isinstance(found, Waiting):
                taken.append(now)
            else:
                now += found
        assert [later - earlier for earlier, later in pairwise(taken[1:])] == [1.0, 1.0]
        assert taken[1] - taken[0] <= 1.0

    def test_workers(self):
        """There are as many workers as mails, up to the limit."""
        lane = Lane(connections=2)
        assert not lane.wants_worker(0.0)
        for name in "abc":
            lane.add(mail(name), 0.0)
        for _ in range(2):
            assert lane.wants_worker(0.0)
            lane.workers += 1
        assert not lane.wants_worker(0.0)

    def test_idle_worker(self):
        """A worker that waits takes the next mail; no other is wanted for that."""
        lane = Lane(workers=1)
        lane.add(mail(), 0.0)
        assert not lane.wants_worker(0.0)
        lane.busy = 1
        assert lane.wants_worker(0.0)

    def test_failing_server(self):
        """All mail waits for a server that takes nothing, longer each time; then one mail is tried."""
        lane = Lane()
        for name in "ab":
            lane.add(mail(name), 0.0)
        assert lane.failed(0.0, POLICY) == 4.0
        assert lane.failed(1.0, POLICY) == 4.0  # another connection, the same failure
        assert lane.take(1.0) == 3.0
        assert not lane.wants_worker(3.9)
        assert lane.next_time(1.0) == 4.0
        assert lane.wants_worker(4.0)
        lane.workers = 1
        assert not lane.wants_worker(4.0)
        assert lane.failed(4.0, POLICY) == 20.0
        assert lane.works()
        assert not lane.works()
        assert lane.wants_worker(5.0)

    def test_one_connection_too_many(self):
        """A server that refuses a further connection has as many as it took, for a minute."""
        lane = Lane(connected=1, workers=1, busy=1)
        for name in "abc":
            lane.add(mail(name), 0.0)
        assert lane.is_full(0.0)
        assert not lane.wants_worker(59.0)
        assert lane.next_time(1.0) == 60.0
        assert lane.wants_worker(60.0)
        assert not Lane().is_full(0.0)

    def test_expired(self):
        """A server that takes nothing for as long as a mail may be tried has its old mails given up."""
        policy = Policy(2, random=lambda: 0.5)
        assert policy.patience == 20.0
        lane = Lane()
        lane.add(mail("old", created=0.0), 0.0)
        lane.add(mail("waits", at=500.0, created=10.0), 0.0)
        lane.add(mail("new", created=95.0), 95.0)
        now = 0.0
        for _ in range(2):
            now = lane.failed(now, policy)
            assert lane.gives_up_before(now, policy) == 0.0
        lane.failed(now, policy)
        assert lane.gives_up_before(100.0, policy) == 80.0
        assert {old.id for old in lane.expired(80.0)} == {"old", "waits"}
        assert len(lane) == 1


class TestQueue:
    """All servers together."""

    @pytest.fixture
    def hired(self):
        return []

    @pytest.fixture
    def queue(self, hired):
        self.now = 1000.0
        queue = Queue(lambda: self.now, hired.append, lambda: None)
        queue.limit(2, 0)
        return queue

    def test_each_server_has_its_workers(self, queue, hired):
        """One server does not stall another."""
        other = Server("127.0.0.1:2525")
        queue.add(None, mail("a"))
        queue.failed(None, "900 nobody there", POLICY)
        queue.add(other, mail("b"))
        assert hired == [None, other]
        assert queue.take(other, 0).id == "b"
        assert queue.take(None, 0) is None

    def test_many_servers(self, queue, hired):
        """However many servers mails name, dead ones perhaps, that of the configuration is asked at once."""
        for number in range(300):
            queue.add(Server(f"127.0.0.1:{number}"), mail(f"m{number}"))
        assert len(hired) < 300
        queue.add(None, mail("a"))
        assert hired[-1] is None

    def test_known(self, queue):
        """A mail is known until it is forgotten; it is not taken twice."""
        queue.add(None, mail("a"))
        taken = queue.take(None, 0)
        queue.add(None, mail("a"))
        assert queue.take(None, 0) is None
        assert queue.knows("a")
        queue.later(None, taken._replace(at=1004.0))
        assert queue.next_time() == 1004.0
        queue.add(None, mail("a"))  # somebody wants it to be tried now
        assert queue.take(None, 0).id == "a"
        queue.forget("a")
        assert not queue.knows("a")

    def test_timer(self, queue, hired):
        """A worker is wanted when a mail is due."""
        queue.add(None, mail("a", at=1010.0))
        assert (hired, queue.next_time()) == ([], 1010.0)
        self.now = 1010.0
        queue.start_workers()
        assert hired == [None]

    def test_stop(self, queue):
        """Nothing is given out at the end."""
        queue.add(None, mail("a"))
        queue.stop()
        assert queue.take(None, 10) is None

    def test_lanes_go(self, queue):
        """A server that has no mail any more takes no memory."""
        other = Server("127.0.0.1:2525")
        queue.add(other, mail("b"))
        queue.take(other, 0)
        queue.forget("b")
        queue.left(other)
        assert other not in queue._lanes

    def test_trouble_is_news_once(self, queue):
        queue.add(None, mail("a"))
        assert queue.failed(None, "535 wrong", POLICY)[1]
        self.now = 1010.0
        assert not queue.failed(None, "535 wrong", POLICY)[1]
        assert queue.failed(None, "900 gone", POLICY)[1]
        assert queue.works(None)
        assert queue.failed(None, "900 gone", POLICY)[1]
