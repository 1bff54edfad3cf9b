"""Rows from cursors, in steps."""

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from skitai.services.postgresql.fetching import fetch


class Cursor:
    """A cursor with numbers."""

    description = (("i",),)

    def __init__(self, rowcount):
        self.rowcount = rowcount
        self._rows = iter([(i,) for i in range(rowcount)])

    def fetchmany(self, size):
        return [row for _, row in zip(range(size), self._rows, strict=False)]


def test_a_small_result_is_there_at_once():
    """Few rows need no further turn of the reactor."""
    assert fetch(Cursor(500), 1000, Clock(), lambda: True).rowcount == 500


def test_a_large_result_is_made_in_steps():
    """Many rows are made in turns of the reactor."""
    clock = Clock()
    made = fetch(Cursor(1200), 2000, clock, lambda: True)
    assert not made.called
    while clock.getDelayedCalls():
        clock.advance(0)
    assert [row.i for row in made.result] == list(range(1200))


def test_what_is_not_wanted_any_more():
    """A result is never given in part."""
    clock, wanted = Clock(), [True]
    made = fetch(Cursor(100_000), 100_000, clock, lambda: bool(wanted))
    wanted.clear()
    clock.advance(0)
    with pytest.raises(CancelledError):
        made.result.raiseException()
    made.addErrback(lambda failure: None)
    assert clock.getDelayedCalls() == []
