"""How Redis is: for the log, once for each change, and for the status page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

_log = Logger()
_WELL = "connected"


class Health:
    """The state of the links to one Redis. All of it is called in the reactor thread.

    ``label`` names the Redis; ``seconds`` is a monotonic clock.
    """

    def __init__(self, label: str, seconds: Callable[[], float]) -> None:
        self._label = label
        self._seconds = seconds
        self._reasons: dict[str, str] = {}
        self._state = "not connected yet"
        self._since = seconds()
        #: Commands that were sent; those that failed, and those without an answer in time.
        self.commands = self.failures = self.timeouts = 0
        #: Attempts to connect, and connections that were made.
        self.attempts = self.connections = 0

    def up(self, link: str) -> None:
        """Note that ``link`` is connected."""
        self.connections += 1
        self._reasons.pop(link, None)
        if not self._reasons and self._change(_WELL):
            _log.info("{label} is connected", label=self._label)

    def down(self, link: str, reason: str) -> None:
        """Note that ``link`` is not connected."""
        self._reasons[link] = reason
        if self._change(reason):
            _log.warn("{label} is away, it is tried again: {reason}", label=self._label, reason=reason)

    def _change(self, state: str) -> bool:
        if state == self._state:
            return False
        self._state = state
        self._since = self._seconds()
        return True

    def statistics(self) -> dict[str, Any]:
        """Return the row of the status page."""
        return {
            "address": self._label,
            "state": self._state,
            "for_seconds": round(self._seconds() - self._since, 1),
            "attempts": self.attempts,
            "connections_made": self.connections,
            "commands": self.commands,
            "failures": self.failures,
            "timeouts": self.timeouts,
        }
