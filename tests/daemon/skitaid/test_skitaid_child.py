"""One child of skitaid: small programs, under a clock that the test moves."""

import os
import signal
import sys

import pytest
from twisted.logger import capturedLogs, formatEvent

from serving import eventually
from skitai.daemon.skitaid.child import Child, Condition, Program, handles
from skitai.processes import BOARD_VARIABLE, Board


class World:
    """A child whose program is ``script``, run by the shell; ``log`` are the lines that skitaid logs."""

    def __init__(self, folder, events):
        self.script = "exec sleep 1000"
        self.output = folder / "stderr.log"
        self.now = 1000.0
        self._events = events
        self.child = Child("one", self._program, has_workers=True)

    def _program(self):
        return Program(["/bin/sh", "-c", self.script], self.output)

    @property
    def log(self):
        return [formatEvent(event) for event in self._events]

    def start(self, script):
        self.script = script
        self.child.start(self.now)

    def reap(self):
        """Wait for the process to end, and tell the child."""
        pid = self.child.pid
        found = eventually(lambda: [found for found in [os.waitpid(pid, os.WNOHANG)] if found[0]], "its end")
        self.child.ended(found[0][1], self.now)


@pytest.fixture
def world(tmp_path):
    with capturedLogs() as events:
        world = World(tmp_path, events)
        yield world
    if world.child.pid is not None:
        os.kill(world.child.pid, signal.SIGKILL)
        world.reap()
    world.child.close()


def test_stays_down(world):
    """A process that ends with 0 is not started again by itself."""
    world.start("exit 0")
    world.reap()
    world.now += 10_000
    world.child.look(world.now)
    assert (world.child.condition, world.child.pid) == (Condition.DOWN, None)
    assert world.log[-1] == "one has ended by itself: exit status 0"
    world.start("exec sleep 1000")
    assert world.child.condition is Condition.RUNNING


def test_asks_for_a_restart(world):
    """A process that ends with 3 is started again at once."""
    world.start("exit 3")
    pid = world.child.pid
    world.script = "exec sleep 1000"
    world.reap()
    assert world.child.pid not in (None, pid)
    assert world.child.restarts == 1


def test_growing_pauses(world):
    """What fails at its start is started again later and later; its last words are logged."""
    world.output.write_text("old words\n")
    world.start("echo what is wrong >&2; exit 2")
    pauses = []
    for _ in range(12):
        world.reap()
        assert world.child.condition is Condition.WAITING
        before = world.now
        while world.child.pid is None:
            world.now += 1
            world.child.look(world.now)
        pauses.append(world.now - before)
    assert world.log[1] == "one has ended: exit status 2\nwhat is wrong"
    assert world.log[2] == "one is started again at once"
    assert pauses[0] == 1
    assert 3.5 < pauses[1] < 7.5
    assert all(450 <= pause <= 751 for pause in pauses[-3:])
    assert world.child.restarts == 12


def test_change_ends_a_pause(world):
    """A changed file is tried at once."""
    world.start("exit 2")
    world.reap()
    world.now += 1
    world.child.look(world.now)
    world.reap()
    world.script = "exec sleep 1000"
    world.child.changed(world.now)
    assert world.child.condition is Condition.RUNNING


def test_killed_after_long(world):
    """What served well and is killed is started again at once, each time."""
    world.start("exec sleep 1000")
    for _ in range(3):
        world.now += 3600
        world.child.look(world.now)
        os.kill(world.child.pid, signal.SIGKILL)
        world.reap()
        world.now += 1
        world.child.look(world.now)
        assert world.child.condition is Condition.RUNNING
    assert "one has ended: killed by SIGKILL" in world.log


def test_restart(world):
    """Who handles SIGHUP gets it; who does not is ended, and started again."""
    world.start("exec sleep 1000")
    first = world.child.pid
    world.child.restart(world.now)
    world.child.restart(world.now)
    world.script = f"exec {sys.executable} -c '{HANDLER}'"
    world.reap()
    assert world.child.pid not in (None, first)
    assert eventually(lambda: handles(world.child.pid, signal.SIGHUP))
    second = world.child.pid
    world.child.restart(world.now)
    eventually(lambda: "SIGHUP came" in world.output.read_text())
    world.child.reopen_logs()  # would end it
    assert (world.child.pid, world.child.condition) == (second, Condition.RUNNING)
    assert not handles(second, signal.SIGUSR1)
    world.child.stop()
    world.child.start(world.now)  # it is told so before it has ended
    world.script = "exec sleep 1000"
    world.reap()
    assert world.child.condition is Condition.RUNNING


HANDLER = """
import signal
signal.signal(signal.SIGHUP, lambda *_: print("SIGHUP came", flush=True))
while True:
    signal.pause()
"""


def test_does_not_end(world):
    """What ignores the order to end at once is killed."""
    world.start('trap "" TERM QUIT; echo ready; while :; do sleep 0.2; done')
    eventually(lambda: "ready" in world.output.read_text())
    world.child.stop()
    world.child.stop(at_once=True, now=world.now)
    world.now += 9
    world.child.look(world.now)
    assert world.child.condition is Condition.STOPPING
    world.now += 2
    world.child.look(world.now)
    world.reap()
    assert world.log[-1] == "one has ended: killed by SIGKILL"
    assert world.child.condition is Condition.DOWN


def test_cannot_be_started(world, tmp_path):
    """A program that is not there, or whose output cannot be kept, is tried again later."""
    world.output = tmp_path / "missing" / "stderr.log"
    world.start("exit 0")
    assert world.child.condition is Condition.WAITING
    assert world.log[0].startswith("one cannot be started: ")
    world.output = tmp_path / "stderr.log"
    world.now += 1
    world.child.look(world.now)
    assert world.child.condition is Condition.RUNNING


def test_figures(world):
    """What the workers of a server put on the board is summed, also when one takes the place of another."""
    figures = world.child.figures(world.now)
    assert (figures["state"], figures["pid"], figures["uptime"]) == ("down", None, None)
    world.start(f"echo ${BOARD_VARIABLE}; exec sleep 1000")
    assert world.child.figures(world.now)["state"] == "starting"
    eventually(lambda: ":" in world.output.read_text())
    board = world.child._board
    assert world.output.read_text() == f"{board.as_variable()}\n"
    for number, requests in enumerate((10, 20)):
        slot = board[number]
        slot.pid, slot.state, slot.requests, slot.memory, slot.connections = (
            70 + number,
            2,
            requests,
            1 << 20,
            3,
        )
    world.child.look(world.now)
    board.retire(board[0])
    board[0].pid, board[0].state, board[0].requests = 99, 2, 5
    board[1].requests = 25
    world.now += 2
    world.child.look(world.now)
    figures = world.child.figures(world.now)
    assert (figures["state"], figures["workers"], figures["uptime"]) == ("running", 2, 2)
    assert (figures["requests"], figures["requests_per_second"]) == (40, 5.0)
    assert (figures["memory"], figures["connections"]) == (1 << 20, 3)
    world.now += 60
    world.child.look(world.now)
    world.now += 1
    world.child.look(world.now)
    assert world.child.figures(world.now)["requests_per_second"] == 0


def test_boards_of_others(tmp_path):
    """A process that has the variable without the memory has no board."""
    board = Board.create(2)
    given = Board.given({BOARD_VARIABLE: board.as_variable()})
    given[0].requests = 7
    assert board[0].requests == 7
    other = os.open(tmp_path, os.O_RDONLY)
    inode = board.as_variable().partition(":")[2]
    for value in ("", "x", "x:1", f"{other}:{inode}", "4000:1"):
        assert Board.given({BOARD_VARIABLE: value}) is None
    assert Board.given({}) is None
    os.close(other)
    given._memory.close()
    board.close()


def test_ignored_signals(world):
    """A child ends when it is told to, although skitaid was started as a background job of a script."""
    before = signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    try:
        world.start("exec sleep 1000")
    finally:
        signal.signal(signal.SIGQUIT, before)
    world.child.stop(at_once=True, now=world.now)
    world.reap()
    assert world.log[-1] == "one has ended: killed by SIGQUIT"
