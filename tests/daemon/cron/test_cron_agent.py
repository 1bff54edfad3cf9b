"""The agent with real commands, under a clock that the test moves."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from twisted.logger import capturedLogs, formatEvent

from processes import environment
from serving import eventually
from skitai.daemon.cron.agent import Agent
from skitai.daemon.cron.crontab import CrontabFile

MIDNIGHT = datetime(2026, 6, 1, tzinfo=UTC).timestamp()


class World:
    """An agent in this process, which reads ``path``; ``log`` are its lines."""

    def __init__(self, folder, events):
        self.path = folder / "skitaid.conf"
        self.folder = folder
        self.now = MIDNIGHT
        self._events = events
        self.reopened = []
        self.agent = Agent(
            CrontabFile(self.path), UTC, {**os.environ, "HOME": str(folder)},
            self, clock=lambda: self.now,
        )  # fmt: skip

    def reopen(self):
        self.reopened.append(True)

    def look(self):
        """The log of this agent is that of the test."""

    def write(self, *lines, options=""):
        self.path.write_text("\n".join([f"[cron]\n{options}", "[crontab:line]", *lines]))
        self.agent.turn(0.02)

    @property
    def log(self):
        return [f"{event['log_level'].name} {formatEvent(event)}" for event in self._events]

    def minute(self):
        """Let a minute begin."""
        self.now += 60
        self.agent.turn(0.02)

    def wait_for(self, text):
        """Let the agent run until a line of the log has ``text``; return that line."""

        def found():
            self.agent.turn(0.02)
            return [line for line in self.log if text in line]

        return eventually(found, text)[0]


@pytest.fixture
def world(tmp_path):
    taken = (*signal.valid_signals(),)
    before = {number: signal.getsignal(number) for number in taken}
    descriptor = signal.set_wakeup_fd(-1)
    with capturedLogs() as events:
        world = World(tmp_path, events)
        yield world
    signal.set_wakeup_fd(descriptor)
    world.agent.close()
    for run in world.agent._runs:
        os.killpg(run.pid, signal.SIGKILL)
        run._process.wait()
    for number, handler in before.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def test_job(world):
    """A due command runs by the shell, in the home folder; its start, status and output are logged."""
    world.write("* * * * * echo in $PWD as $LOGNAME; echo oops >&2; exit 3")
    assert world.log == [f"info jobs in {world.path}: 1"]
    world.minute()
    line = world.wait_for("exit status")
    assert line.startswith("error exit status 3 after 0.")
    command, *output = line.split("\n")
    assert command.endswith("): echo in $PWD as $LOGNAME; echo oops >&2; exit 3")
    assert output == [f"in {world.folder} as {os.environ.get('LOGNAME', 'root')}", "oops"]
    assert world.log[1].startswith("info started (pid ")
    assert len(world.log) == 3


def test_redirections_and_input(world):
    """Redirections are the shell's; what stands behind a percent sign is read by the command."""
    world.write("* * * * * cat > got.txt 2>&1%Hello%Ann")
    world.minute()
    assert world.wait_for("exit status").startswith("info exit status 0 after ")
    assert (world.folder / "got.txt").read_text() == "Hello\nAnn\n"


def test_last_output(world):
    """Of much output, the last lines are logged."""
    world.write("* * * * * seq 100000")
    world.minute()
    assert world.wait_for("exit status").split("\n")[1:] == [str(number) for number in range(99981, 100001)]


def test_no_overlap(world):
    """A job that still runs is not started once more, unless it may; then both run."""
    one, two = (f"until [ -e {name} ]; do sleep 0.05; done" for name in ("x", "y"))
    world.write(f"* * * * * {one}", f"* * * * * [overlap=yes] {two}")
    world.minute()
    world.minute()
    starts = [line for line in world.log if "started" in line]
    assert [line.split(": ")[1] for line in starts] == [
        one,
        two,
        one,
        two,
    ]
    assert starts[2].startswith("warn not started, it runs since ")
    pids = {run.pid for run in world.agent._runs}
    assert len(pids) == 3
    for name in ("x", "y"):
        (world.folder / name).touch()
    eventually(lambda: world.agent.turn(0.02) or not world.agent._runs)
    count = len(world.log)
    world.minute()
    assert next(line for line in world.log[count:] if line.endswith(f": {one}")).startswith("info started")


def test_timeout(world):
    """A job that has had its time is ended, with its children."""
    world.write("* * * * * [timeout=100ms] sleep 1000 & echo $!; wait")
    world.minute()
    line = world.wait_for("killed by SIGTERM")
    assert ", because its 0.1 s were over (pid " in line
    child = int(line.split("\n")[1])
    with pytest.raises(ProcessLookupError):
        eventually(lambda: os.kill(child, 0))


def test_left_in_the_background(world):
    """A job has ended when its shell has, whatever it leaves behind, which may go on writing."""
    os.mkfifo(world.folder / "fifo")
    world.write("* * * * * (read x < fifo; echo $x; echo done > end.txt) & echo away")
    world.minute()
    assert world.wait_for("exit status 0").endswith("\naway")
    with open(world.folder / "fifo", "w") as fifo:
        fifo.write("hello\n")
    eventually(lambda: world.agent.turn(0.02) or (world.folder / "end.txt").exists())


def test_read_again(world):
    """A changed file counts at once; wrong lines are reported, and a file that is none changes nothing."""
    world.write("* * * * * echo one", "61 * * * * echo never")
    assert world.log[0].startswith(f"error {world.path}:5: [crontab:line]: '61 * * * *' has a bad minute")
    world.path.write_text("what\n")
    world.minute()
    assert world.log[2].startswith(f"error {world.path}:1: comes before any section")
    assert world.log[2].endswith("; the jobs of before go on")
    world.wait_for("exit status 0")
    world.write("* * * * * echo two")
    world.minute()
    assert world.wait_for("\ntwo")
    assert not any("one" in line for line in world.log[-2:])


def test_stop(world):
    """The agent waits for jobs when it is told to leave, as long as the config says, and ends them then."""
    os.mkfifo(world.folder / "fifo")
    world.write("* * * * * read x < fifo", "* * * * * sleep 1000", options="shutdown_timeout = 300ms")
    world.minute()
    signal.raise_signal(signal.SIGUSR1)
    signal.raise_signal(signal.SIGTERM)
    world.agent.turn(0.02)
    assert world.reopened == [True]
    assert world.log[-1] == "info the agent stops; jobs that run: 2"
    with open(world.folder / "fifo", "w") as fifo:
        fifo.write("hello\n")
    world.now += 60
    world.agent.run()
    first, second = (line for line in world.log if "after" in line)
    assert first.startswith("info exit status 0")
    assert ", because the agent stops (pid " in second
    assert sum("started" in line for line in world.log) == 2


def test_process(tmp_path):
    """The agent is a process, whose log is a file in plain lines."""
    (tmp_path / "skitaid.conf").write_text("[crontab:line]\n0 0 1 1 * echo Happy new year\n")
    log = tmp_path / "cron.log"
    command = [
        sys.executable,
        "-m",
        "skitai.daemon.cron",
        "--config",
        tmp_path / "skitaid.conf",
        "--log",
        log,
    ]
    with subprocess.Popen(command, env=environment()) as process:
        try:
            eventually(lambda: log.exists() and "jobs in" in log.read_text())
        finally:
            process.terminate()
        assert process.wait(30) == 0
    lines = log.read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        f"[info] jobs in {tmp_path}/skitaid.conf: 1",
        "[info] the agent stops; jobs that run: 0",
    ]
