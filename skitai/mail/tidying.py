"""Removes mails for good, and what crashes leave."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from skitai.mail.files import ENVELOPE, MESSAGE, REASON, STATE, lock, names_in, remove, sync_folder

_SUFFIXES = (ENVELOPE, MESSAGE, STATE, REASON)


def drop(mail_id: str, folder: Path) -> bool:
    """Remove a mail; False if another has it, or it is gone."""
    try:
        descriptor = lock(folder / f"{mail_id}{ENVELOPE}")
        if descriptor is None:
            return False
    except OSError:  # no plain file, or not ours: nobody can have it
        descriptor = None
    try:
        for suffix in _SUFFIXES:  # the envelope first
            remove(folder / f"{mail_id}{suffix}")
            if suffix == ENVELOPE:
                sync_folder(folder)
    finally:
        if descriptor is not None:
            os.close(descriptor)
    return True


def purge(folder: Path, before: float) -> int:
    """Remove the mails that came into ``folder`` before that time; return how many."""
    dropped = 0
    for name in names_in(folder):
        stem, suffix = os.path.splitext(name)
        if suffix == ENVELOPE:
            with suppress(FileNotFoundError):
                if _came(folder, stem) <= before:
                    dropped += drop(stem, folder)
    return dropped


def _came(folder: Path, mail_id: str) -> float:
    with suppress(FileNotFoundError):
        return (folder / f"{mail_id}{REASON}").lstat().st_mtime
    return (folder / f"{mail_id}{ENVELOPE}").lstat().st_ctime


def clean(folders: Iterable[Path], before: float) -> int:
    """Remove what lies without an envelope in ``folders`` since before that time; return how many files."""
    return sum(_clean(folder, before) for folder in folders)


def _clean(folder: Path, before: float) -> int:
    names = names_in(folder)
    # What is being written has no envelope yet that counts.
    whole = set() if folder.name == "tmp" else {name for name in names if name.endswith(ENVELOPE)}
    removed = 0
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix not in _SUFFIXES or f"{stem}{ENVELOPE}" in whole:
            continue
        with suppress(FileNotFoundError):
            # A rename and a link set the time of change: a mail that has just come in whole is young.
            if (folder / name).lstat().st_ctime <= before:
                (folder / name).unlink()
                removed += 1
    return removed
