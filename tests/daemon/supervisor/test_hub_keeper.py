"""Where the hub listens, and what becomes of a server for which there is no such place."""

import os
import tempfile

import pytest
from twisted.logger import formatEvent, globalLogPublisher

from skitai.daemon.supervisor.hub import HubKeeper
from skitai.processes.orders import HUB_VARIABLE


@pytest.fixture
def warnings(monkeypatch):
    monkeypatch.setenv(HUB_VARIABLE, "of a server around this one")
    lines = []

    def note(event):
        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(note)
    yield lines
    globalLogPublisher.removeObserver(note)


def kept():
    """Make a keeper and close it; return what it watched, and where workers would have found the hub."""
    watched = []
    keeper = HubKeeper(lambda source, call: watched.append(source), watched.remove)
    path = os.environ.get(HUB_VARIABLE)
    assert path is None or os.path.exists(path)
    keeper.close()
    return len(watched), path


def test_a_socket_for_workers(warnings, monkeypatch):
    """It is in the folder for temporary files, and goes with the keeper."""
    with tempfile.TemporaryDirectory() as folder:  # that of pytest may be too long for a socket
        monkeypatch.setattr(tempfile, "tempdir", folder)
        count, path = kept()
        assert count == 1
        assert path.startswith(folder)
        assert os.listdir(folder) == []
    assert warnings == []


def test_no_folder_for_temporary_files(warnings, monkeypatch):
    """As in a container that is read-only: the server serves, and the log says what does not work."""

    def nowhere(**_):
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "mkdtemp", nowhere)
    assert kept() == (0, None)
    assert warnings == [
        "rooms and messages of one worker do not reach the others: No usable temporary directory found in "
        "['/tmp']; name another folder in the variable TMPDIR"
    ]


def test_a_path_that_no_socket_can_have(warnings, tmp_path, monkeypatch):
    """A Unix socket's path has 107 bytes at most; nothing is left of the attempt."""
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    assert kept() == (0, None)
    assert "AF_UNIX path too long; name another folder" in warnings[0]
    assert list(folder.iterdir()) == []
