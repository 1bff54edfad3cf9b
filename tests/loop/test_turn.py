"""What is put off to the end of the reactor's turn, and in which order it is done there."""

import gc
import weakref

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from skitai.loop.turn import Stage, turn_end_of


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def turn_end(clock):
    return turn_end_of(clock)


def test_stages_are_in_order(clock, turn_end):
    """Whoever comes first: greenlets go on, then apps begin, then all is sent, with one timer for all."""
    done = []
    for stage in (Stage.SEND, Stage.RESUME, Stage.START, Stage.RESUME):
        turn_end.call(stage, lambda stage=stage: done.append(stage))
    assert (len(clock.getDelayedCalls()), done) == (1, [])
    clock.advance(0)
    assert done == [Stage.RESUME, Stage.RESUME, Stage.START, Stage.SEND]
    assert clock.getDelayedCalls() == []


def test_a_later_stage_is_part_of_the_same_end(clock, turn_end):
    """What an app says when it begins leaves in the same turn; what is to go on does so in the next."""
    done = []

    def begin():
        turn_end.call(Stage.RESUME, lambda: done.append("next turn"))
        turn_end.call(Stage.SEND, lambda: done.append("sent"))
        done.append("begun")
        clock.callLater(0, done.append, "between")

    turn_end.call(Stage.START, begin)
    clock.advance(0)
    assert done == ["begun", "sent", "between", "next turn"]


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_one_that_fails_leaves_the_others(clock, turn_end, error):
    """A failure is logged, and the rest is done, now and in later turns."""
    done = []

    def fail():
        raise error

    turn_end.call(Stage.START, fail)
    turn_end.call(Stage.START, lambda: done.append("next"))
    with capturedLogs() as logged:
        clock.advance(0)
    assert done == ["next"]
    assert logged[0]["log_failure"].check(error)
    turn_end.call(Stage.START, lambda: done.append("later"))
    clock.advance(0)
    assert done == ["next", "later"]


def test_one_for_each_reactor(clock, turn_end):
    """All who put something off to the same turn share one; it goes with its reactor."""
    assert turn_end_of(clock) is turn_end
    other = Clock()
    assert turn_end_of(other) is not turn_end
    reference = weakref.ref(turn_end_of(other))
    del other
    gc.collect()
    assert reference() is None
