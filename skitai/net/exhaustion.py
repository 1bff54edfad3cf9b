"""Says that connections cannot be accepted, because there is no descriptor left for them."""

from __future__ import annotations

import errno
import resource
import time
from collections.abc import Callable
from typing import Any

from twisted.logger import ILogObserver, Logger, globalLogPublisher
from zope.interface import implementer

#: Seconds until it is said again, with the number of connections since then.
AGAIN_SECONDS = 60.0

_log = Logger()


def no_descriptor(number: object) -> str:
    """Return what it means if a call of the system failed with ``number``; empty if it is something else."""
    if number == errno.EMFILE:
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return f"all {limit} descriptors of this process are used: raise that limit (LimitNOFILE=, ulimit -n)"
    return "all descriptors of the system are used: raise fs.file-max" if number == errno.ENFILE else ""


@implementer(ILogObserver)
class Refusals:
    """Takes the log of Twisted's ports: says in one line what they say in three for each connection.

    Twisted closes a connection that it has no descriptor for; all other events are passed on. ``seconds`` is
    the clock. Called in the reactor thread, when the port has accepted what it could.
    """

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._count = 0
        self._said_at = -AGAIN_SECONDS

    def __call__(self, event: dict[str, Any]) -> None:
        """Take one event; see ``twisted.internet.tcp._accept``."""
        words = str(event.get("log_format"))
        if "acceptError" in event:
            self._refused(f"the system has no room for another ({event['acceptError']})")
        elif "EMFILE" not in words:
            globalLogPublisher(event)
        elif "address" in event:
            self._refused(no_descriptor(errno.EMFILE))

    def _refused(self, reason: str) -> None:
        self._count += 1
        now = self._seconds()
        if now - self._said_at < AGAIN_SECONDS:
            return
        self._said_at = now
        noun = "a connection was" if self._count == 1 else f"{self._count} connections were"
        _log.warn("{noun} refused: {reason}", noun=noun, reason=reason)
        self._count = 0


#: All ports of the process share its descriptors.
REFUSALS = Refusals()
