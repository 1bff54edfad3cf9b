"""``twist`` in processes of its own, with the arguments, environment and descriptors of a test's choice."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import preloaded
from serving import REPOSITORY, START_PATIENCE, RunningServer

TWIST = [sys.executable, "-m", "twisted"]
#: Makes descriptors those from 3 on, as systemd does, and becomes the command that follows them.
_PASS_SOCKETS = """
import fcntl, os, sys
count = int(sys.argv[1])
passed = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 100) for number in sys.argv[2:2 + count]]
for number, descriptor in enumerate(passed, 3):
    os.dup2(descriptor, number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count), LISTEN_FDNAMES="a:b")
os.execv(sys.argv[2 + count], sys.argv[2 + count:])
"""


def environment(*path, **variables):
    """Return this process's environment with the folders of ``path`` before Skitai's on Python's path."""
    search = os.pathsep.join(map(str, [*path, REPOSITORY]))
    return {**os.environ, "PYTHONPATH": search, **variables}


def run_twist(*arguments, **options):
    """Run ``twist`` to its end; return what ``subprocess.run`` does, with text."""
    options.setdefault("env", environment())
    return preloaded.run([*TWIST, *map(str, arguments)], timeout=START_PATIENCE, **options)


def run_python(*arguments, **options):
    """Run Python, which must succeed."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        check=True, capture_output=True, text=True, timeout=START_PATIENCE, **options,
    )  # fmt: skip


def age(path):
    """Make a log one of October 15, 2025."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("old\n")
    last = time.mktime((2025, 10, 15, 12, 0, 0, 0, 0, -1))
    os.utime(path, (last, last))


def passing(*sockets):
    """Return options for a server that gets ``sockets`` as systemd passes them."""
    numbers = [each.fileno() for each in sockets]
    launcher = [sys.executable, "-c", _PASS_SOCKETS, *map(str, (len(numbers), *numbers))]
    return {"launcher": launcher, "pass_fds": numbers}


class TwistServer(RunningServer):
    """A server started as ``launcher`` followed by ``twist skitai`` with ``arguments``."""

    program = (*TWIST, "skitai")

    def __init__(self, directory, *arguments, launcher=(), **options):
        self._log = directory / "server.log"
        options.setdefault("env", environment())
        command = [*map(str, launcher), *self.program, *map(str, arguments)]
        with open(self._log, "wb") as log:
            self.process = preloaded.start(command, log, cwd=directory, **options)
        self.port = self._wait_for_port()


class SkitaiServer(TwistServer):
    """A server started as ``python -m skitai``, in ``directory``."""

    program = (sys.executable, "-m", "skitai")
