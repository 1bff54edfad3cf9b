"""Replies on disk, in a folder that all workers share and that survives a restart.

``FOLDER/ab/abcd...`` is the record of a reply, with its body if that is short; ``FOLDER/ab/abcd....N`` is a
long body. Both are written under another name, and become visible whole.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from twisted.logger import Logger

from skitai.loop.native import start_thread
from skitai.services.proxy.cache.claim import Claim
from skitai.services.proxy.cache.entry import Entry, selecting_values
from skitai.services.proxy.cache.memory import Key
from skitai.services.proxy.cache.records import BrokenRecordError, Marker, Record, name_of
from skitai.services.proxy.cache.sweeping import TEMPORARY, sweep

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorFromThreads

_log = Logger()
#: A use is noted, by the time of change of the record, if the last one was so many seconds before.
_NOTED_AFTER = 60.0
#: The folder is swept after so many seconds, or when this share of it was written, if anything was.
_SWEEP_SECONDS, _SWEEP_SHARE = 300.0, 16
#: For so many seconds, what a sweep of another process has found is good enough.
_SHARED_SECONDS = 60.0
#: What the system says where the disk, or the user's share of it, is full.
_FULL = (errno.ENOSPC, errno.EDQUOT)
#: Seconds between two lines of the log about a disk that takes nothing.
_TOLD_SECONDS = 60.0


class Spool:
    """A long body on its way to the disk. Raises OSError where the disk takes nothing."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{secrets.token_hex(8)}{TEMPORARY}"
        self._file = FileIO(self.path, "xb")
        os.fchmod(self._file.fileno(), 0o600)

    def write(self, data: bytes) -> None:
        """Append a piece."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def close(self) -> None:
        """Close the file, which stays."""
        self._file.close()

    def drop(self) -> None:
        """Close and remove the file."""
        self.close()
        with suppress(OSError):
            self.path.unlink()


class DiskStore:
    """Keeps replies in ``folder``, about ``bytes_max`` bytes of them.

    ``wall_clock`` gives the seconds since the epoch.
    All methods are called in the reactor thread. None raises for what stands on the disk, or because the disk
    is full: then nothing is kept, and the log says so.
    """

    def __init__(
        self,
        folder: Path,
        bytes_max: int,
        wall_clock: Callable[[], float],
        reactor: IReactorFromThreads,
    ) -> None:
        self.folder = folder
        self.bytes_max = bytes_max
        #: Bytes that are there, as far as this worker knows; None before the first sweep.
        self.bytes: int | None = None
        self._wall_clock = wall_clock
        self._reactor = reactor
        self._written = 0
        self._swept = self._told = 0.0
        self._sweeping = False
        self._claim: Claim | None = None

    def start(self, main_pid: int) -> None:
        """Make the folder and look what is there, as a process of the server ``main_pid``.

        Raises OSError if that cannot be, and InUseError if another server has the folder.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._claim = Claim(self.folder, main_pid)
        self._sweep(shared=True)

    def release(self) -> None:
        """Let another server have the folder; what is under way is still stored."""
        if self._claim is not None:
            self._claim.release()

    # -- reading -------------------------------------------------------------------------------------------

    def get(self, key: Key, request: Any) -> Entry | None:
        """Return the reply for ``request``, whose body may be an open file."""
        record = self._read(name_of(key))
        if record is not None and record.marker is not None:
            marker = record.marker
            record = self._read(_variant_name(key, marker, selecting_values(marker.vary, request)))
        if record is None or record.key != key or record.entry is None:
            return None
        entry = record.entry
        if entry.stored_as:
            entry.file = self._open_body(entry)
            if entry.file is None:
                return None
        return entry

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / name

    def _read(self, name: str) -> Record | None:
        path = self._path(name)
        try:
            with open(path, "rb", buffering=0) as file:
                status = os.fstat(file.fileno())
                data = file.read(status.st_size)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.failed("read", error)
            return None
        try:
            record = Record.decode(data or b"")
        except BrokenRecordError as error:
            _log.warn("a reply in the cache is dropped, {path}: {error}", path=str(path), error=error)
            with suppress(OSError):
                path.unlink()
            return None
        now = self._wall_clock()
        if now - status.st_mtime > _NOTED_AFTER:
            with suppress(OSError):
                os.utime(path, (now, now))
        return record

    def _open_body(self, entry: Entry) -> FileIO | None:
        try:
            file = FileIO(self._path(entry.stored_as), "rb")
        except OSError:
            return None
        if os.fstat(file.fileno()).st_size != entry.length:
            file.close()
            return None
        return file

    # -- writing -------------------------------------------------------------------------------------------

    def spool(self) -> Spool | None:
        """Return what takes a long body, or None if the disk takes nothing."""
        try:
            return Spool(self.folder)
        except OSError as error:
            self.failed("write", error)
            return None

    def put(self, key: Key, entry: Entry, spool: Spool | None = None) -> None:
        """Store a reply: with its body in memory, in ``spool``, or where it was ``stored_as`` before.

        Where that cannot be, what was stored of the target is forgotten: it is older.
        """
        size = entry.size + (entry.length if spool is not None else 0)
        if (self.bytes or 0) + size > self.bytes_max + self.bytes_max // _SWEEP_SHARE:
            self._refuse(key, spool)
            if size <= self.bytes_max:
                self._sweep()
            return
        try:
            self._put(key, entry, spool)
        except OSError as error:
            self.failed("write", error)
            self._refuse(key, spool)
            return
        self._written += size
        if self.bytes is not None:
            self.bytes += size
        if self._written > self.bytes_max // _SWEEP_SHARE:
            self._sweep()
        elif self._wall_clock() - self._swept > _SWEEP_SECONDS:
            self._sweep(shared=True)

    def _refuse(self, key: Key, spool: Spool | None) -> None:
        self.drop(key)
        if spool is not None:
            spool.drop()

    def _put(self, key: Key, entry: Entry, spool: Spool | None) -> None:
        name = name_of(key)
        if entry.vary:
            before = self._read(name)
            marker = None if before is None else before.marker
            if marker is None or marker.vary != entry.vary:
                marker = Marker(entry.vary, secrets.token_bytes(8))
                self._write(name, Record(key, marker).encode())
            name = _variant_name(key, marker, entry.selected)
        if spool is not None:
            spool.close()
            entry = attrs.evolve(entry, stored_as=f"{name}.{secrets.token_hex(4)}")
            self._replace(spool.path, entry.stored_as)
        self._write(name, Record(key, entry=entry).encode())

    def _write(self, name: str, data: bytes) -> None:
        spool = Spool(self.folder)
        try:
            spool.write(data)
            spool.close()
            self._replace(spool.path, name)
        except OSError:
            spool.drop()
            raise

    def _replace(self, path: Path, name: str) -> None:
        final = self._path(name)
        try:
            path.replace(final)
        except FileNotFoundError:
            final.parent.mkdir(mode=0o700, exist_ok=True)
            path.replace(final)

    def drop(self, key: Key) -> None:
        """Forget all replies of a target; their bodies are removed by the next sweep."""
        with suppress(OSError):
            self._path(name_of(key)).unlink()

    # -- the limit -----------------------------------------------------------------------------------------

    def _sweep(self, bytes_max: int | None = None, *, shared: bool = False) -> None:
        """Remove what is above ``bytes_max``, or that of the store, in a thread of its own.

        ``shared``: unless another process of the server has just done it.
        """
        if self._sweeping:
            return
        self._sweeping = True
        self._swept, self._written = self._wall_clock(), 0
        limit = self.bytes_max if bytes_max is None else bytes_max
        start_thread(partial(self._sweep_in_thread, limit, shared), "skitai-cache-sweep")

    def _sweep_in_thread(self, bytes_max: int, shared: bool) -> None:
        claim = self._claim
        assert claim is not None
        with claim.sweeping():
            now = self._wall_clock()
            found = claim.told(now - _SHARED_SECONDS, now, bytes_max) if shared else None
            if found is None:
                found = sweep(self.folder, bytes_max, now)
                claim.tell(self._wall_clock(), bytes_max, found)
        self._reactor.callFromThread(self._note_sweep, found)

    def _note_sweep(self, found: int) -> None:
        self._sweeping = False
        self.bytes = found + self._written

    def failed(self, what: str, error: OSError) -> None:
        """Note that the folder cannot be read or written; ``what`` is one of these words.

        Once a minute that is logged, and if the disk is full, room is made.
        """
        now = self._wall_clock()
        if abs(now - self._told) > _TOLD_SECONDS:
            self._told = now
            _log.warn("the cache cannot {what} {folder}: {error}", what=what, folder=self.folder, error=error)
            if self.bytes and error.errno in _FULL:
                self._sweep(min(self.bytes, self.bytes_max) * (_SWEEP_SHARE - 1) // _SWEEP_SHARE)


def _variant_name(key: Key, marker: Marker, selected: tuple[bytes, ...]) -> str:
    return name_of(key, marker.generation, *marker.vary, b"", *selected)
