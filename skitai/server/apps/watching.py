"""Tells when files change, so that a developer sees a mistake on saving it, not at the next request."""

from __future__ import annotations

import os
from collections.abc import Callable, Set
from contextlib import suppress
from time import monotonic, sleep

from twisted.logger import Logger, LogLevel

from skitai.loop.native import Lock, start_thread

_log = Logger()

#: Milliseconds after which to look without a notification. There is none for a change before the watch began
#: or on another machine's disk, and an app may import from a new directory at any time.
_LOOK_AGAIN = 1000
#: Seconds within which the watcher ends.
_STEP_SECONDS = 0.05


def is_python(path: str) -> bool:
    """Return whether a file is a Python module, by its name."""
    return path.endswith(".py")


class FileWatcher:
    """Calls ``changed()`` soon after files in ``directories()`` change, and all ``look_again`` ms anyway.

    ``directories`` returns paths; those that do not exist are skipped. ``matters(path)`` returns whether a
    file counts. All are called in the watcher's own thread. ``start`` and ``stop`` are called once each, in
    any other thread.
    """

    def __init__(
        self,
        directories: Callable[[], Set[str]],
        changed: Callable[[], None],
        matters: Callable[[str], bool] = is_python,
        look_again: int | None = None,
    ) -> None:
        self._directories = directories
        self._changed = changed
        self._matters = matters
        self._look_again = look_again or _LOOK_AGAIN
        self._stopped = False
        #: Held while the thread runs.
        self._running = Lock()

    def start(self) -> None:
        """Begin to watch."""
        self._running.acquire()
        start_thread(self._run, "skitai-files")

    def stop(self) -> None:
        """End the thread, within a tenth of a second."""
        self._stopped = True
        with self._running:
            pass

    def is_set(self) -> bool:
        """Whether ``stop`` was called: the watcher is its own ``stop_event`` for ``watchfiles``."""
        return self._stopped

    def _run(self) -> None:
        try:
            while not self._stopped:
                self._watch(self._existing())
        except Exception:  # noqa: BLE001 - the system's limit on watched directories, for example
            _log.failure(
                "files are not watched, but looked at every {seconds:g} s",
                seconds=self._look_again / 1000,
                level=LogLevel.error,
            )
            self._only_look()
        finally:
            self._running.release()

    def _only_look(self) -> None:
        waited = 0.0
        while not self._stopped:
            sleep(_STEP_SECONDS)
            waited += _STEP_SECONDS * 1000
            if waited >= self._look_again:
                waited = 0.0
                with suppress(Exception):  # a folder that was just removed, for example
                    self._changed()

    def _existing(self) -> set[str]:
        return {path for path in self._directories() if os.path.isdir(path)}

    def _watch(self, directories: set[str]) -> None:
        """Return when there are other directories to watch, or when the watcher is stopped."""
        from watchfiles import watch  # needed for development only

        looked = monotonic()
        for changes in watch(
            *directories,
            watch_filter=None,  # or others, such as a log that grows, could put off the next look for ever
            stop_event=self,
            rust_timeout=self._look_again,
            yield_on_timeout=True,
            raise_interrupt=False,
            recursive=False,
        ):
            is_due = (monotonic() - looked) * 1000 >= self._look_again
            if not changes or is_due or any(self._matters(path) for _, path in changes):
                looked = monotonic()
                self._changed()
                if self._existing() != directories:
                    return
