"""Garbage collection while a server is loaded."""

import gc
from contextlib import suppress

import pytest

from skitai.processes.collecting import collecting_less


@pytest.fixture(autouse=True)
def thresholds():
    """The usual ones, also after a test."""
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_seldom_meanwhile():
    """And as before afterwards, also where loading fails."""
    with suppress(SystemExit), collecting_less():
        assert gc.get_threshold() == (50_000, 10, 10)
        raise SystemExit
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("chosen", [0, 700, 100_000])
def test_what_an_app_sets(chosen):
    """It stays."""
    with collecting_less():
        gc.set_threshold(chosen, 5, 5)
    assert gc.get_threshold() == (chosen, 5, 5)


@pytest.mark.parametrize("chosen", [0, 100_000])
def test_what_was_set_before(chosen):
    """Nobody who wants none, or fewer, gets more."""
    gc.set_threshold(chosen, 5, 5)
    with collecting_less():
        assert gc.get_threshold() == (chosen, 5, 5)
    assert gc.get_threshold() == (chosen, 5, 5)
