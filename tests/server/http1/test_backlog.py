"""The backlog of bytes that a client has not read yet."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.server.http1.backlog import Backlog
from skitai.server.http1.output import PIECE
from skitai.server.request.storage import Storage


def drain(backlog, size=PIECE):
    data = b""
    while piece := backlog.take(size):
        assert len(piece) <= size
        data += piece
    return data


@settings(deadline=None)
@given(
    st.integers(0, 50),
    st.lists(st.one_of(st.binary(max_size=60), st.integers(1, 40)), max_size=30),
)
def test_backlog_is_a_queue(memory_max, steps):
    """Whatever is added and taken in turn, in memory or in the file, comes out once and in order."""
    backlog, added, taken = Backlog(Storage(1 << 30), memory_max), b"", b""
    for step in steps:
        if isinstance(step, bytes):
            backlog.append(step)
            added += step
        else:
            taken += backlog.take(step)
        assert len(backlog) == len(added) - len(taken)
    assert taken + drain(backlog, 7) == added
    assert len(backlog) == 0
    backlog.close()


def test_backlog_uses_a_file_beyond_memory_max():
    """Bytes beyond memory_max go to a temporary file, which is emptied when they were read."""
    backlog = Backlog(Storage(1 << 30), 1000)
    backlog.append(b"a" * 1000)
    assert backlog._file is None
    backlog.append(b"b")
    file = backlog._file
    backlog.append(b"c" * 5000)
    assert drain(backlog) == b"a" * 1000 + b"b" + b"c" * 5000
    assert file.seek(0, 2) == 0
    backlog.append(b"d" * 1001)
    backlog.close()
    assert file.closed
    assert len(backlog) == 0


def test_backlog_on_a_full_disk(monkeypatch):
    """Without room for the file, append() raises OSError."""

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("skitai.server.http1.backlog.tempfile.TemporaryFile", full)
    with pytest.raises(OSError, match="No space"):
        Backlog(Storage(1 << 30), 10).append(b"x" * 11)


def test_a_full_disk_is_found_when_it_is_written_to(monkeypatch, tmp_path):
    """A full disk is noticed on append(), neither when bytes are read nor when the backlog is closed."""

    class FullDisk(io.FileIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    disk = io.BufferedRandom(FullDisk(tmp_path / "backlog", "w+b"))
    monkeypatch.setattr("skitai.server.http1.backlog.tempfile.TemporaryFile", lambda **_: disk)
    storage = Storage(1 << 30)
    backlog = Backlog(storage, 10)
    with pytest.raises(OSError, match="No space"):
        backlog.append(b"x" * 11)
    backlog.close()
    assert disk.closed
    assert (storage.in_memory, storage.on_disk) == (0, 0)
