"""The delivery agent beside a server: how it is started, and how the server waits for its end."""

from __future__ import annotations

import os
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from skitai.config import Config
from skitai.daemon.logs import name_of_log, plain_observer
from skitai.daemon.mail.keeping import AgentKeeper

#: Seconds between two looks whether an agent that was told to end has ended.
_LOOK_SECONDS = 0.05


def agent_command(config: Config, twist: Any, *, verbose: bool) -> tuple[str, ...]:
    """Return the command of the agent of a server; nothing if its ``config`` wants none.

    ``twist`` are the options of ``twist``: the agent logs where they say, unless ``config`` has a place for
    that and the server is not ``verbose``.
    """
    if "smtpda" not in config.sections:
        return ()
    words = [sys.executable, "-m", "twisted", f"--log-level={twist['logLevel'].name}"]
    if twist["fileLogObserverFactory"] is not plain_observer:
        words.append("--log-format=json")
    name = name_of_log(twist["logFile"])
    if verbose or config.places["log_path"] is None:
        words.append(f"--log-file={name if name in ('-', '+') else os.path.abspath(name)}")
    return (*words, "skitai-mail", "--config", os.path.abspath(config.path))


def wait_for_end(keeper: AgentKeeper, reactor: Any) -> Deferred[Any]:
    """Return a Deferred that fires when the agent of ``keeper`` is gone, which was told to end."""

    def look() -> None:
        keeper.look()
        if keeper.is_over:
            looks.stop()

    looks = LoopingCall(look)
    looks.clock = reactor
    return looks.start(_LOOK_SECONDS)
