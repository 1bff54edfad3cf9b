"""What is said of a generation whose apps are not loaded after a while."""

from types import SimpleNamespace

import pytest

from skitai.daemon.supervisor import generations as module
from skitai.daemon.supervisor.generations import Generations
from skitai.daemon.supervisor.nurseries import Nursery, Stage


@pytest.mark.parametrize(("stage", "count"), [(Stage.LOADING, 1), (Stage.LOADED, 0)])
def test_a_module_that_waits(log_lines, monkeypatch, stage, count):
    """The log says so once, after ten seconds; not of one that is loaded."""
    nursery = Nursery(1, 0, None, began=100.0, stage=stage)
    monkeypatch.setattr(module, "start_nursery", lambda *_: nursery)
    poll = SimpleNamespace(watch=lambda *_: None)
    generations = Generations(["skitai"], None, None, poll, None)
    generations.load()
    for now in (100.0, 109.9, 110.0, 111.0, 200.0):
        generations.look(now)
        assert len(log_lines) == (count if now >= 110.0 else 0)
    assert all(line.startswith("the apps are still being loaded after 10 s") for line in log_lines)
