"""Has the system tell of mail that comes into the spool (inotify(7))."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from skitai.mail.files import ENVELOPE


class FolderWatch:
    """Calls ``notice(id)`` when an envelope comes into ``folder``, or is touched there.

    It may miss some where thousands come at once. All methods are called in the reactor thread.
    """

    def __init__(self, folder: Path, notice: Callable[[str], object], reactor: Any) -> None:
        """Begin. Raises OSError where the system has no such thing, or none left."""
        self._folder = folder
        self._notice = notice
        self._reactor = reactor
        self._begin()

    def _begin(self) -> None:
        try:
            from twisted.internet import inotify
            from twisted.python.filepath import FilePath
        except ImportError as error:  # another system than Linux
            raise OSError(str(error)) from None
        self._gone = inotify.IN_DELETE_SELF | inotify.IN_MOVE_SELF
        self._is_gone = False
        try:
            self._notifier = inotify.INotify(self._reactor)  # type: ignore[no-untyped-call]
            self._notifier.startReading()  # type: ignore[no-untyped-call]
            try:
                self._notifier.watch(  # type: ignore[no-untyped-call]
                    FilePath(os.fsencode(self._folder)),
                    inotify.IN_MOVED_TO | inotify.IN_ATTRIB | self._gone,
                    callbacks=[self._changed],
                )
            except inotify.INotifyError:
                self.end()
                raise
        except inotify.INotifyError as error:
            raise OSError(f"no inotify: {error}") from None

    def _changed(self, _watch: object, path: Any, mask: int) -> None:
        if mask & self._gone:
            self._is_gone = True
            return
        name = os.fsdecode(path.basename())
        if name.endswith(ENVELOPE):
            self._notice(name.removesuffix(ENVELOPE))

    def look(self) -> None:
        """Watch the folder anew if it was removed, and is there again."""
        if self._is_gone and self._folder.exists():
            self.end()
            try:
                self._begin()
            except OSError:
                self._is_gone = True  # the next look comes

    def end(self) -> None:
        """End."""
        with suppress(Exception):  # the folder is gone, and so is the watch
            self._notifier.loseConnection()  # type: ignore[no-untyped-call]
