"""What a worker tells of itself on the board."""

import os

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from skitai.processes import Board, State
from skitai.worker.figures import Figures


class Executor:
    """One in which tasks wait."""

    def __init__(self, queued):
        self.queued = queued

    def statistics(self):
        return {"running": 1, "queued": self.queued}


class Executors:
    """Two of them."""

    mounts = {Executor(2): ["/"], Executor(3): ["/api"]}  # noqa: RUF012


class Channel:
    """A connection that has requests under way, or none."""

    def __init__(self, busy):
        self.busy = busy


class Factory:
    """Three connections, one of them busy with the tenth request."""

    requests = 10

    def __init__(self):
        self.channels = {Channel(1), Channel(0), Channel(0)}


def test_figures():
    """The slot has them from the start, and again with each heartbeat, whatever fails there."""
    clock, slot, calls, log = Clock(), Board.alone()[0], [], []
    figures = Figures(clock, slot, Executors())
    figures.at_beat += [lambda: 1 / 0, lambda: calls.append(clock.seconds())]
    factory = Factory()
    globalLogPublisher.addObserver(log.append)
    try:
        figures.start(factory)
        assert (slot.pid, slot.state, calls) == (os.getpid(), State.STARTING, [0])
        assert (slot.connections, slot.in_flight, slot.requests, slot.queued) == (3, 1, 9, 5)
        assert slot.memory > 1 << 20
        assert slot.began <= slot.heartbeat
        figures.ready()
        factory.channels.clear()
        beat = slot.heartbeat
        clock.advance(1)
        assert (slot.state, slot.connections, slot.requests, calls) == (State.READY, 0, 10, [0, 1])
        assert slot.heartbeat > beat
    finally:
        globalLogPublisher.removeObserver(log.append)
    assert [event["log_failure"].type for event in log] == [ZeroDivisionError] * 2
    figures.at_beat.clear()
    figures.draining()
    factory.requests = 12
    figures.stop()
    figures.stop()
    assert (slot.state, slot.requests) == (State.DRAINING, 12)
    assert not clock.getDelayedCalls()
