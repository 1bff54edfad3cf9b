"""A request's body while it arrives: in memory while small, in a temporary file when not."""

from __future__ import annotations

import io
import tempfile
from contextlib import suppress
from typing import IO

#: Bytes of one body that stay in memory.
MEMORY_MAX = 512 * 1024


class BodySpool:
    """Collects a body of at most ``size_max`` bytes. All methods are called in the reactor thread."""

    __slots__ = ("_file", "_in_memory", "_size_max", "received")

    def __init__(self, size_max: int) -> None:
        self.received = 0
        self._size_max = size_max
        # Not a list of the pieces: a client that sends a byte at a time would make a megabyte of each 20 KB.
        self._file: IO[bytes] = io.BytesIO()
        self._in_memory = True

    def append(self, data: bytes) -> bool:
        """Add ``data``; return False when the body is now too long. Raises OSError when the disk is full."""
        self.received += len(data)
        if self.received > self._size_max:
            return False
        if self._in_memory and self.received > MEMORY_MAX:
            self._move_to_disk()
        self._file.write(data)
        return True

    def _move_to_disk(self) -> None:
        memory = self._file
        self._file = tempfile.TemporaryFile(prefix="skitai-")  # noqa: SIM115 - closed in close() or by the reader
        self._in_memory = False
        memory.seek(0)
        self._file.write(memory.read())

    def finish(self) -> None:
        """Note that all was received. Raises OSError when the disk is full."""
        self._file.flush()

    def open(self) -> IO[bytes]:
        """Return the whole body as a file at its start; who asked for it closes it."""
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Drop what was received."""
        with suppress(OSError):  # a full disk has no room for what nobody wants
            self._file.close()
