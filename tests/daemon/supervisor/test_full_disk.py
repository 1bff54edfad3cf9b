"""The end of a supervisor whose log has no room."""

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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full is Linux's")
@pytest.mark.parametrize("out", ["/dev/full", "/dev/null"])
def test_the_status_is_that_of_the_stop(out):
    """Python would end with 120, and a service manager would start again what somebody has stopped."""
    with open(out, "w") as stream:
        ended = subprocess.run(
            [sys.executable, "-c", CODE], stdout=stream, stderr=subprocess.PIPE, timeout=60
        )
    assert (ended.returncode, ended.stderr) == (3, b"")
