"""The logs of skitaid and of agents, as processes of their own."""

import signal
import subprocess
import sys

import pytest

from processes import age, environment
from serving import eventually
from wire import PATIENCE


@pytest.fixture
def start(tmp_path):
    """Start the cron agent with a log."""
    agents = []
    yield lambda *words: agents.append(Agent(tmp_path, *words)) or agents[-1]
    for agent in agents:
        agent.process.kill()
        agent.process.communicate()


class Agent:
    """The cron agent with a log."""

    def __init__(self, folder, *words):
        self.config, self.log = folder / "skitaid.conf", folder / "cron.log"
        self.config.write_text("[crontab:line]\n")
        command = [
            sys.executable,
            "-m",
            "skitai.daemon.cron",
            "--config",
            self.config,
            "--log",
            self.log,
            *words,
        ]
        self.process = subprocess.Popen([*map(str, command)], env=environment(), stderr=subprocess.PIPE)

    def said(self, text):
        eventually(lambda: self.log.exists() and text in self.log.read_text(), text)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.communicate(timeout=PATIENCE)[1] == b""
        assert self.process.returncode == 0


@pytest.mark.parametrize(("keep", "is_rotated"), [(1, True), (0, False)])
def test_rotation(tmp_path, start, keep, is_rotated):
    """What is of a former day is moved before the first line, and the oldest files go; with 0, all stays."""
    age(tmp_path / "cron.log")
    (tmp_path / "cron-20250101.log").write_text("older\n")
    agent = start("--keep", keep)
    agent.said("jobs in ")
    agent.end()
    former = {path.name for path in tmp_path.glob("cron-*.log")}
    assert former == ({"cron-20251015.log"} if is_rotated else {"cron-20250101.log"})
    assert agent.log.read_text().startswith("old\n") is not is_rotated


def test_moved_by_others(tmp_path, start):
    """SIGUSR1 has the agent go on in a new file."""
    agent = start()
    agent.said("jobs in ")
    agent.log.rename(tmp_path / "cron.log.1")
    agent.process.send_signal(signal.SIGUSR1)
    eventually(agent.log.exists, "a new file")
    agent.config.write_text("[crontab:line]\nwrong\n")
    agent.said("expected five fields")
    agent.end()
    assert "jobs in " in (tmp_path / "cron.log.1").read_text()


def test_skitaid(tmp_path):
    """skitaid rotates its own log, and tells its agents how many files they keep."""
    home = tmp_path / "home"
    config = home / "skitaid.conf"
    logs = home / "log"
    age(logs / "skitaid.log")
    age(logs / "daemons" / "cron" / "cron.log")
    config.write_text("[global]\nlog_path = log\nvar_path = var\nlog_keep = 5\n")
    command = [sys.executable, "-m", "skitai.daemon.skitaid", "--config", str(config)]
    process = subprocess.Popen(command, env=environment(HOME=str(home)), stderr=subprocess.PIPE)
    try:
        said = logs / "daemons" / "cron" / "cron.log"  # which is not there while it is rotated
        eventually(lambda: said.exists() and "jobs in " in said.read_text(), "the agent")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=PATIENCE)[1] == b""
    assert (logs / "skitaid-20251015.log").read_text() == "old\n"
    assert (logs / "daemons" / "cron" / "cron-20251015.log").read_text() == "old\n"
    assert "skitaid has ended" in (logs / "skitaid.log").read_text()
