"""What the log says where there is no room for a body or a response."""

import errno
import os
import tempfile

import pytest

from skitai.server.request.noroom import why
from skitai.server.request.storage import StorageFull


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            errno.ENOSPC,
            "No space left on device in the folder /spool: make room there, or name another folder",
        ),
        (errno.EDQUOT, "Disk quota exceeded in the folder /spool: make room there, or name another folder"),
        (errno.EACCES, "Permission denied in the folder /spool: name another folder in the variable TMPDIR"),
        (errno.EROFS, "Read-only file system in the folder /spool: name another folder"),
        (errno.ENFILE, "all descriptors of the system are used: raise fs.file-max"),
    ],
)
def test_why(monkeypatch, code, words):
    """The reason names the place, and what mends it."""
    monkeypatch.setattr(tempfile, "tempdir", "/spool")
    assert why(OSError(code, os.strerror(code))).startswith(words)


def test_no_descriptors():
    """Where it is for want of a descriptor, no folder is to blame."""
    found = why(OSError(errno.EMFILE, "Too many open files", "/spool/a"))
    assert "descriptors of this process are used: raise that limit" in found
    assert "/spool" not in found


def test_limit():
    """Where a key of the config is reached, that is named."""
    assert (
        why(StorageFull(100))
        == "buffers_max = 100 is reached by bodies and responses: raise that key of [server]"
    )


def test_no_folder(monkeypatch):
    """Where no folder will do, the message of Python names those that were tried."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    error = FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")
    assert why(error).startswith("No usable temporary directory found in ['/tmp']: name another folder")
