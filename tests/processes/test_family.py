"""Processes that end with their parents."""

import os
import select
import subprocess
import sys

import pytest

from processes import environment

PARENT = """
import os, subprocess, sys
command = [sys.executable, "-c", sys.argv[1], str(os.getpid()), sys.argv[2]]
child = subprocess.Popen(command, stdout=subprocess.PIPE)
print(child.pid, child.stdout.readline().decode().strip(), flush=True)
sys.stdin.read()
"""
CHILD = """
import os, signal, sys
from skitai.processes.family import end_with_parent
end_with_parent(int(sys.argv[1]), signal.SIGTERM)
if sys.argv[2] == "another":
    from skitai.daemon.privileges import become, identity_of
    become(identity_of("nobody", None), [])
print(os.geteuid(), flush=True)
signal.pause()
"""


@pytest.mark.parametrize("user", ["same", "another"])
def test_end_with_parent(user):
    """A process ends when its parent is killed, also if it has become another user."""
    if user == "another" and os.geteuid() != 0:
        pytest.skip("only root can become another user")
    command = [sys.executable, "-c", PARENT, CHILD, user]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment(), **pipes) as parent:
        child, uid = map(int, parent.stdout.readline().split())
        assert (uid == os.geteuid()) == (user == "same")
        watched = os.pidfd_open(child)
        parent.kill()
    try:
        assert select.select([watched], [], [], 30)[0] == [watched]
    finally:
        os.close(watched)
