"""The end of a supervisor whose log has no room."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
from skitai.daemon.supervisor.__main__ import discard_unwritten
print("a line of the log")
discard_unwritten()
sys.exit(3)
"""
#: An empty one is none: the line is to wait in the stream's buffer.
BUFFERED = {**os.environ, "PYTHONUNBUFFERED": ""}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full is Linux's")
@pytest.mark.parametrize("out", ["/dev/full", "/dev/null"])
def test_the_status_is_that_of_the_stop(out):
    """Python would end with 120, and a service manager would start again what somebody has stopped."""
    with Path(out).open("w") as stream:
        command = [sys.executable, "-c", CODE]
        ended = subprocess.run(command, stdout=stream, stderr=subprocess.PIPE, env=BUFFERED, timeout=60)
    assert (ended.returncode, ended.stderr) == (3, b"")
