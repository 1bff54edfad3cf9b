"""The own log of a process, on files of a test."""

import pytest

from processes import age
from skitai.daemon.ownlog import OwnLog


def test_a_file_of_a_former_day(tmp_path):
    """It is moved aside, and the log goes on in a new one."""
    path = tmp_path / "some.log"
    age(path)
    log = OwnLog(str(path), keep=1)
    log.look()
    log.stream.write("new\n")
    assert (tmp_path / "some-20251015.log").read_text() == "old\n"
    assert path.read_text() == "new\n"
    log.stream.close()


@pytest.mark.parametrize("name", ["-", "+"])
def test_a_standard_stream_is_not_rotated(capsys, name):
    log = OwnLog(name, keep=1)
    log.look()
    log.reopen()
    log.stream.write("said\n")
    assert "".join(capsys.readouterr()) == "said\n"


def test_moved_by_others(tmp_path):
    """The log goes on in a new file."""
    path = tmp_path / "some.log"
    log = OwnLog(str(path), keep=0)
    path.rename(tmp_path / "moved.log")
    log.reopen()
    log.stream.write("new\n")
    log.stream.close()
    assert path.read_text() == "new\n"


def test_it_becomes_the_log_of_twisted(tmp_path, monkeypatch):
    """What is of a former day is moved aside before."""
    path = tmp_path / "some.log"
    age(path)
    log = OwnLog(str(path), keep=1)
    begun = []
    monkeypatch.setattr(
        "skitai.daemon.ownlog.globalLogBeginner.beginLoggingTo",
        lambda observers, redirectStandardIO: begun.append((observers, redirectStandardIO)),
    )
    log.begin()
    [([observer], is_redirected)] = begun
    assert not is_redirected
    observer({"log_format": "hello", "log_time": 0.0})
    assert (tmp_path / "some-20251015.log").exists()
    assert "hello" in path.read_text()
    log.stream.close()
