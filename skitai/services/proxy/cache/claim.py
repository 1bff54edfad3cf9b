"""A folder of a cache belongs to one server: to its workers, and to those that replace them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: The file in the folder that says whose it is, as long as somebody has locked its first byte; the second one
#: is locked by who sweeps.
NAME = "server.skitai"
_OWNER, _SWEEPER = 0, 1


class InUseError(Exception):
    """Another server has the folder."""


class Claim:
    """The ``folder`` as one of the processes of the server ``main_pid`` has it, until ``release``.

    The locks are those of fcntl(2): they end with the process, and children that it forks do not have them.
    Raises InUseError, and OSError where the file cannot be written.
    """

    def __init__(self, folder: Path, main_pid: int) -> None:
        self._file = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._take(_name(main_pid))
        except BaseException:
            os.close(self._file)
            raise

    def _take(self, name: bytes) -> None:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _OWNER)
        except BlockingIOError:
            fcntl.lockf(self._file, fcntl.LOCK_SH, 1, _OWNER)  # who has it alone is about to write the name
            found = os.pread(self._file, 1000, 0)
            if found != name:
                _, _, owner = found.decode("utf-8", "replace").partition(" ")
                raise InUseError(f"another server has it ({owner})") from None
        else:
            os.pwrite(self._file, name, 0)  # not emptied first: a full disk would not take it again
            os.ftruncate(self._file, len(name))
            fcntl.lockf(self._file, fcntl.LOCK_SH, 1, _OWNER)

    @contextmanager
    def sweeping(self) -> Iterator[None]:
        """Wait until no other process of the server sweeps, and have them wait. Called in any thread."""
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, _SWEEPER)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _SWEEPER)

    def release(self) -> None:
        """Let another server have the folder when the others of this one have released it, too."""
        with suppress(OSError):
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _OWNER)


def _name(main_pid: int) -> bytes:
    """Return what no other server has: two containers may give the same id, also on two machines."""
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        space = 0
    return f"{space} process {main_pid} on {os.uname().nodename}".encode()
