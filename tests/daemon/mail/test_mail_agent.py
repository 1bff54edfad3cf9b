"""``twist skitai-mail`` in processes of its own: noticing mail, signals, and crashes at every step."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactorClock

from mailserver import MailServer
from processes import TWIST, environment
from skitai.daemon.mail import agent as mail_agent
from skitai.daemon.mail.settings import read_settings
from skitai.mail.envelope import Envelope, new_id
from skitai.mail.spool import Spool

#: Seconds until something has gone wrong, also on a busy machine.
PATIENCE = 60
TEXT = "From: a@example.com\nTo: b@example.com\nSubject: hi\nMessage-ID: <%s@example.com>\n\nHello\n"


class Forked:
    """An agent of the process ``forking``; it is gone when ``wait`` returns."""

    def __init__(self, forking, folder, log):
        self.log = folder / log
        forking.stdin.write(f"--log-file {self.log} skitai-mail --config {folder / 'site.conf'}\n")
        self.pid = int(forking.stdout.readline())

    @property
    def is_alive(self):
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def send_signal(self, number):
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self):
        wait_until(lambda: not self.is_alive)

    def kill(self):
        self.send_signal(signal.SIGKILL)
        self.wait()


class Agent:
    """A process; ``folder`` has its configuration and its log."""

    def __init__(self, folder, log="agent.log"):
        self.log = folder / log
        with open(self.log, "ab") as stream:
            self.process = subprocess.Popen(
                [*TWIST, "--log-file", str(self.log), "skitai-mail", "--config", str(folder / "site.conf")],
                stdout=stream, stderr=stream, stdin=subprocess.DEVNULL, cwd=folder, env=environment(),
            )  # fmt: skip

    def wait_for(self, text):
        deadline = time.monotonic() + PATIENCE
        while text not in self.log.read_text():
            assert time.monotonic() < deadline, self.log.read_text()
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.01)
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        status = self.process.wait(PATIENCE)
        assert status in (0, -signal.SIGTERM), self.log.read_text()


@pytest.fixture
def agents(tmp_path):
    """Return ``agents(log=...)``, which starts one; all are gone at the end."""
    started = []

    def start(**options):
        started.append(Agent(tmp_path, **options))
        return started[-1]

    yield start
    for agent in started:
        if agent.process.poll() is None:
            agent.kill()


@pytest.fixture(scope="module")
def forking():
    """The process that forks agents."""
    command = [sys.executable, str(Path(__file__).parent / "forking.py")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment()
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def fork(forking, tmp_path):
    """Return ``fork(log)``, which starts an agent within milliseconds; all are gone at the end."""
    started = []

    def start(log="forked.log"):
        started.append(Forked(forking, tmp_path, log))
        return started[-1]

    yield start
    for agent in started:
        agent.kill()


@pytest.fixture
def unsynced(monkeypatch):
    """Have this process write to the spool without waiting for the disk."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def configure(tmp_path):
    """Return ``configure(server, **keys)``, which writes the configuration and returns the spool."""

    def write(server, **keys):
        lines = "".join(f"{key} = {value}\n" for key, value in keys.items())
        config = tmp_path / "site.conf"
        config.write_text(f"[global]\nvar_path = var\n[smtpda]\nsmtpserver = {server.address}\n{lines}")
        spool = Spool(read_settings(config).spool)
        spool.make_folders()
        return spool

    return write


def send(spool, *recipients, count=1):
    names = [new_id(time.time()) for _ in range(count)]
    for name in names:
        envelope = Envelope(name, "a@example.com", recipients or ("b@example.com",), time.time())
        spool.write(envelope, (TEXT % name).encode())
    return names


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_life(agents, configure, tmp_path):
    """Mail is noticed at once, the signals do what they say, and the end is in good order."""
    with MailServer() as server, MailServer() as other:
        spool = configure(server)
        agent = agents().wait_for("mail in")
        send(spool)
        server.wait_for(lambda it: len(it.mails) == 1)

        (tmp_path / "site.conf").write_text("[smtpda]\nsmtpserver = a b\n")
        agent.process.send_signal(signal.SIGHUP)
        agent.wait_for("the settings of before go on")
        send(spool)
        # The agent has looked at its start, and looks again 30 s later: the system tells of this mail.
        assert "noticed late" not in agent.log.read_text()
        server.wait_for(lambda it: len(it.mails) == 2, timeout=mail_agent._LOOK_SECONDS / 2)

        configure(other)
        agent.process.send_signal(signal.SIGHUP)
        agent.wait_for(f"mail goes to {other.address}")
        send(spool)
        other.wait_for(lambda it: len(it.mails) == 1)

        agent.log.rename(tmp_path / "old.log")
        agent.process.send_signal(signal.SIGUSR1)
        wait_until(agent.log.exists)
        send(spool)
        other.wait_for(lambda it: len(it.mails) == 2)
        agent.wait_for("-250 OK a@example.com -> b@example.com (1 Kb)")
        wait_until(lambda: not spool.ids())
        agent.stop()
        other.wait_for(lambda it: "QUIT" in it.steps)


def test_stop_finishes_the_mail_in_hand(fork, configure):
    """SIGTERM lets the mail in hand go; the next one stays. Further signals change nothing."""
    with MailServer() as server:
        spool = configure(server, connections=1)
        agent = fork()

        def terminate(_content):
            agent.send_signal(signal.SIGTERM)
            wait_until(lambda: "mail in hand is finished first" in agent.log.read_text())
            for number in (signal.SIGTERM, signal.SIGINT):
                agent.send_signal(number)
                time.sleep(0.1)

        server.handler.script["DOT"] = terminate
        first, second = send(spool, count=2)
        agent.wait()
        assert [mail.id for mail in server.mails] == [f"<{first}@example.com>"]
        assert spool.ids() == [second]
        assert "Traceback" not in agent.log.read_text()


def test_idle(fork, configure):
    """An idle agent uses no processor time that could be measured."""
    with MailServer() as server:
        configure(server)
        agent = fork()
        wait_until(lambda: agent.log.exists() and "goes to" in agent.log.read_text())

        def is_idle():
            before = _cpu_seconds(agent.pid)
            time.sleep(1)
            return _cpu_seconds(agent.pid) - before <= 0.01

        wait_until(is_idle)  # on a busy machine, its start may take seconds


def _cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_two_agents(fork, configure, unsynced):
    """Two agents share 500 mails, and no recipient gets any twice."""
    with MailServer() as server:
        spool = configure(server, connections=2)
        names = send(spool, count=500)
        for number in range(2):
            fork(f"agent{number}.log")
        server.wait_for(lambda it: len(it.mails) >= 500)
        wait_until(lambda: not spool.ids())
        assert Counter(mail.id for mail in server.mails) == Counter(f"<{name}@example.com>" for name in names)
        assert len({mail.peer for mail in server.mails}) > 2


_MAIL = ("MAIL", "RCPT", "RCPT", "DATA", "DOT")
STEPS = ["CONNECT", "EHLO", *_MAIL, *_MAIL]


@pytest.mark.parametrize("number", range(len(STEPS)))
def test_killed_at_each_step(fork, configure, number):
    """An agent that is killed at any step loses nothing, and sends nothing twice that was acknowledged to it.

    Two mails go to two recipients each. The server kills the agent when it has heard what the step brings:
    before its reply, and after that to the step before, which the agent has acted upon. Only what the server
    took without that the agent was told is sent again: nobody can know.
    """
    with MailServer() as server:
        spool = configure(server, connections=1)
        names = send(spool, "b@example.com", "c@example.com", count=2)
        agents = []
        heard = []

        def hear(step):
            heard.append(step)
            if len(heard) == number + 1:
                assert heard == STEPS[: number + 1]
                agents[0].kill()

        server.handler.script.update({step: lambda _argument, step=step: hear(step) for step in set(STEPS)})
        agents.append(fork())
        agents[0].wait()
        server.wait_for(lambda it: len(heard) > number)
        server.handler.script.clear()
        fork("again.log")
        wait_until(lambda: not spool.ids())
        taken = Counter((mail.id, one) for mail in server.mails for one in mail.recipients)
        untold = {6: names[0], 11: names[1]}.get(number)
        assert taken == {
            (f"<{name}@example.com>", f"{one}@example.com"): 2 if name == untold else 1
            for name in names
            for one in "bc"
        }


def test_killed_again_and_again(fork, configure, unsynced):
    """Killed at random times while it sends, with greylisting: each recipient gets each mail."""
    answers = random.Random(7)
    with MailServer({"RCPT": lambda _address: "451 later" if answers.random() < 0.1 else None}) as server:
        spool = configure(server, connections=4)
        names = send(spool, "b@example.com", "c@example.com", count=100)
        for number in range(12):
            before = len(server.mails)
            agent = fork(f"agent{number}.log")
            server.wait_for(lambda it, before=before: len(it.mails) > before + 3)
            agent.kill()
        server.handler.script.clear()
        for entry in spool.entries():
            spool.retry(entry.id, "spool")
        fork("last.log")
        wait_until(lambda: not spool.ids())
        taken = Counter((mail.id, one) for mail in server.mails for one in mail.recipients)
        assert set(taken) == {
            (f"<{name}@example.com>", f"{one}@example.com") for name in names for one in "bc"
        }
        # Four connections, twelve deaths, two recipients: what was unknown at one of them may come twice.
        assert sum(taken.values()) - len(taken) <= 4 * 12 * 2


def test_nothing_begins_before_the_reactor_runs(configure, tmp_path):
    """Before that, nobody handles SIGTERM, which would end the agent in the midst of a mail."""
    reactor = MemoryReactorClock()
    with MailServer() as server:
        configure(server)
    settings = read_settings(tmp_path / "site.conf")
    agent = mail_agent.Agent(settings, lambda: settings, reactor)
    agent.startService()
    assert reactor.getReaders() == []
    for function, arguments, options in reactor.whenRunningHooks:
        function(*arguments, **options)
    assert len(reactor.getReaders()) == 1
    agent.stopService()
