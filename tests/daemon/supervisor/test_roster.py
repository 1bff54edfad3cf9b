"""Who is wanted, who is replaced, and when: with a clock of the test's own."""

import pytest

from skitai.daemon.supervisor.roster import Limits, Roster, Seen
from skitai.processes import State


class Hands:
    """Notes what is done. ``workers`` are those that were forked, in order."""

    def __init__(self):
        self.workers = []
        self.asked = []
        self.killed = []
        self.stacks = []
        self.said = []
        self.refusals = []
        self.retired = []

    def fork(self, worker):
        worker.pid = 1000 + len(self.workers)
        self.workers.append(worker)

    def ask_to_end(self, worker):
        self.asked.append(worker)

    def kill(self, worker):
        self.killed.append(worker)

    def ask_for_stacks(self, worker):
        self.stacks.append(worker)

    def say(self, text, *, is_bad=False):
        self.said.append(text)

    def refused(self, generation, reason, status):
        self.refusals.append((generation, reason, status))

    def retire(self, generation):
        self.retired.append(generation)


class Server:
    """A roster of eight slots, its hands, and the time."""

    def __init__(self):
        self.hands = Hands()
        self.roster = Roster(self.hands, self._free, lambda: 0.5)
        self.now = 100.0
        self.seen = {}

    def _free(self):
        return (number for number in range(8) if number not in self.roster.workers)

    @property
    def forked(self):
        return self.hands.workers

    def load(self, generation=1, processes=3, **limits):
        self.roster.nominate(generation, Limits(processes, **limits), self.now)

    def ready(self, *workers, failed=()):
        for worker in workers:
            self.roster.ready(worker.slot, failed, self.now)

    def gone(self, worker, reason="killed by SIGKILL", **kwargs):
        self.roster.gone(worker.slot, reason, self.now, **kwargs)

    def look(self, seconds=0.0, **seen):
        """Let the time pass, and look. ``seen`` is what the board says of all; else they have just beaten."""
        self.now += seconds
        self.roster.look(lambda worker: self.seen.get(worker) or Seen(self.now, **seen), self.now)

    def up(self, processes=3, **limits):
        """Start with workers that have served for some time; return them."""
        self.load(processes=processes, **limits)
        workers = list(self.forked)
        self.ready(*workers)
        self.look(10)
        return workers

    def states(self):
        """Return how many workers of each generation are in each state."""
        found = {}
        for worker in self.roster.workers.values():
            key = worker.generation, worker.state.name
            found[key] = found.get(key, 0) + 1
        return found


@pytest.fixture
def server():
    return Server()


def test_start(server):
    """All workers are forked at once, each in a slot of its own."""
    server.load(processes=3)
    assert [worker.slot for worker in server.forked] == [0, 1, 2]
    assert server.states() == {(1, "STARTING"): 3}
    server.ready(*server.forked)
    server.look(60)
    assert server.states() == {(1, "READY"): 3}
    assert len(server.forked) == 3


class TestDeaths:
    """Workers that end though nobody asked them to."""

    def test_replaced_at_once(self, server):
        """One that has served is replaced at once, however often that happens; the log says why."""
        for _ in range(20):
            victim = server.forked[-1] if server.forked else server.up()[0]
            server.ready(victim)
            server.look(2)
            before = len(server.forked)
            server.gone(victim)
            assert len(server.forked) == before + 1
            assert server.forked[-1].slot == victim.slot
        assert server.hands.said[0] == "worker 0 (pid 1000) is gone: killed by SIGKILL; it is replaced"

    def test_growing_pauses(self, server):
        """The first that ends at its start costs no pause; then pauses double, up to a limit."""
        healthy = server.up()
        pauses = []
        server.gone(healthy[0])
        for _ in range(12):
            before = len(server.forked)
            died = server.now
            server.gone(server.forked[-1], "exit status 1")
            while len(server.forked) == before:
                server.look(0.25)
            pauses.append(server.now - died)
        assert pauses == [0, 0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30]
        assert server.hands.said[-1].endswith("it is replaced in 30.0 s, after 12 that ended at their start")

    def test_pauses_end(self, server):
        """One that serves for a second ends the pauses; those that began before do not count."""
        healthy = server.up()
        server.gone(healthy[0])
        for _ in range(3):
            server.gone(server.forked[-1])
            server.look(2)
        server.look(60)  # the two healthy ones serve on
        server.gone(server.forked[-1])
        assert "in 2.0 s" in server.hands.said[-1]
        server.look(2)
        server.ready(server.forked[-1])
        server.look(1)
        server.gone(server.forked[-1])
        assert server.hands.said[-1].endswith("killed by SIGKILL; it is replaced")
        assert server.states() == {(1, "READY"): 2, (1, "STARTING"): 1}

    def test_asked_by_others(self, server):
        """One that ends in good order without being asked by the supervisor is replaced, too."""
        server.gone(server.up()[1], "exit status 0")
        assert server.states() == {(1, "READY"): 2, (1, "STARTING"): 1}

    def test_cannot_serve(self, server):
        """If the first workers find that the config cannot be served, the server does not come up."""
        server.load()
        server.gone(server.forked[0], "exit status 2", is_final=True)
        assert server.hands.refusals == [(1, "a worker ended at its start: exit status 2", 2)]

    def test_cannot_serve_any_more(self, server):
        """Later, it is tried again and again."""
        workers = server.up()
        server.gone(workers[0])
        server.gone(server.forked[-1], "exit status 2", is_final=True)
        assert server.hands.refusals == []
        assert server.states() == {(1, "READY"): 2, (1, "STARTING"): 1}


class TestReload:
    """A newer generation takes over."""

    def test_one_by_one(self, server):
        """Each new worker is ready before an old one ends, and there is never more than one too many."""
        old = server.up()
        server.load(generation=2)
        assert server.states() == {(1, "READY"): 3, (2, "STARTING"): 1}
        for number in range(3):
            assert (len(server.forked), len(server.hands.asked)) == (4 + number, number)
            server.ready(server.forked[-1])
            assert len(server.hands.asked) == number + 1
            server.look(1)
        assert server.states() == {(1, "DRAINING"): 3, (2, "READY"): 3}
        assert server.hands.retired == []
        for worker in old:
            server.gone(worker, "exit status 0")
        assert server.hands.retired == [1]
        assert server.states() == {(2, "READY"): 3}
        assert len(server.forked) == 6

    def test_more_and_fewer(self, server):
        """The new generation has as many workers as its config wants."""
        server.up(processes=2)
        server.load(generation=2, processes=4)
        while server.states().get((2, "READY"), 0) < 4:
            server.ready(server.forked[-1])
        assert server.states() == {(1, "DRAINING"): 2, (2, "READY"): 4}
        server.load(generation=3, processes=1)
        server.ready(server.forked[-1])
        assert server.states() == {(1, "DRAINING"): 2, (2, "DRAINING"): 4, (3, "READY"): 1}

    @pytest.mark.parametrize("how", ["apps", "death"])
    def test_refused(self, server, how):
        """If the first new worker cannot serve, the old ones go on, and the log names the reason."""
        server.up()
        server.load(generation=2)
        new = server.forked[-1]
        if how == "apps":
            server.ready(new, failed=["cannot load /a", "cannot load /b"])
            assert server.hands.refusals == [(2, "cannot load /a\ncannot load /b", 2)]
            assert server.hands.killed == [new]
            server.gone(new)
        else:
            server.gone(new, "exit status 1")
            assert server.hands.refusals == [(2, "its first worker ended at its start: exit status 1", 2)]
        server.look(60)
        assert server.hands.retired == [2]
        assert server.hands.asked == []
        assert server.states() == {(1, "READY"): 3}
        server.load(generation=3)
        server.ready(server.forked[-1])
        assert server.states() == {(1, "READY"): 2, (1, "DRAINING"): 1, (3, "READY"): 1, (3, "STARTING"): 1}

    def test_apps_that_never_worked(self, server):
        """At the very start there is nothing to go on with: what can be served is."""
        server.load()
        server.ready(server.forked[0], failed=["cannot load /a"])
        assert server.hands.refusals == []

    def test_a_death_meanwhile(self, server):
        """The one that starts takes the place of an old worker that dies, and the reload goes on."""
        old = server.up()
        server.load(generation=2)
        server.ready(server.forked[-1])
        assert server.states() == {(1, "READY"): 2, (1, "DRAINING"): 1, (2, "READY"): 1, (2, "STARTING"): 1}
        alive = [worker for worker in old if worker.state is State.READY]
        server.gone(alive[0])
        server.ready(server.forked[-1])
        assert server.states() == {(1, "READY"): 1, (1, "DRAINING"): 1, (2, "READY"): 2, (2, "STARTING"): 1}

    def test_newer_than_the_candidate(self, server):
        """A generation that is loaded while another one's first worker starts takes its place."""
        server.up()
        server.load(generation=2)
        server.load(generation=3)
        assert [generation for generation, _, _ in server.hands.refusals] == [2]
        server.gone(server.forked[-2])
        server.ready(server.forked[-1])
        assert server.states()[3, "READY"] == 1
        assert server.hands.retired == [2]

    def test_generations_that_end_for_long(self, server):
        """At most two generations may take their time to end: the workers of older ones are hurried."""
        first = server.up(processes=1, end_seconds=1000)
        for generation in (2, 3, 4):
            server.load(generation=generation, processes=1, end_seconds=1000)
            server.ready(server.forked[-1])
            server.look(1)
        assert server.hands.asked.count(first[0]) == 1
        server.load(generation=5, processes=1, end_seconds=1000)
        server.ready(server.forked[-1])
        assert server.hands.asked.count(first[0]) == 2
        server.look(2)
        assert server.hands.killed == [first[0]]


class TestLostNursery:
    """The process that forks is gone, and with it the workers end."""

    def test_current(self, server):
        """Nothing is forked until there is another one, which then serves at once."""
        old = server.up()
        server.roster.lose(1, server.now)
        server.gone(old[0], "exit status 0")
        server.look(1)
        assert len(server.forked) == 3
        server.load(generation=2)
        assert server.states() == {(1, "DRAINING"): 2, (2, "STARTING"): 3}

    def test_candidate(self, server):
        """The workers of before go on."""
        server.up()
        server.load(generation=2)
        server.roster.lose(2, server.now)
        assert server.hands.refusals == [(2, "its process is gone", 2)]
        assert server.states()[1, "READY"] == 3


class TestHeartbeats:
    """Workers that hang."""

    def test_hung(self, server):
        """It is asked where it is, killed a second later, and replaced when it is gone."""
        worker = server.up(worker_timeout=5)[0]
        server.seen[worker] = Seen(heartbeat=server.now)
        server.look(5)
        assert server.hands.stacks == []
        server.look(0.5)
        server.look(0.5)
        assert server.hands.stacks == [worker]
        assert server.hands.killed == []
        server.look(0.5)
        assert server.hands.killed[0] is worker
        assert server.hands.said[-1] == "worker 0 (pid 1000) hangs: it is killed"
        server.gone(worker)
        assert server.states() == {(1, "READY"): 2, (1, "STARTING"): 1}

    def test_merely_slow(self, server):
        """One that goes on in its last second is spared."""
        worker = server.up(worker_timeout=5)[0]
        server.seen[worker] = Seen(heartbeat=server.now)
        server.look(5.5)
        assert server.hands.stacks == [worker]
        del server.seen[worker]
        server.look(0.5)
        server.look(60)
        assert server.hands.killed == []

    def test_slow_to_start(self, server):
        """A start may take ten times as long: apps are loaded."""
        server.load(processes=1, worker_timeout=5)
        worker = server.forked[0]
        server.seen[worker] = Seen(heartbeat=server.now)
        server.look(50)
        assert server.hands.stacks == []
        server.look(1)
        server.look(1)
        assert server.hands.killed == [worker]

    def test_the_supervisor_was_stopped(self, server):
        """Heartbeats that were missed while the supervisor did not run either do not count."""
        worker = server.up(worker_timeout=5)[0]
        server.seen[worker] = Seen(heartbeat=server.now)
        server.now += 3600
        server.roster.spare(server.now)
        server.look(4)
        assert server.hands.stacks == []

    def test_off(self, server):
        """Without worker_timeout nobody is killed."""
        worker = server.up()[0]
        server.seen[worker] = Seen(heartbeat=0)
        server.look(3600)
        assert (server.hands.stacks, server.hands.killed) == ([], [])


class TestWear:
    """Workers that are replaced because of what they have used."""

    @pytest.mark.parametrize(
        ("limits", "used", "words"),
        [
            ({"max_requests": 1000}, {"requests": 900}, "900 requests"),
            ({"max_memory": 100 << 20}, {"memory": 90 << 20}, "90 MB"),
        ],
        ids=["requests", "memory"],
    )
    def test_replaced(self, server, limits, used, words):
        """It serves until another one is ready, and one goes after the other; the limit has jitter."""
        old = server.up(**limits)
        assert server.forked == old
        for worker in old:
            server.seen[worker] = Seen(server.now, **used)
        server.look(1)
        assert server.states() == {(1, "READY"): 3, (1, "STARTING"): 1}
        assert server.hands.said[0] == f"worker 0 (pid 1000) is replaced after {words}"
        for _ in old:
            server.ready(server.forked[-1])
            server.look(1)
        assert set(server.hands.asked) == set(old)
        assert server.states() == {(1, "DRAINING"): 3, (1, "READY"): 3}

    def test_below(self, server):
        """The jitter takes at most a fifth of the limit."""
        server.up(max_requests=1000, max_memory=100 << 20)
        server.look(1, requests=799, memory=79 << 20)
        assert len(server.forked) == 3


def test_resize(server):
    """TTIN and TTOU: one more, one fewer, but never none; a reload has as many as the config says."""
    server.up(processes=1)
    server.roster.resize(1, server.now)
    assert server.states() == {(1, "READY"): 1, (1, "STARTING"): 1}
    server.ready(server.forked[-1])
    for _ in range(3):
        server.roster.resize(-1, server.now)
    assert server.states() == {(1, "READY"): 1, (1, "DRAINING"): 1}
    server.roster.resize(4, server.now)
    server.ready(*server.forked[2:])
    server.load(generation=2, processes=1)
    server.ready(server.forked[-1])
    assert server.states()[2, "READY"] == 1
    assert (1, "READY") not in server.states()


class TestEnd:
    """The server stops."""

    def test_in_good_order(self, server):
        """All are asked, nobody is replaced, and who takes too long is killed."""
        workers = server.up(end_seconds=30)
        server.roster.end(server.now)
        assert server.hands.asked == workers
        server.gone(workers[0], "exit status 0")
        server.look(29)
        assert (len(server.forked), server.hands.killed) == (3, [])
        server.look(1)
        assert server.hands.killed == workers[1:]
        assert server.hands.said[-1] == "worker 2 (pid 1002) did not end in time: it is killed"

    def test_at_once(self, server):
        """All are killed, those that end already, too."""
        workers = server.up()
        server.roster.end(server.now)
        server.roster.end(server.now, at_once=True)
        assert server.hands.killed == workers
        for worker in workers:
            server.gone(worker)
        assert (server.roster.workers, server.hands.said) == ({}, [])
