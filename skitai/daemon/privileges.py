"""Becoming an ordinary user, once root has opened what only root can."""

from __future__ import annotations

import errno
import grp
import os
import pwd
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import attrs

import skitai
from skitai.processes.family import keeping_end_with_parent


@attrs.frozen
class Identity:
    """Who a server runs as: the ids, the name, and the home folder."""

    uid: int
    gid: int
    name: str
    home: str


def identity_of(user: str | None, group: str | None) -> Identity | None:
    """Return who ``user`` and ``group`` are; None if that is who runs this process already.

    Without ``user``, the user stays; without ``group``, it is the one of the user. Raises ValueError with the
    problem for who is not there, and if this process may not become somebody else.
    """
    try:
        entry = pwd.getpwuid(os.geteuid()) if user is None else pwd.getpwnam(user)
    except KeyError:
        raise ValueError(f"there is no user {user}" if user else "the user has no name here") from None
    try:
        gid = entry.pw_gid if group is None else grp.getgrnam(group).gr_gid
    except KeyError:
        raise ValueError(f"there is no group {group}") from None
    if (entry.pw_uid, gid) == (os.geteuid(), os.getegid()):
        return None
    if os.geteuid() != 0:
        raise ValueError("only root can become another user or group: leave it out")
    return Identity(entry.pw_uid, gid, entry.pw_name, entry.pw_dir)


def become(identity: Identity, logs: Iterable[Path]) -> None:
    """Become ``identity`` for good, with all groups of the user.

    ``logs`` are files that are made for it if they are missing.
    Called by root, before there are threads. Raises OSError.
    """
    for log in logs:
        with suppress(FileExistsError):
            os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))
            os.chown(log, identity.uid, identity.gid)
    with keeping_end_with_parent():
        os.initgroups(identity.name, identity.gid)
        os.setgid(identity.gid)
        os.setuid(identity.uid)
    os.environ.update(HOME=identity.home, USER=identity.name, LOGNAME=identity.name)


def check_code(files: Iterable[str] = (str(os.__file__), str(skitai.__file__))) -> None:
    """Raise PermissionError if this process may not read ``files``, by default of Python and of Skitai.

    Else some import would fail later, whenever it comes.
    """
    for file in files:
        if not os.access(file, os.R_OK):
            raise PermissionError(errno.EACCES, f"it may not read {file}, which Python needs")
