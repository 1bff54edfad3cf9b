"""The agents that are at work on a spool, and what each of them counts.

Each has a file in ``agents/``, which it keeps locked. So who looks knows at once of one that was killed, and
reads a few bytes instead of a folder with thousands of files.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import attrs

from skitai.mail.files import create, make_folder, names_in, open_plain, owner_to_be

_FOLDER = "agents"
_SUFFIX = ".json"
#: Every text has this length, so that one that is read while it is written is no mixture of two lengths.
_BYTES = 256


@attrs.frozen
class Figures:
    """What all agents of a spool say of it.

    ``waiting`` mails are known to them, ``due`` of which are to be sent now. ``sent``, ``refused`` and
    ``deferred`` count recipients, ``undelivered`` the mails that were given up, since the agents have begun.
    """

    agents: int = 0
    waiting: int = 0
    due: int = 0
    sent: int = 0
    refused: int = 0
    deferred: int = 0
    undelivered: int = 0


_COUNTS = ("sent", "refused", "deferred", "undelivered")
_GAUGES = ("waiting", "due")


class Presence:
    """The file of one agent. All methods wait for the disk, and raise OSError."""

    def __init__(self, spool: Path) -> None:
        folder = spool / _FOLDER
        make_folder(folder)
        _remove_dead(folder)
        name = secrets.token_hex(8)
        hidden, self._path = folder / f".{name}", folder / f"{name}{_SUFFIX}"
        self._descriptor = create(hidden, b"", owner_to_be(folder))
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        self._said: Mapping[str, int] | None = None
        self.say({})
        hidden.rename(self._path)

    def say(self, figures: Mapping[str, int]) -> None:
        """Have others read ``figures``, by the names that ``Figures`` has."""
        if figures != self._said:
            self._said = dict(figures)
            os.pwrite(self._descriptor, json.dumps(figures).encode().ljust(_BYTES), 0)

    def end(self) -> None:
        """The agent is at work no longer."""
        with suppress(FileNotFoundError):
            self._path.unlink()
        os.close(self._descriptor)


def look(spool: Path) -> Figures:
    """Return what the agents of the spool in that folder say. Raises OSError."""
    said = list(_living(spool / _FOLDER))
    counts = {name: sum(figures.get(name, 0) for figures in said) for name in _COUNTS}
    # All agents know of the same mails.
    gauges = {name: max((figures.get(name, 0) for figures in said), default=0) for name in _GAUGES}
    return Figures(len(said), **counts, **gauges)


def _living(folder: Path) -> Iterator[Mapping[str, int]]:
    for path in _files(folder):
        with suppress(FileNotFoundError):
            descriptor = open_plain(path, os.O_RDONLY)
            try:
                if not _is_free(descriptor):
                    yield _figures_in(os.pread(descriptor, _BYTES, 0))
            finally:
                os.close(descriptor)


def _figures_in(data: bytes) -> Mapping[str, int]:
    try:
        figures = json.loads(data or b"{}")
    except ValueError:  # it was being written
        return {}
    is_known = isinstance(figures, dict) and all(isinstance(value, int) for value in figures.values())
    return figures if is_known else {}


def _is_free(descriptor: int) -> bool:
    """Whether nobody has the file; those who look do not disturb each other."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _files(folder: Path) -> list[Path]:
    return [folder / name for name in names_in(folder) if name.endswith(_SUFFIX)]


def _remove_dead(folder: Path) -> None:
    """Remove the files of agents that were killed."""
    for path in _files(folder):
        with suppress(OSError):
            descriptor = open_plain(path, os.O_RDONLY)
            try:
                if _is_free(descriptor):
                    path.unlink()
            finally:
                os.close(descriptor)
