"""Tells systemd how the server does (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress
from time import monotonic_ns


class Notifier:
    """Says to the service manager of ``environ`` what is the case; without one, to nobody.

    What tells of it is removed from ``environ``: children have nothing to say.
    """

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        address = environ.pop("NOTIFY_SOCKET", "")
        # A name in the abstract namespace begins with a NUL, which variables cannot have.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        microseconds, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        for_us = pid in ("", str(os.getpid())) and microseconds.isdecimal()
        #: Seconds within which ``alive`` must be called again and again; 0 if nobody wants that.
        self.watchdog = int(microseconds) / 1e6 if for_us else 0.0

    def pass_on(self, environ: MutableMapping[str, str]) -> None:
        """Tell of the manager in ``environ`` again, for a program that this process is about to become."""
        if self._address:
            environ["NOTIFY_SOCKET"] = self._address.replace("\0", "@", 1)
        if self.watchdog:
            environ["WATCHDOG_USEC"] = str(int(self.watchdog * 1e6))

    def ready(self, status: str) -> None:
        """The server serves; ``status`` is for people."""
        self._say("READY=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """Tell people what the server does."""
        self._say(f"STATUS={status}")

    def reloading(self) -> None:
        """A reload has begun; ``ready`` ends it."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns() // 1000}")

    def alive(self) -> None:
        """The server does not hang."""
        if self.watchdog:
            self._say("WATCHDOG=1")

    def stopping(self) -> None:
        """The server ends."""
        self._say("STOPPING=1")

    def _say(self, *lines: str) -> None:
        if self._address:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto("\n".join(lines).encode(), self._address)
