"""The keeper of the agent, with programs that end as a test wants, and a clock that stands still."""

import os
import signal
import sys
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from serving import eventually
from skitai.daemon.mail.keeping import AgentKeeper
from skitai.processes.signals import handles

FAILING = ("/bin/false",)
LASTING = ("/bin/sleep", "1000")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal; signal.signal(15, print); [signal.pause() for _ in range(9)]",
)


@pytest.fixture
def clock():
    clock = Clock()
    clock.advance(1000)
    return clock


@pytest.fixture
def keeper(clock):
    keeper = AgentKeeper(clock.seconds)
    yield keeper
    keeper.end()
    if keeper.pid:
        os.kill(keeper.pid, signal.SIGKILL)
        eventually(lambda: keeper.look() or not keeper.pid)


def gone(keeper):
    """Wait until the keeper has noted the end of the agent, and has started no other."""
    eventually(lambda: keeper.look() or not keeper.pid, "the end of the agent")


def test_none_is_wanted(keeper):
    """Without a command nothing runs, and nothing is waited for."""
    keeper.want(())
    keeper.look()
    assert not keeper.pid
    keeper.end()
    assert keeper.is_over


def test_growing_pauses(keeper, clock):
    """The first end is followed by a start at once; the pauses after that grow up to five minutes."""
    with capturedLogs() as logged:
        keeper.want(FAILING)
        first = keeper.pid
        eventually(lambda: keeper.look() or keeper.pid != first)
        pauses = []
        for _ in range(12):
            gone(keeper)
            began = clock.seconds()
            while not keeper.pid:
                clock.advance(0.25)
                keeper.look()
            pauses.append(clock.seconds() - began)
    assert 0.5 <= pauses[0] <= 1.5
    assert 5 < pauses[3] < 11
    assert all(225 <= pause <= 376 for pause in pauses[-2:])
    said = [formatEvent(event) for event in logged]
    assert said[0] == "the delivery agent has ended: exit status 1; it is started again at once"


def test_one_that_has_run_for_long(keeper, clock):
    """Its end is like the first: it does not count with those of before."""
    keeper.want(FAILING)
    for _ in range(4):
        clock.advance(60)
        keeper.look()
        gone(keeper)
    keeper.want(LASTING)
    clock.advance(60)
    os.kill(keeper.pid, signal.SIGKILL)
    gone(keeper)
    keeper.look()
    assert keeper.pid


def test_a_program_that_is_not_there(keeper, clock):
    """It is said, and tried again."""
    with capturedLogs() as logged:
        keeper.want(("/nowhere/python",))
    assert "cannot be started: No such file or directory" in formatEvent(logged[0])
    keeper.want(LASTING)
    assert keeper.pid


def test_another_takes_its_place(keeper):
    """The next one begins when the one of before has ended."""
    keeper.want(LASTING)
    first = keeper.pid
    keeper.want(("/bin/sleep", "2000"))
    assert keeper.pid == first
    eventually(lambda: keeper.look() or keeper.pid not in (0, first))
    words = Path(f"/proc/{keeper.pid}/cmdline")
    eventually(lambda: b"2000" in words.read_bytes(), "the other program")


def test_one_that_does_not_end(keeper, clock):
    """It is killed when its time is over; in a hurry, that is soon."""
    keeper.want(STUBBORN)
    pid = keeper.pid
    eventually(lambda: handles(pid, signal.SIGTERM))
    keeper.end()
    clock.advance(14)
    keeper.look()
    assert (keeper.pid, keeper.is_over) == (pid, False)
    keeper.end(at_once=True)
    clock.advance(2)
    gone(keeper)
    assert keeper.is_over
