"""The board: what one process writes, the others read."""

import os
import threading

import pytest

from skitai.processes import Board, Slot, State
from skitai.processes.board import REPORT_MAX


@pytest.fixture
def board():
    board = Board.create(4)
    yield board
    board.close()


def test_slots(board):
    """A slot has the figures of its worker, and is free until it has one."""
    assert (len(board), board.taken(), board.free()) == (4, [], board[0])
    slot = board[1]
    slot.pid, slot.state, slot.requests, slot.memory, slot.began = 7, State.READY, 2**40, 10**9, 1.5
    slot.beat(lambda: 12.25)
    assert (slot.pid, slot.requests, slot.memory, slot.began, slot.heartbeat) == (7, 2**40, 10**9, 1.5, 12.25)
    assert [each.number for each in board.taken()] == [1]
    slot.clear()
    assert (board.taken(), slot.pid, slot.heartbeat, slot.last_report()) == ([], 0, 0.0, b"")


def test_slots_are_apart(board):
    """What one worker writes leaves the others alone."""
    for slot in board:
        slot.pid = slot.number + 1
        slot.report(bytes([slot.number]) * REPORT_MAX)
    assert [slot.pid for slot in board] == [1, 2, 3, 4]
    assert [slot.last_report() for slot in board] == [bytes([number]) * REPORT_MAX for number in range(4)]


def test_a_full_board(board):
    """Without a free slot there is none."""
    for slot in board:
        slot.state = State.STARTING
    assert board.free() is None


def test_another_process(board):
    """A child writes, and its parent reads; so does one that opens the board by its descriptor."""
    child = os.fork()
    if child == 0:
        board[2].pid = os.getpid()
        board[2].report(b"hello")
        os._exit(0)
    os.waitpid(child, 0)
    other = Board(os.dup(board.descriptor))
    for each in (board, other):
        assert (each[2].pid, each[2].last_report()) == (child, b"hello")
    other.close()


def test_a_report_is_whole(board):
    """A reader never sees a half of one report and a half of another."""
    slot, done = board[0], threading.Event()

    def write():
        for number in range(300):
            slot.report(bytes([number % 2]) * 1000)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        assert len(set(slot.last_report())) <= 1
    writer.join()


def test_a_worker_that_dies_while_it_writes(board):
    """Its last whole report stays."""

    class Dying(Slot):
        def _write(self, place, value):
            raise SystemExit

    board[0].report(b"a")
    with pytest.raises(SystemExit):
        Dying(board._memory, 0).report(b"bc")
    assert board[0].last_report() == b"a"


def test_a_report_that_is_too_long(board):
    """It is refused, and the last one stays."""
    board[0].report(b"a")
    with pytest.raises(ValueError, match="there is room for"):
        board[0].report(bytes(REPORT_MAX + 1))
    assert board[0].last_report() == b"a"


def test_requests(board):
    """Those of workers that are gone stay in the sum."""
    board[0].state, board[0].requests = State.READY, 7
    board[1].state, board[1].requests = State.READY, 4
    board.retire(board[0])
    board[1].requests = 5
    assert board.requests() == 12
    assert [slot.number for slot in board.taken()] == [1]
