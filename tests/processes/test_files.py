"""Files that several processes append to."""

import resource
from contextlib import contextmanager

import pytest

from skitai.processes.files import AppendedFile


@contextmanager
def full_at(size):
    """Have the system take no more of any file than ``size`` bytes, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk(tmp_path):
    """A line that was cut off does not run into the first one for which there is room again."""
    path = tmp_path / "log"
    file = AppendedFile(path)
    file.write("first\n")
    with full_at(10):
        for _ in range(2):
            with pytest.raises(OSError, match="File too large"):
                file.write("second\n")
    file.write("third\n")
    file.write("fourth\n")
    assert path.read_text() == "first\nseco\nthird\nfourth\n"


def test_a_full_disk_and_a_new_file(tmp_path):
    """A new file begins with a line."""
    path = tmp_path / "log"
    file = AppendedFile(path)
    with full_at(3), pytest.raises(OSError, match="File too large"):
        file.write("first\n")
    path.rename(tmp_path / "log.1")
    file.reopen()
    file.write("second\n")
    assert path.read_text() == "second\n"
