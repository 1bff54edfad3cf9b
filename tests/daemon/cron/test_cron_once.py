"""Jobs that one of several hosts runs: agents under one clock, with a real Redis and a real PostgreSQL."""

import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import pytest
from twisted.logger import capturedLogs, formatEvent

from databases import Redis
from serving import eventually
from skitai.daemon.cron.agent import Agent
from skitai.daemon.cron.crontab import CrontabFile
from skitai.daemon.cron.locks import LockError, make_lock

MIDNIGHT = datetime(2026, 6, 1, tzinfo=UTC).timestamp()


@pytest.fixture(params=["redis", "postgresql"])
def url(request):
    if request.param == "redis":
        return f"redis://127.0.0.1:{request.getfixturevalue('redis_server').port}/3"
    server = request.getfixturevalue("postgres")
    return server.uri(server.make_database())


class Hosts:
    """Agents that share the ``now``; each has a folder and a file of its own."""

    def __init__(self, folder, events):
        self._folder = folder
        self._events = events
        self.now = MIDNIGHT
        #: One that no other test has.
        self.job = f"* * * * * [once=yes] echo ran >> ran.txt # {uuid4()}"
        self.agents = []

    def add(self, *lines, lock, more=""):
        folder = self._folder / f"host{len(self.agents)}"
        folder.mkdir()
        path = folder / "skitaid.conf"
        path.write_text("\n".join([f"[cron]\nlock = {lock}\n{more}", "[crontab:line]", *lines]))
        environ = {**os.environ, "HOME": str(folder)}
        self.agents.append(Agent(CrontabFile(path), UTC, environ, self, lambda: self.now))
        self.agents[-1].turn(0)

    def reopen(self):
        """Keep the log: it is none."""

    def look(self):
        """Rotate nothing."""

    def turn(self, *agents):
        for agent in agents or self.agents:
            agent.turn(0.01)

    def minute(self, *agents):
        self.now += 60
        self.turn(*agents)

    @property
    def log(self):
        return [formatEvent(event) for event in self._events]

    def count(self, text):
        return sum(text in line for line in self.log)

    def wait_for(self, text, times=1):
        eventually(lambda: self.turn() or self.count(text) >= times, text)

    def ran(self):
        return sum(path.read_text().count("ran") for path in self._folder.glob("*/ran.txt"))


@pytest.fixture
def hosts(tmp_path):
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    descriptor = signal.set_wakeup_fd(-1)
    with capturedLogs() as events:
        hosts = Hosts(tmp_path, events)
        yield hosts
    signal.set_wakeup_fd(descriptor)
    for agent in hosts.agents:
        eventually(lambda agent=agent: agent.turn(0.01) or not agent._runs)
        agent.close()
    for number, handler in before.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def test_one_of_two(hosts, url):
    """Each time, one host runs the job, and the other one says so; a job without the option runs on both."""
    for _ in range(2):
        hosts.add(hosts.job, "* * * * * echo everywhere", lock=url)
    for number in range(1, 4):
        hosts.minute()
        hosts.wait_for("another host runs it: echo ran", number)
        hosts.wait_for("everywhere\neverywhere", number * 2)
        hosts.wait_for("exit status 0", number * 3)
        assert hosts.ran() == number


def test_late(hosts, url):
    """A host that is late does not run again what another one has run, but what nobody has."""
    hosts.add(hosts.job, lock=url)
    hosts.add(hosts.job, lock=url)
    first, second = hosts.agents
    hosts.minute(first)
    # A job is not started while it runs, and it may have written its line and not have ended.
    eventually(lambda: hosts.turn(first) or hosts.count("exit status 0") == 1)
    hosts.now += 50
    hosts.turn(second)
    hosts.wait_for("another host runs it")
    hosts.minute(second)
    eventually(lambda: hosts.turn(second) or hosts.count("exit status 0") == 2)
    assert hosts.ran() == 2
    hosts.minute(first)
    eventually(lambda: hosts.turn() or hosts.ran() == 3)


@pytest.mark.parametrize("without", ["skip", "run"])
def test_a_lock_that_is_down(hosts, tmp_path, without):
    """Without the lock the job is not run, or by all; when the server is back, all is as before."""
    server = Redis(tmp_path)
    try:
        for _ in range(2):
            hosts.add(hosts.job, lock=f"redis://127.0.0.1:{server.port}", more=f"without_lock = {without}")
        server.stop()
        hosts.minute()
        said = {"skip": "not run, redis://", "run": "run without the lock, redis://"}[without]
        hosts.wait_for(said, 2)
        assert hosts.count("Connection refused") == 2
        expected = {"skip": 0, "run": 2}[without]
        eventually(lambda: hosts.turn() or hosts.ran() == expected)
        server.start()
        hosts.minute()
        hosts.wait_for("another host runs it")
        eventually(lambda: hosts.turn() or hosts.ran() == expected + 1)
    finally:
        server.kill()


def test_a_lock_that_does_not_answer(hosts):
    """Other jobs, and the agent, do not wait for it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts.add(hosts.job, "* * * * * echo other", lock=f"redis://127.0.0.1:{silent.getsockname()[1]}")
        hosts.minute()
        hosts.wait_for("exit status 0")
        assert hosts.ran() == 0
        asked, _ = silent.accept()
        asked.recv(1000)
        asked.sendall(b"-NOAUTH Authentication required.\r\n")
        hosts.wait_for("cannot be asked (NOAUTH Authentication required.): echo ran")
        asked.close()


def test_many_hosts_at_once(url):
    """Of many that ask in the same moment, also for the first time ever, one gets it."""
    start = threading.Barrier(12)
    job = str(uuid4())

    def take(number, due):
        start.wait()
        return make_lock(url).take(job, due, f"host{number}")

    with ThreadPoolExecutor(12) as others:
        for due in (60, 120):
            assert sum(others.map(partial(take, due=due), range(12))) == 1


def test_passwords(tmp_path, hosts):
    """A password is used, and is not in the log."""
    server = Redis(tmp_path, "--requirepass", "geheim/1")
    try:
        url = f"redis://:geheim%2F1@127.0.0.1:{server.port}/2"
        assert make_lock(url).take("job", 60, "host") is True
        assert "geheim" not in make_lock(url).name
        with pytest.raises(LockError, match="WRONGPASS"):
            make_lock(url.replace("geheim", "wrong")).take("job", 60, "host")
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("lock", "problem"),
    [
        ("off", "once=yes needs the key lock"),
        ("mysql://host/x", "must be redis://HOST"),
        ("redis:", "must be"),
    ],
)
def test_mistakes(hosts, lock, problem):
    """A job that no host could be chosen for is not run, and the line is named."""
    hosts.add(hosts.job, lock=lock)
    assert hosts.count(problem) == 1
    hosts.minute()
    assert hosts.ran() == 0
    assert not hosts.count("started")
