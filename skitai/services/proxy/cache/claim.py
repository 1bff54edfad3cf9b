"""A folder of a cache belongs to one server: to its workers, and to those that replace them."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

#: The file in the folder whose bytes are locked, also those that it does not have: one by who claims, one by
#: who sweeps, and of the others each server has one for its processes.
NAME = "server.skitai"
_CLAIMING, _SWEEPING, _SERVERS = 0, 1, 2
#: What stands in the file if it can be written: who has the folder, and from here on what a sweep has found.
_FOUND_AT = 512
_FOUND = struct.Struct("<dQQ")


class InUseError(Exception):
    """Another server has the folder."""


class Claim:
    """The ``folder`` as one of the processes of the server ``main_pid`` has it, until ``release``.

    The locks are those of fcntl(2): they end with the process, and children that it forks do not have them.
    Raises InUseError, and OSError where the file cannot be made.
    """

    def __init__(self, folder: Path, main_pid: int) -> None:
        name = _name(main_pid)
        self._place = _SERVERS + 1 + int.from_bytes(sha256(name).digest()[:7])
        self._file = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with self._locked(_CLAIMING):
                self._take(name)
        except BaseException:
            os.close(self._file)
            raise

    def _take(self, name: bytes) -> None:
        others = (self._place - _SERVERS, _SERVERS), (0, self._place + 1)  # length and start; 0: to the end
        try:
            for each in others:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, *each)
        except BlockingIOError:
            found = os.pread(self._file, _FOUND_AT, 0).rstrip(b"\0")
            _, _, owner = found.decode("utf-8", "replace").partition(" ")
            raise InUseError(f"another server has it ({owner or 'its name is not known'})") from None
        finally:
            # Before the next one claims it, to which this would be another server that has it.
            for each in others:
                fcntl.lockf(self._file, fcntl.LOCK_UN, *each)
        fcntl.lockf(self._file, fcntl.LOCK_SH, 1, self._place)
        with suppress(OSError):  # the disk is full
            os.pwrite(self._file, name.ljust(_FOUND_AT, b"\0"), 0)

    @contextmanager
    def _locked(self, byte: int) -> Iterator[None]:
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, byte)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, byte)

    @contextmanager
    def sweeping(self) -> Iterator[None]:
        """Wait until no other process of the server sweeps, and have them wait. Called in any thread."""
        with self._locked(_SWEEPING):
            yield

    def tell(self, ended: float, bytes_max: int, found: int) -> None:
        """Let the others know what a sweep with the limit ``bytes_max`` has left. Called while sweeping."""
        with suppress(OSError):
            os.pwrite(self._file, _FOUND.pack(ended, bytes_max, found), _FOUND_AT)

    def told(self, since: float, now: float, bytes_max: int) -> int | None:
        """Return what a sweep with this limit has left that ended meanwhile; None: nobody has told of one."""
        data = b""
        with suppress(OSError):
            data = os.pread(self._file, _FOUND.size, _FOUND_AT)
        if len(data) < _FOUND.size:
            return None
        ended, limit, found = _FOUND.unpack(data)
        return found if since <= ended <= now and limit == bytes_max else None

    def release(self) -> None:
        """Let another server have the folder when the others of this one have released it, too."""
        with suppress(OSError):
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._place)


def _name(main_pid: int) -> bytes:
    """Return what no other server has: two containers may give the same id, also on two machines."""
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        space = 0
    return f"{space} process {main_pid} on {os.uname().nodename}".encode()
