"""``twist`` in processes of its own, with the arguments, environment and descriptors of a test's choice."""

from __future__ import annotations

import os
import subprocess
import sys

from serving import REPOSITORY, START_PATIENCE, RunningServer

TWIST = [sys.executable, "-m", "twisted"]


def environment(*path, **variables):
    """Return this process's environment with the folders of ``path`` before Skitai's on Python's path."""
    search = os.pathsep.join(map(str, [*path, REPOSITORY]))
    return {**os.environ, "PYTHONPATH": search, **variables}


def run_twist(*arguments, **options):
    """Run ``twist`` to its end; return what ``subprocess.run`` does, with text."""
    options.setdefault("env", environment())
    return subprocess.run(
        [*TWIST, *map(str, arguments)], capture_output=True, text=True, timeout=START_PATIENCE, **options
    )


def run_python(*arguments, **options):
    """Run Python, which must succeed."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        check=True, capture_output=True, text=True, timeout=START_PATIENCE, **options,
    )  # fmt: skip


class TwistServer(RunningServer):
    """A server started as ``launcher`` followed by ``twist skitai`` with ``arguments``."""

    def __init__(self, directory, *arguments, launcher=(), **options):
        self._log = directory / "server.log"
        options.setdefault("env", environment())
        command = [*map(str, launcher), *TWIST, "skitai", *map(str, arguments)]
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                cwd=directory, **options,
            )  # fmt: skip
        self.port = self._wait_for_port()
