"""Keeps the folder of a cache below its limit: what was not used for longest is removed first."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

#: The end of the names of files that are being written.
TEMPORARY = ".part"
#: Seconds after which such a file is taken to be left over, and a body without a record.
_LEFT_OVER_AFTER, _ORPHANED_AFTER = 3600.0, 60.0
#: How full the folder is after a sweep that had to remove something.
_FILLED = 0.9


class _Group:
    """The files of one reply: its record, and bodies. A body that was replaced is not the newest."""

    __slots__ = ("bodies", "record", "used")

    def __init__(self) -> None:
        self.record: tuple[str, int] | None = None
        self.bodies: list[tuple[float, str, int]] = []
        self.used = 0.0

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return (self.record[1] if self.record else 0) + sum(size for _, _, size in self.bodies)

    def drop_orphans(self, now: float) -> None:
        """Remove bodies that no record is about, unless one may be on its way."""
        self.bodies.sort()
        kept = [self.bodies.pop()] if self.record and self.bodies else []
        for body in self.bodies:
            if now - body[0] < _ORPHANED_AFTER:
                kept.append(body)
            else:
                _remove(body[1])
        self.bodies = kept

    def remove(self) -> None:
        """Remove all files, the record first."""
        if self.record is not None:
            _remove(self.record[0])
        for _, path, _ in self.bodies:
            _remove(path)


def sweep(folder: Path, bytes_max: int, now: float) -> int:
    """Remove what is left over, and replies until the others have at most ``bytes_max`` bytes.

    Returns the bytes of the replies that stay. ``now`` are seconds since the epoch. Raises nothing: what
    others remove at the same time is gone. Called in any thread.
    """
    groups: dict[str, _Group] = {}
    for entry in _files(folder):
        with suppress(OSError):
            status = entry.stat(follow_symlinks=False)
            if entry.name.endswith(TEMPORARY):
                if now - status.st_mtime > _LEFT_OVER_AFTER:
                    _remove(entry.path)
                continue
            stem, dot, _ = entry.name.partition(".")
            group = groups.setdefault(stem, _Group())
            if dot:
                group.bodies.append((status.st_mtime, entry.path, status.st_size))
            else:
                group.record = (entry.path, status.st_size)
            group.used = max(group.used, status.st_mtime)
    for group in groups.values():
        group.drop_orphans(now)
    total = sum(group.size for group in groups.values())
    if total > bytes_max:
        for group in sorted(groups.values(), key=lambda group: group.used):
            if total <= bytes_max * _FILLED:
                break
            total -= group.size
            group.remove()
    return total


def _files(folder: Path) -> list[os.DirEntry[str]]:
    """Return the files in ``folder`` and in the folders of it whose names we give."""
    found = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False) and entry.name.endswith(TEMPORARY):
                found.append(entry)
            elif len(entry.name) == 2 and entry.is_dir(follow_symlinks=False):
                with suppress(OSError), os.scandir(entry.path) as inner:
                    found += [each for each in inner if each.is_file(follow_symlinks=False)]
    return found


def _remove(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)
