"""Who of several workers accepts a connection."""

import pytest

from skitai.processes import Board, State
from skitai.worker.turnstile import Turnstile

LOOK_AWAY = 0.002


class Workers:
    """Workers that are alive, with these connections; ``turnstile`` is that of the first."""

    def __init__(self, *connections):
        self.board = Board.create(len(connections) + 1)
        self.now = 50.0
        for slot, count in zip(self.board, connections, strict=False):
            slot.state, slot.connections = State.READY, count
            slot.beat(lambda: self.now)
        self.turnstile = Turnstile(self.board, self.board[0], lambda: self.now)

    def wait(self, seconds=0.0):
        self.now += seconds
        return self.turnstile.wait()

    def waits(self, seconds=0.002):
        """Return how often the first worker looks away until it accepts; at most 100 times."""
        return next((times for times in range(100) if not self.wait(seconds if times else 0)), 100)


@pytest.mark.parametrize("others", [(5,), (5, 6), (7, 9), ()])
def test_nobody_has_fewer(others):
    """A worker that has the fewest connections, or as few as others, accepts at once."""
    assert Workers(5, *others).wait() == 0


def test_somebody_has_fewer():
    """One that has more than another looks away, and accepts when the other has caught up."""
    workers = Workers(5, 4)
    assert workers.wait() == LOOK_AWAY
    workers.board[1].connections = 5
    assert workers.wait(0.002) == 0


@pytest.mark.parametrize(("mine", "others", "waits"), [(15, 14, True), (160, 150, False), (160, 149, True)])
def test_nearly_as_many(mine, others, waits):
    """Of many connections, a few more than another one has do not count."""
    assert (Workers(mine, others).wait() > 0) == waits


def test_busy():
    """If the other one does not come, the worker accepts, and soon does not wait for it while it is busy."""
    workers = Workers(5, 4)
    waits = []
    for _ in range(6):
        waits.append(workers.waits())
        workers.board[0].connections += 1
    assert waits == [8, 4, 2, 1, 0, 0]
    workers.board[1].connections = 3  # a connection was closed: it is awake
    assert workers.waits() == 8


def test_catching_up():
    """One that does come, but still has fewer, is waited for."""
    workers = Workers(100, 1)
    for count in range(2, 90):
        assert workers.wait(0.002) == LOOK_AWAY
        workers.board[1].connections = count


def test_an_event_long_after():
    """To have waited for a connection that somebody else has accepted does not count for the next one."""
    workers = Workers(5, 4)
    assert workers.wait() == LOOK_AWAY
    assert workers.wait(1) == LOOK_AWAY
    assert workers.waits() == 8


@pytest.mark.parametrize("state", [State.STARTING, State.DRAINING, State.FREE])
def test_who_does_not_accept(state):
    """A worker that starts, ends or is gone does not count."""
    workers = Workers(5, 4)
    workers.board[1].state = state
    assert workers.wait() == 0


def test_without_a_heartbeat():
    """A worker that hangs does not count."""
    workers = Workers(5, 0)
    workers.now += 3
    assert workers.wait() == 0
