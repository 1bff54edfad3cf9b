"""How ``twist skitai`` becomes the supervisor of a server with several workers."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from skitai.daemon.again import same_command
from skitai.daemon.logs import name_of_log, plain_observer
from skitai.formats import zone
from skitai.net.sockets import pass_on
from skitai.processes.streams import flush_streams


def become_supervisor(twist: Any, inherited: Sequence[int]) -> NoReturn:
    """Replace this program by the supervisor, which has the same process id.

    ``twist`` are the options of ``twist``: the supervisor logs where they say. ``inherited`` are descriptors
    of sockets that systemd passed. Called in the main thread, before anything runs.
    """
    if inherited:
        pass_on(inherited, os.environ)
    words = ["--log", name_of_log(twist["logFile"]), "--level", twist["logLevel"].name]
    if twist["fileLogObserverFactory"] is not plain_observer:
        words.append("--json")
    zone.restore(os.environ)
    flush_streams()
    os.execv(  # noqa: S606 - the same Python, and what was started before
        sys.executable, [sys.executable, "-m", "skitai.daemon.supervisor", *words, "--", *same_command()]
    )
