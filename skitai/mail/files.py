"""Files of the spool: written so that they last, for their owner alone, locked, moved together.

What is raised is OSError, with the path.
"""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
import stat
from contextlib import suppress
from pathlib import Path

FILE_MODE, FOLDER_MODE = 0o600, 0o700
#: The files of a mail. The envelope stands for the mail: without one, the others are leftovers.
MESSAGE, STATE, ENVELOPE, REASON = ".eml", ".state", ".json", ".reason"
_ROOT = 0
_MOST_READ = 1 << 20

StrPath = str | os.PathLike[str]
#: A user and a group.
Owner = tuple[int, int]


def make_folder(folder: Path) -> None:
    """Make ``folder`` for its owner alone, if it is not there; its parents are made as usual."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(FOLDER_MODE)
    except FileExistsError:
        if not folder.is_dir():
            raise
        return
    if stat.S_IMODE(folder.stat().st_mode) != FOLDER_MODE:  # a strange umask
        folder.chmod(FOLDER_MODE)
    if owner := owner_to_be(folder.parent):
        os.chown(folder, *owner)
    sync_folder(folder.parent)


def owner_to_be(folder: StrPath) -> Owner | None:
    """Return whom a new file in ``folder`` has to be given to: to whom that is. Only root may, and should."""
    if os.geteuid() != _ROOT:
        return None
    found = os.stat(folder)
    return None if found.st_uid == _ROOT else (found.st_uid, found.st_gid)


def name_path(error: OSError, path: StrPath) -> None:
    """Add ``path`` to the error of a call that takes a descriptor."""
    if error.filename is None:
        error.filename = str(path)


def create(path: StrPath, data: bytes, owner: Owner | None) -> int:
    """Make a new file with ``data``; return its descriptor. Nothing is synced yet.

    ``owner`` is what ``owner_to_be`` says of its folder. A file that cannot be written whole is gone when
    this raises.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != FILE_MODE:  # a strange umask
            os.fchmod(descriptor, FILE_MODE)
        if owner is not None:
            os.fchown(descriptor, *owner)
        write_all(descriptor, data)
    except BaseException as error:
        os.close(descriptor)
        remove(path)
        if isinstance(error, OSError):
            name_path(error, path)
        raise
    return descriptor


def write_all(descriptor: int, data: bytes) -> None:
    """Write ``data`` to the end: a call may take only a part of it."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def write_synced(path: Path, data: bytes) -> None:
    """Make a new file, and sync it."""
    descriptor = create(path, data, owner_to_be(path.parent))
    try:
        sync_file(descriptor, path)
    finally:
        os.close(descriptor)


def begin_sync(descriptor: int) -> None:
    """Have the disk begin with what was written to a file; ``sync_file`` is to follow.

    Who syncs several files begins with each first: then the disk has all of them before it is told to flush
    for one, and it is at work while the next is made.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)  # Linux begins to write here


def sync_file(descriptor: int, path: StrPath) -> None:
    """Return when what was written to a file is durable; ``path`` is for errors."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        name_path(error, path)
        raise


def read(path: StrPath) -> bytes:
    """Return what a plain file holds; anything else, such as a link or a pipe, is an error at once."""
    descriptor = open_plain(path, os.O_RDONLY)
    try:
        return read_opened(descriptor)
    except OSError as error:
        name_path(error, path)
        raise
    finally:
        os.close(descriptor)


def read_opened(descriptor: int) -> bytes:
    """Return what an open file holds from its beginning on."""
    size = os.fstat(descriptor).st_size
    data = os.pread(descriptor, size + 1, 0)
    while len(data) != size and (piece := os.pread(descriptor, _MOST_READ, len(data))):
        data += piece  # the file has grown, or was too long for one call
    return data


def open_plain(path: StrPath, flags: int) -> int:
    """Open a plain file; anything else is an error at once."""
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is not a plain file", str(path))
    return descriptor


def check_message(path: StrPath) -> None:
    """Raise ValueError for a message that says nothing, OSError for one that cannot be read."""
    descriptor = open_plain(path, os.O_RDONLY)
    try:
        if not os.fstat(descriptor).st_size:
            raise ValueError("the message is empty")
    finally:
        os.close(descriptor)


def sync_folder(folder: StrPath) -> None:
    """Return when the names in ``folder`` are as durable as its files."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync_file(descriptor, folder)
    finally:
        os.close(descriptor)


def names_in(folder: Path) -> list[str]:
    """Return the names of what is in ``folder``, which need not be there."""
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def remove(path: StrPath) -> None:
    """Remove a file that may be gone already."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def lock(path: StrPath) -> int | None:
    """Return a descriptor of the file ``path`` that holds its lock, or None: another has it, or it is gone.

    The lock is that of flock(2): it goes with the descriptor, so it ends with the process, too.
    """
    try:
        descriptor = open_plain(path, os.O_RDWR)  # NFS gives no lock to those who only read
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between the opening and the lock, the mail may have been done with, or moved.
        if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def move(mail_id: str, source: Path, target: Path, reason: str | None = None) -> None:
    """Move the mail ``mail_id`` from the folder ``source`` to ``target``, where it has ``reason`` beside it.

    The renaming of the envelope is what moves it. A crash before leaves it where it was, and a crash after
    leaves but a second name of its files behind. Who calls holds the lock of the envelope, if there is any.
    """
    for suffix in (MESSAGE, STATE):
        _link(source / f"{mail_id}{suffix}", target / f"{mail_id}{suffix}")
    if reason is not None:
        remove(target / f"{mail_id}{REASON}")
        with suppress(FileExistsError):
            write_synced(target / f"{mail_id}{REASON}", reason.encode("utf-8", "backslashreplace") + b"\n")
    sync_folder(target)
    try:
        (source / f"{mail_id}{ENVELOPE}").rename(target / f"{mail_id}{ENVELOPE}")
    except FileNotFoundError:
        if not os.path.lexists(target / f"{mail_id}{ENVELOPE}"):  # else a call before has come this far
            raise
    sync_folder(target)
    for suffix in (MESSAGE, STATE, REASON):
        remove(source / f"{mail_id}{suffix}")


def _link(source: Path, target: Path) -> None:
    """Give a file, which may be missing, a second name. A leftover that has this name goes."""
    with suppress(FileNotFoundError):
        try:
            os.link(source, target, follow_symlinks=False)
        except FileExistsError:
            # What cannot be locked may be moved by two: the same file stays.
            if not os.path.samestat(source.lstat(), target.lstat()):
                remove(target)
                os.link(source, target, follow_symlinks=False)
        except PermissionError:  # not ours, no plain file, or a file system without links
            source.rename(target)


def explained(error: OSError, folder: Path) -> OSError:
    """Return ``error``, or one that says whose spool it is where that is why."""
    while not os.path.exists(folder):
        folder = folder.parent
    owner, user = folder.stat().st_uid, os.geteuid()
    if owner == user:
        return error
    message = f"belongs to {_user(owner)}, not to {_user(user)}: run as the former, or name another folder"
    return PermissionError(error.errno, message, str(folder))


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
