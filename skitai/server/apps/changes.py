"""What has changed of the code of a process, which is replaced as a whole then.

Code that was run cannot be taken back: threads that it has started, handlers that it has added, classes and
counters that it has registered. So a process that reloads is replaced, as under other servers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from time import sleep

from skitai.server.apps.loader import LoadedApp
from skitai.server.apps.modules import file_stamp, is_installed
from skitai.server.apps.watching import is_python

#: Seconds in which nothing more must change, and how many times that is waited for.
_STEP_SECONDS, _STEPS_MAX = 0.05, 40


class CodeChanges:
    """The files that the code of one instance consists of.

    They are those of the mounted ``apps``, those of all other modules that are not installed, and those that
    ``include``, patterns such as ``templates/*.html``, finds below the folders of apps. ``take_over`` says
    that changes replace the process. What is known by then is called *old*: a fork of this process would have
    it, too. All methods may be called in any thread, one at a time.
    """

    def __init__(self) -> None:
        self.apps: list[LoadedApp] = []
        #: Whether a change replaces the process.
        self.is_whole = False
        self._stamps: dict[str, tuple[int, int] | None] = {}
        self._old: set[str] = set()
        self._known: set[str] = set()
        self._include: tuple[str, ...] = ()
        self._included: dict[str, tuple[int, int] | None] | None = None

    def take_over(self, files: Iterable[Path], include: Iterable[str] = ()) -> None:
        """Have changes replace the process. Called before any app is loaded; ``files`` count as well."""
        self.is_whole = True
        for app in self.apps:
            app.as_a_whole = True
        self._include = tuple(include)
        self._note_modules(set())
        self._stamps |= {str(path): file_stamp(str(path)) for path in files}
        self._old = set(self._stamps)

    def directories(self) -> set[str]:
        """Return the directories to watch."""
        found = set().union(*(app.directories() for app in self.apps))
        return found | {os.path.dirname(path) for path in [*self._stamps, *(self._included or ())]}

    def matters(self, path: str) -> bool:
        """Return whether the file at ``path`` may be one of these."""
        return (
            is_python(path) or path in self._stamps or any(Path(path).match(each) for each in self._include)
        )

    def settled(self) -> tuple[set[str], bool]:
        """Return what ``look`` does when what has changed stays as it is for a moment.

        Editors empty a file before they write it, and other programs write many.
        """
        changed, is_old = self.look()
        for _ in range(_STEPS_MAX if changed else 0):
            before = {path: file_stamp(path) for path in changed}
            sleep(_STEP_SECONDS)
            changed, is_old = self.look()
            if {path: file_stamp(path) for path in changed} == before:
                break
        return changed, is_old

    def look(self) -> tuple[set[str], bool]:
        """Return the files that have changed, and whether some of them are old."""
        of_apps = set().union(*(app.files() for app in self.apps))
        self._note_modules(of_apps)
        changed = {path for path, stamp in self._stamps.items() if file_stamp(path) != stamp}
        is_old = not self._old.isdisjoint(changed)
        return changed.union(self._look_at_included(), *(app.changed() for app in self.apps)), is_old

    def forgive(self) -> None:
        """Take the old files as they are now: with them there would be no server."""
        self._stamps |= {path: file_stamp(path) for path in self._old}

    def _note_modules(self, known: set[str]) -> None:
        """Note the files of modules that were imported since the last time, except the ``known`` ones."""
        for module in list(sys.modules.values()):
            file = getattr(module, "__dict__", {}).get("__file__")  # some load others when they are asked
            if isinstance(file, str) and file not in self._known and file not in known:
                self._known.add(file)
                if not is_installed(file):
                    self._stamps[file] = file_stamp(file)

    def _look_at_included(self) -> set[str]:
        if not self._include:
            return set()
        found = {
            str(path): file_stamp(str(path))
            for directory in {app.directory for app in self.apps}
            for pattern in self._include
            for path in directory.rglob(pattern)
        }
        if self._included is None:
            self._included = found
        before = self._included
        return {path for path in {*before, *found} if before.get(path) != found.get(path)}
