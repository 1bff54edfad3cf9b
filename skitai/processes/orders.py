"""What the processes of one server say to each other.

A supervisor starts a *nursery*: a process that loads the server once and forks a worker for each order. The
nursery says HELLO with its wishes, gets the SOCKETS (or CANNOT), and says LOADED (or BROKEN). A FORK order
brings the worker's own line to the supervisor, on which it says READY, and LEAVE if an app asks for that. The
nursery says FORKED and GONE. At CLOSE it lets go of the sockets. A worker accepts nothing before it is told
to SERVE: what is loaded anew may turn out to be broken when its first worker is ready. HURRY is SIGTERM, but
leaves requests a second.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any, Self

import attrs

HELLO, SOCKETS, CANNOT, LOADED, BROKEN = "hello", "sockets", "cannot", "loaded", "broken"
FORK, CLOSE, FORKED, GONE = "fork", "close", "forked", "gone"
READY, SERVE, LEAVE, HURRY = "ready", "serve", "leave", "hurry"

#: The variable that tells a process that it is a nursery: the descriptor of its line to the supervisor.
NURSERY_VARIABLE = "SKITAI_NURSERY"

#: The variable that names the Unix socket of the hub of the rooms.
HUB_VARIABLE = "SKITAI_HUB"

#: The variable that tells an agent of whose end it is to end: the process id of its parent.
PARENT_VARIABLE = "SKITAI_PARENT"

#: The exit status of a server that did not come to serve, for a reason other than its configuration.
EXIT_BROKEN = 1
#: The exit status for a configuration that cannot be served.
EXIT_CONFIG = 2
#: The exit status that asks whoever supervises the process to start it again.
EXIT_RESTART = 3
#: The exit status of a child that asks its parent to begin anew, too: see ``skitai.daemon.replacing``.
EXIT_ANEW = 4

#: The signals that come from a terminal or a service manager: the supervisor alone acts on them. A nursery
#: starts with these blocked.
BLOCKED = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1)

#: The signal at which a worker writes down where its threads and greenlets are.
STACKS_SIGNAL = signal.SIGRTMIN + 6


@attrs.frozen(kw_only=True)
class Wishes:
    """What the config wants of a supervisor; None and 0 if something is off.

    ``endpoints`` are addresses as ``skitai.net.endpoints`` writes them. ``worker_timeout`` are the seconds
    without a heartbeat after which a worker is killed, ``end_seconds`` those that a worker may take to end.
    ``max_memory`` is in bytes. ``logs`` are paths and periods of the logs to rotate, of which ``logs_kept``
    former files are kept. ``mail`` is the command of the delivery agent, ``mounted`` says what is served.
    """

    name: str
    processes: int
    endpoints: tuple[str, ...]
    worker_timeout: float
    end_seconds: float
    max_requests: int
    max_memory: int
    logs: tuple[tuple[str, str], ...] = ()
    logs_kept: int = 0
    mail: tuple[str, ...] = ()
    mounted: str = ""

    def as_message(self) -> dict[str, Any]:
        """Return it as JSON can carry it."""
        return attrs.asdict(self)

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> Self:
        """Return what ``as_message`` was given, as far as this version knows it."""
        names = [field.name for field in attrs.fields(cls) if field.name in message]
        known = {name: message[name] for name in names}
        logs = tuple((path, period) for path, period in known["logs"])
        tuples = {name: tuple(known[name]) for name in ("endpoints", "mail")}
        return cls(**{**known, **tuples, "logs": logs})


def said_of(status: int) -> str:
    """Return what a wait status (``os.waitpid``) says of the end of a process."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        return f"killed by {name}"
    return f"exit status {os.waitstatus_to_exitcode(status)}"
