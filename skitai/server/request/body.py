"""A request's body while it arrives: a small one in memory, a large one in a temporary file."""

from __future__ import annotations

import io
import tempfile
from contextlib import suppress
from typing import IO

from skitai.server.request.storage import Storage

#: Bytes of one body that stay in memory.
MEMORY_MAX = 512 * 1024


def no_temporary_folder() -> str:
    """Return a sentence if there is no folder for temporary files; nothing if there is one.

    It is looked for now: later the search may fail for want of a descriptor, and would blame the folders.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        return f"bodies and responses beyond {MEMORY_MAX >> 10} KB are refused: {error.strerror}"
    return ""


class BodySpool:
    """Collects a body. All methods are called in the reactor thread.

    ``storage`` counts the bytes of all bodies. After ``close`` it no longer counts this one, even if the app
    still has the file open.
    """

    __slots__ = ("_dropped", "_file", "_in_memory", "_kept", "_size_max", "_storage", "received", "taken")

    def __init__(self, storage: Storage) -> None:
        #: Bytes received so far.
        self.received = 0
        self._storage = storage
        self._kept = 0
        self._size_max: int | None = None
        # Not a list of pieces: if a client sends single bytes, 20 KB would take a megabyte of memory.
        self._file: IO[bytes] = io.BytesIO()
        self._in_memory = True
        self._dropped = False
        #: Whether ``open`` was called.
        self.taken = False

    def limit(self, size_max: int) -> bool:
        """Accept at most ``size_max`` bytes in all. Return False if more have already arrived."""
        self._size_max = size_max
        return self.received <= size_max

    def append(self, data: bytes) -> bool:
        """Add ``data``. Return False if the body is now too long. Raises OSError if there is no room."""
        self.received += len(data)
        if self._dropped:
            return True
        if self._size_max is not None and self.received > self._size_max:
            return False
        self._storage.reserve(len(data))
        self._kept += len(data)
        if not self._in_memory:
            self._storage.move_to_disk(len(data))
        elif self.received > MEMORY_MAX or self._storage.memory_is_full:
            self._move_to_disk()
        self._file.write(data)
        return True

    def _move_to_disk(self) -> None:
        memory = self._file
        self._file = tempfile.TemporaryFile(prefix="skitai-")  # noqa: SIM115 - closed in close() or by the reader
        self._in_memory = False
        self._storage.move_to_disk(self._kept)
        memory.seek(0)
        self._file.write(memory.read())

    def finish(self) -> None:
        """Write out what is buffered: the body is complete. Raises OSError if the disk is full."""
        if not self._dropped:
            self._file.flush()

    def open(self) -> IO[bytes]:
        """Return the body as a file, at its start. The caller closes it."""
        self.taken = True
        self._file.seek(0)
        return self._file

    def drop(self) -> None:
        """Discard what was received, and whatever still arrives."""
        self._dropped = True
        self.close()

    def close(self) -> None:
        """Discard what was received, unless it was opened."""
        kept, self._kept = self._kept, 0
        self._storage.release(*((kept, 0) if self._in_memory else (0, kept)))
        if not self.taken:
            with suppress(OSError):  # closing writes out the buffer, and the disk may be full
                self._file.close()
