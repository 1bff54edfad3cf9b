"""Moves logs aside when their day or month is over: ``request.log`` becomes ``request-20261129.log``.

One process of a server does that: the supervisor, or the only process. A process with a log of its own, such
as skitaid or an agent, does it for that log. The others go on to write to the file under its new name until
they are told to open their logs anew (SIGUSR1), so no line is lost. A file that others have moved away, such
as logrotate, is noticed, and counts as rotated.

How a process uses it::

    rotation = Rotation([RotatedLog(path)], keep=100, reopen=stream.reopen)
    ...
    rotation.look()  # before the first line is written, and about once a second from then on
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from calendar import monthrange
from collections.abc import Callable, Iterable
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from time import time

import attrs
from twisted.logger import Logger

from skitai.formats.zone import local_time, midnight

_log = Logger()


class Period(StrEnum):
    """How long a log goes to one file."""

    DAY = "day"
    MONTH = "month"

    def bounds(self, moment: float) -> tuple[float, float]:
        """Return when the day or month of ``moment`` begins and ends, in local time, as seconds."""
        first = local_time(moment).date()
        if self is Period.MONTH:
            first = first.replace(day=1)
            last = first.replace(day=monthrange(first.year, first.month)[1])
        else:
            last = first
        return midnight(first), midnight(last + timedelta(days=1))


@attrs.frozen
class RotatedLog:
    """The log at ``path``, and how long it goes to one file."""

    path: Path
    period: Period = Period.DAY


@attrs.define
class _State:
    """A log, the file that it goes to (device and number) and any moment of the period of that file."""

    log: RotatedLog
    file: tuple[int, int] | None = None
    moment: float = 0.0


class Rotation:
    """Moves ``logs`` aside, and keeps the last ``keep`` files of each.

    ``reopen()`` has all who write go on in new files: it is called after logs were moved, by this object or
    by others. ``clock`` gives the seconds since the epoch. What cannot be moved is said in the log, and
    tried again the next day. Used in one thread.
    """

    def __init__(
        self,
        logs: Iterable[RotatedLog],
        *,
        keep: int,
        reopen: Callable[[], object],
        clock: Callable[[], float] = time,
    ) -> None:
        self._states = [_State(log) for log in logs]
        self._keep = keep
        self._reopen = reopen
        self._clock = clock
        self._day = (0.0, 0.0)

    def look(self) -> None:
        """Do what is due. It is cheap while nothing is: one stat(2) for each log."""
        now = self._clock()
        is_other_day = not self._day[0] <= now < self._day[1]
        if is_other_day:
            self._day = Period.DAY.bounds(now)
        were_moved = [self._look_at(state, now, may_move=is_other_day) for state in self._states]
        if any(were_moved):
            self._reopen()

    def _look_at(self, state: _State, now: float, *, may_move: bool) -> bool:
        """Return whether who writes to the log must open it anew."""
        was_moved = self._notice(state)
        if may_move and state.file is not None and state.moment < state.log.period.bounds(now)[0]:
            try:
                self._move(state)
            except BlockingIOError:
                self._day = (0.0, 0.0)  # another process is at it: look again
                return was_moved
            except OSError as error:
                path, reason = str(state.log.path), error.strerror
                _log.error("cannot rotate {path}, which goes on: {reason}", path=path, reason=reason)
                return was_moved
            return True
        return was_moved

    def _notice(self, state: _State) -> bool:
        """Take note of a file that is new; return whether it is in the place of another."""
        try:
            found = os.lstat(state.log.path)
        except OSError:
            # It was moved away, and whoever writes makes another; or there was never any.
            was_there, state.file = state.file is not None, None
            return was_there
        # What is no file, such as a pipe, and a link, such as /dev/stdout, is not ours to move.
        file = (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) and found.st_size else None
        if file == state.file:
            return False
        was_other, state.file, state.moment = state.file is not None, file, found.st_mtime
        return was_other

    def _move(self, state: _State) -> None:
        """Give the file its date, unless another process has done so meanwhile."""
        path = state.log.path
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = os.fstat(descriptor)
            if (ours.st_dev, ours.st_ino) == state.file and os.path.samestat(ours, os.lstat(path)):
                os.rename(path, _dated(path, state.log.period.bounds(state.moment)[1] - 1))
                _make_like(path, ours)
                self._drop_oldest(path)
        finally:
            os.close(descriptor)
        state.file = None

    def _drop_oldest(self, path: Path) -> None:
        name = re.compile(rf"{re.escape(path.stem)}-(\d{{8}})(?:\.(\d+))?{re.escape(path.suffix)}(?:\.\w+)?")
        found = [match for entry in os.listdir(path.parent) if (match := name.fullmatch(entry))]
        found.sort(key=lambda match: (match[1], int(match[2] or 0), match[0]))
        for match in found[: -self._keep]:
            os.unlink(path.parent / match[0])


def _dated(path: Path, moment: float) -> Path:
    """Return a name with a date that no file has."""
    date = f"{local_time(moment):%Y%m%d}"
    dated, number = path.with_name(f"{path.stem}-{date}{path.suffix}"), 1
    while os.path.lexists(dated):
        number += 1
        dated = path.with_name(f"{path.stem}-{date}.{number}{path.suffix}")
    return dated


def _make_like(path: Path, old: os.stat_result) -> None:
    """Make an empty file with the rights of the old one: others may write to it who cannot make any here."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:  # somebody was faster
        return
    try:
        if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(descriptor, old.st_uid, old.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
    except PermissionError:
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
    finally:
        os.close(descriptor)
