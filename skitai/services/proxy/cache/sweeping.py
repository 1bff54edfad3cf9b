"""Keeps the folder of a cache below its limit: what was not used for longest is removed first."""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

#: The end of the names of files that are being written.
TEMPORARY = ".part"
#: The names that we give: to such files, to folders, and to records and their bodies. Nothing else is
#: removed: the config may name a folder by mistake in which there is something.
_TEMPORARY_NAME = re.compile(rf"[0-9a-f]{{16}}{re.escape(TEMPORARY)}")
_FOLDER_NAME = re.compile("[0-9a-f]{2}")
_REPLY_NAME = re.compile(r"([0-9a-f]{40})(\.[0-9a-f]{8})?")
#: Seconds after which what is being written is taken to be left over, and a body without a record.
_LEFT_OVER_AFTER, _ORPHANED_AFTER = 3600.0, 60.0
#: How full the folder is after a sweep that had to remove something.
_FILLED = 0.9


class _Group:
    """The files of one reply: its record, and bodies. A body that was replaced is not the newest."""

    __slots__ = ("bodies", "minute", "record")

    def __init__(self) -> None:
        self.record: tuple[str, int] | None = None
        self.bodies: list[tuple[float, str, int]] = []
        #: That of the last use, since the epoch: uses are noted once a minute.
        self.minute = 0

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
    others remove at the same time is gone. Called in any thread. Only one of the folders in ``folder`` is in
    memory at a time, for there may be millions of replies.
    """
    _remove_left_over(folder, now)
    parts = _parts(folder)
    #: Bytes by the minute of their last use.
    used: Counter[int] = Counter()
    for part in parts:
        for group in _groups(part):
            group.drop_orphans(now)
            used[group.minute] += group.size
    total = used.total()
    if total <= bytes_max:
        return total
    last, excess = _last_minute(used, total - int(bytes_max * _FILLED))
    for part in parts:
        for group in _groups(part):
            if group.minute == last and excess > 0:
                excess -= group.size
            elif group.minute >= last:
                continue
            total -= group.size
            group.remove()
    return total


def _remove_left_over(folder: Path, now: float) -> None:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                is_old = now - entry.stat(follow_symlinks=False).st_mtime > _LEFT_OVER_AFTER
                if is_old and _TEMPORARY_NAME.fullmatch(entry.name):
                    os.unlink(entry.path)


def _parts(folder: Path) -> list[str]:
    """Return, shuffled, the folders in ``folder`` whose names we give: else the first always lose most."""
    with suppress(OSError), os.scandir(folder) as entries:
        found = [
            entry.path
            for entry in entries
            if _FOLDER_NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        ]
        random.shuffle(found)
        return found
    return []


def _groups(part: str) -> Collection[_Group]:
    groups: dict[str, _Group] = {}
    with suppress(OSError), os.scandir(part) as entries:
        for entry in entries:
            name = _REPLY_NAME.fullmatch(entry.name)
            if name is None:
                continue
            with suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                group = groups.setdefault(name[1], _Group())
                if name[2]:
                    group.bodies.append((status.st_mtime, entry.path, status.st_size))
                else:
                    group.record = (entry.path, status.st_size)
                group.minute = max(group.minute, int(status.st_mtime // 60))
    return groups.values()


def _last_minute(used: Counter[int], excess: int) -> tuple[int, int]:
    """Return until which minute is to be removed what is ``excess``, and how many bytes of that minute."""
    for minute in sorted(used):
        if excess <= used[minute]:
            break
        excess -= used[minute]
    return minute, excess


def _remove(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)
