"""Has the system tell of mail that comes into the spool (inotify(7))."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

_ENVELOPE = ".json"


def watch_folder(folder: Path, notice: Callable[[str], object], reactor: Any) -> Callable[[], object]:
    """Call ``notice(id)`` when an envelope comes into ``folder``, or is touched there; return what ends that.

    A watcher may miss some where thousands come at once. Called in the reactor thread. Raises OSError where
    the system has no such thing, or none left.
    """
    try:
        from twisted.internet.inotify import IN_ATTRIB, IN_MOVED_TO, INotify, INotifyError
        from twisted.python.filepath import FilePath
    except ImportError as error:  # another system than Linux
        raise OSError(str(error)) from None

    def changed(_watch: object, path: Any, _mask: int) -> None:
        name = os.fsdecode(path.basename())
        if name.endswith(_ENVELOPE):
            notice(name.removesuffix(_ENVELOPE))

    try:
        notifier = INotify(reactor)  # type: ignore[no-untyped-call]
        notifier.startReading()  # type: ignore[no-untyped-call]
        try:
            notifier.watch(  # type: ignore[no-untyped-call]
                FilePath(os.fsencode(folder)), IN_MOVED_TO | IN_ATTRIB, callbacks=[changed]
            )
        except INotifyError:
            notifier.loseConnection()  # type: ignore[no-untyped-call]
            raise
    except INotifyError as error:
        raise OSError(f"no inotify: {error}") from None

    def end() -> None:
        with suppress(Exception):  # the folder is gone, and so is the watch
            notifier.loseConnection()  # type: ignore[no-untyped-call]

    return end
