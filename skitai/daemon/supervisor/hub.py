"""Keeps the hub of the rooms: a process that begins when the first worker wants it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from twisted.logger import Logger

from skitai.processes.orders import HUB_VARIABLE

_log = Logger()

#: Seconds until a hub that has ended may be started again.
_PAUSE_SECONDS = 0.5


class HubKeeper:
    """Listens for workers that want the hub, and starts it for the first of them.

    ``watch(source, call)`` and ``unwatch(source)`` are the supervisor's. Workers find the socket by an
    environment variable. Its name is known to nobody else, because workers may run as another user. Where no
    folder can hold the socket, there is no hub: each worker has rooms of its own.
    """

    def __init__(
        self, watch: Callable[[Any, Callable[[], object]], None], unwatch: Callable[[Any], None]
    ) -> None:
        self._watch, self._unwatch = watch, unwatch
        self._pid = 0
        self._again_at: float | None = None
        self._folder: Path | None = None
        self._socket = socket.socket(socket.AF_UNIX)
        os.environ.pop(HUB_VARIABLE, None)
        try:
            self._listen()
        except OSError as error:  # as in a container whose folders are all read-only
            _log.warn(
                "rooms and messages of one worker do not reach the others: {error}; "
                "name another folder in the variable TMPDIR",
                error=error.strerror or error,
            )

    def _listen(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="skitai-"))
        self._folder.chmod(0o711)
        path = self._folder / secrets.token_hex(16)
        self._socket.bind(str(path))
        path.chmod(0o666)
        self._socket.listen(128)
        os.environ[HUB_VARIABLE] = str(path)
        self._watch(self._socket, self._start)

    def _start(self) -> None:
        self._unwatch(self._socket)
        descriptor = self._socket.fileno()
        command = [sys.executable, "-m", "skitai.daemon.hub", str(descriptor), str(os.getpid())]
        os.set_inheritable(descriptor, True)
        try:
            self._pid = os.posix_spawn(command[0], command, dict(os.environ))
        except OSError as error:
            _log.error("the hub of the rooms cannot be started: {error}", error=error)
            self._again_at = monotonic() + _PAUSE_SECONDS
        finally:
            os.set_inheritable(descriptor, False)

    def ended(self, pid: int, reason: str) -> None:
        """Take note that the process ``pid`` has ended."""
        if pid != self._pid:
            return
        self._pid = 0
        _log.error("the hub of the rooms has ended: {reason}", reason=reason)
        self._again_at = monotonic() + _PAUSE_SECONDS

    def look(self, now: float) -> None:
        """Let the next worker that wants the hub start another, when the pause after its end is over."""
        if self._again_at is not None and now >= self._again_at:
            self._again_at = None
            self._watch(self._socket, self._start)

    def close(self) -> None:
        """End the hub; there is no other."""
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGTERM)
        self._socket.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
