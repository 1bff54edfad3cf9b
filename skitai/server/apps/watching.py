"""Tells when files change: a developer reads of a mistake on saving it, not at the next request."""

from __future__ import annotations

import os
from collections.abc import Callable, Set
from threading import Event, Thread

from twisted.logger import Logger, LogLevel

_log = Logger()

#: Milliseconds after which to look without a notification. None comes for what changed before the watch
#: began, nor for a disk of another machine; and an app may import from another directory at any time.
_LOOK_AGAIN = 1000


class FileWatcher:
    """Calls ``changed()`` soon after Python files in ``directories()`` change, and once a second anyway.

    ``directories`` returns paths, of which those that do not exist are passed over. Both are called in a
    thread of the watcher's own; ``start`` and ``stop`` once each, in any other.
    """

    def __init__(self, directories: Callable[[], Set[str]], changed: Callable[[], None]) -> None:
        self._directories = directories
        self._changed = changed
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="skitai-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, within a tenth of a second."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                self._watch(self._existing())
        except Exception:  # noqa: BLE001 - such as the system's limit on watched directories
            _log.failure(
                "files are not watched: their changes are seen at the next request only", level=LogLevel.error
            )

    def _existing(self) -> set[str]:
        return {path for path in self._directories() if os.path.isdir(path)}

    def _watch(self, directories: set[str]) -> None:
        """Return when there are other directories to watch, or none any more."""
        from watchfiles import watch  # needed for development only

        for _changes in watch(
            *directories,
            watch_filter=lambda _, path: path.endswith(".py"),
            stop_event=self._stopped,
            rust_timeout=_LOOK_AGAIN,
            yield_on_timeout=True,
            raise_interrupt=False,
            recursive=False,
        ):
            self._changed()
            if self._existing() != directories:
                return
