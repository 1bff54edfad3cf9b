"""How the watching thread looks at the others."""

import gc
import sys
import threading

import pytest

from skitai.worker.watch.stacks import current_frames


@pytest.fixture
def looks(monkeypatch):
    """Return a list that gets an entry for each collection of garbage within ``sys._current_frames``."""
    real, within, collections = sys._current_frames, [], []

    def look():
        within.append(True)
        frames = [real() for _ in range(20)]
        within.pop()
        return frames[0]

    def collected(phase, _info):
        if within and phase == "start":
            collections.append(phase)

    monkeypatch.setattr(sys, "_current_frames", look)
    thresholds = gc.get_threshold()
    gc.callbacks.append(collected)
    gc.set_threshold(1)
    yield collections
    gc.set_threshold(*thresholds)
    gc.callbacks.remove(collected)


def test_nothing_is_collected(looks):
    """Or Python 3.11.8 and older may stand still for ever: python/cpython#106883."""
    end = threading.Event()
    threads = [threading.Thread(target=end.wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    frames = current_frames()
    assert {thread.ident for thread in threads} <= frames.keys()
    end.set()
    for thread in threads:
        thread.join()
    assert looks == []


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_left_as_it_was(enabled, request):
    (gc.enable if enabled else gc.disable)()
    request.addfinalizer(gc.enable)
    current_frames()
    assert gc.isenabled() is enabled
