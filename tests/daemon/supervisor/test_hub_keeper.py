"""Where the hub listens, and what becomes of a server for which there is no such place."""

import os
import tempfile

import pytest

from skitai.daemon.supervisor.hub import HubKeeper
from skitai.processes.orders import HUB_VARIABLE


@pytest.fixture(autouse=True)
def _around(monkeypatch):
    monkeypatch.setenv(HUB_VARIABLE, "of a server around this one")


def kept():
    """Make a keeper and close it; return what it watched, and where workers would have found the hub."""
    watched = []
    keeper = HubKeeper(lambda source, call: watched.append(source), watched.remove)
    path = os.environ.get(HUB_VARIABLE)
    assert path is None or os.path.exists(path)
    keeper.close()
    return len(watched), path


def test_a_socket_for_workers(log_lines, monkeypatch):
    """It is in the folder for temporary files, and goes with the keeper."""
    with tempfile.TemporaryDirectory() as folder:  # that of pytest may be too long for a socket
        monkeypatch.setattr(tempfile, "tempdir", folder)
        count, path = kept()
        assert count == 1
        assert path.startswith(folder)
        assert os.listdir(folder) == []
    assert log_lines == []


def test_no_folder_for_temporary_files(log_lines, monkeypatch):
    """As in a container that is read-only: the server serves, and the log says what does not work."""

    def nowhere(**_):
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "mkdtemp", nowhere)
    assert kept() == (0, None)
    assert log_lines == [
        "rooms and messages of one worker do not reach the others: No usable temporary directory found in "
        "['/tmp']; name another folder in the variable TMPDIR"
    ]


def test_a_path_that_no_socket_can_have(log_lines, tmp_path, monkeypatch):
    """A Unix socket's path has 107 bytes at most; nothing is left of the attempt."""
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    assert kept() == (0, None)
    assert "AF_UNIX path too long; name another folder" in log_lines[0]
    assert list(folder.iterdir()) == []
