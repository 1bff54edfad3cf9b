"""Watching files: what changes in which directories is told soon, in a thread of its own."""

import threading

import pytest
import watchfiles
from twisted.logger import capturedLogs

from serving import eventually
from skitai.server.apps import watching
from skitai.server.apps.watching import FileWatcher


@pytest.fixture
def watch():
    """Start watchers, and stop them at the end."""
    watchers = []

    def start(directories, changed=lambda: None):
        watcher = FileWatcher(directories, changed)
        watchers.append(watcher)
        watcher.start()
        return watcher

    yield start
    for watcher in watchers:
        watcher.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "skitai-files"]


def test_notification(tmp_path, watch, monkeypatch):
    """A file that appears is told of at once, not when it is time to look again."""
    monkeypatch.setattr(watching, "_LOOK_AGAIN", 3_600_000)
    told = threading.Event()
    watch(lambda: {str(tmp_path), str(tmp_path / "missing")}, told.set)

    def written():
        (tmp_path / "new.py").write_text("")  # again and again: nobody says when the watch has begun
        return told.wait(0.1)

    eventually(written, "the notification")


def test_directory_that_appears(tmp_path, watch, monkeypatch):
    """A directory that is not there yet is watched when it is: the watch begins anew."""
    late = tmp_path / "late"
    watched = []
    monkeypatch.setattr(watchfiles, "watch", lambda *paths, **_: iter([watched.append(paths)]))
    watch(lambda: {str(late)})
    eventually(lambda: () in watched, "the watch of nothing")
    late.mkdir()
    eventually(lambda: (str(late),) in watched, "the watch of the directory")


def test_trouble_is_logged(watch):
    """What cannot be watched is said once, and looked at all the same."""
    looks = []
    with capturedLogs() as logged:
        watch(lambda: 1 / 0, lambda: looks.append(1))
        eventually(lambda: logged, "the log")
    assert "ZeroDivisionError" in logged[0]["log_failure"].getTraceback()
    assert "files are not watched" in logged[0]["log_format"]
    eventually(lambda: looks, "a look all the same")
