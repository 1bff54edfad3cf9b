"""What one turn of the reactor sends leaves together."""

import pytest
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from skitai.loop.sending import SendQueue


class RecordingSender:
    """Notes when it was flushed."""

    def __init__(self, clock):
        self.clock = clock
        self.flushed = []

    def flush(self):
        self.flushed.append(self.clock.seconds())


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queue(clock):
    return SendQueue(clock, clock.seconds)


def test_leaves_when_the_turn_ends(clock, queue):
    """All who have something to send are flushed in order of coming, once, with one timer for all."""
    senders = [RecordingSender(clock) for _ in range(3)]
    for sender in senders:
        queue.add(sender)
    assert len(clock.getDelayedCalls()) == 1
    assert [sender.flushed for sender in senders] == [[], [], []]
    clock.advance(0)
    assert [sender.flushed for sender in senders] == [[0], [0], [0]]
    clock.advance(1)
    assert [sender.flushed for sender in senders] == [[0], [0], [0]]


def test_next_turn(clock, queue):
    """A sender may come again in the next turn."""
    sender = RecordingSender(clock)
    for _ in range(2):
        queue.add(sender)
        clock.advance(0)
    assert len(sender.flushed) == 2


def test_slow_turn(clock, queue):
    """In a turn of slow apps an answer waits for no more than the next one."""
    first, second, third = (RecordingSender(clock) for _ in range(3))
    queue.add(first)
    clock.rightNow = 0.01  # an app takes its time: nobody runs the timers
    queue.add(second)
    assert (first.flushed, second.flushed) == ([0.01], [0.01])
    queue.add(third)
    clock.advance(0)
    assert third.flushed == [0.01]
    assert clock.getDelayedCalls() == []


def test_slow_apps(clock, queue):
    """Where an app computes while something waits, nothing waits for a while; then it is tried again."""
    first, second, third = (RecordingSender(clock) for _ in range(3))
    queue.add(first)
    clock.rightNow = 0.1  # an app computes
    clock.advance(0)
    queue.add(second)
    assert (first.flushed, second.flushed) == ([0.1], [0.1])
    clock.advance(2)
    queue.add(third)
    assert third.flushed == []
    clock.advance(0)
    assert third.flushed == [2.1]


def test_a_sender_that_fails(clock, queue):
    """A sender that raises is logged, and keeps no other from being flushed."""
    broken, sound = RecordingSender(clock), RecordingSender(clock)
    broken.flush = lambda: 1 / 0
    events = []
    for sender in (broken, sound):
        queue.add(sender)
    globalLogPublisher.addObserver(events.append)
    clock.advance(0)
    globalLogPublisher.removeObserver(events.append)
    assert sound.flushed == [0]
    assert [event["log_failure"].type for event in events] == [ZeroDivisionError]
