"""What a client has not yet read of its responses: in memory, and then in a temporary file."""

from __future__ import annotations

import tempfile
from collections import deque
from contextlib import suppress
from typing import IO

from skitai.server.request.storage import Storage

#: Bytes of one connection that may wait in memory; further ones go to a temporary file.
MEMORY_MAX = 1 << 20


class Backlog:
    """A queue of bytes. At most ``memory_max`` of them are in memory, and the rest in a temporary file.

    ``storage`` counts the bytes of all connections. All methods are called in the reactor thread.
    """

    __slots__ = ("_chunks", "_file", "_file_read", "_file_written", "_in_memory", "_memory_max", "_storage")

    def __init__(self, storage: Storage, memory_max: int = MEMORY_MAX) -> None:
        self._storage = storage
        self._chunks: deque[memoryview] = deque()
        self._in_memory = 0
        self._memory_max = memory_max
        self._file: IO[bytes] | None = None
        self._file_read = self._file_written = 0

    def __len__(self) -> int:
        return self._in_memory + self._file_written - self._file_read

    def append(self, data: bytes | memoryview) -> None:
        """Add ``data`` at the end. Raises OSError if there is no room for it."""
        if not data:
            return
        self._storage.reserve(len(data))
        in_file = self._file_written > self._file_read
        fits = self._in_memory + len(data) <= self._memory_max and not self._storage.memory_is_full
        if fits and not in_file:
            self._chunks.append(memoryview(data))
            self._in_memory += len(data)
            return
        try:
            self._append_to_file(data)
        except OSError:
            self._storage.release(len(data), 0)
            raise
        self._storage.move_to_disk(len(data))

    def _append_to_file(self, data: bytes | memoryview) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="skitai-")  # noqa: SIM115 - closed in close()
        self._file.seek(self._file_written)
        self._file.write(data)
        self._file.flush()  # written later, it could find a full disk where nobody handles that
        self._file_written += len(data)

    def take(self, size: int) -> bytes:
        """Remove and return at most ``size`` bytes from the front; none if nothing waits."""
        if self._chunks:
            chunk = self._chunks.popleft()
            if len(chunk) > size:
                self._chunks.appendleft(chunk[size:])
                chunk = chunk[:size]
            self._in_memory -= len(chunk)
            self._storage.release(len(chunk), 0)
            return bytes(chunk)
        if self._file is None or self._file_read == self._file_written:
            return b""
        self._file.seek(self._file_read)
        data = self._file.read(min(size, self._file_written - self._file_read))
        self._file_read += len(data)
        self._storage.release(0, len(data))
        if self._file_read == self._file_written:  # all is read: use the space again
            self._file_read = self._file_written = 0
            self._file.truncate(0)
        return data

    def close(self) -> None:
        """Discard everything, and delete the temporary file."""
        self._storage.release(self._in_memory, self._file_written - self._file_read)
        self._chunks.clear()
        self._in_memory = self._file_read = self._file_written = 0
        if self._file is not None:
            with suppress(OSError):  # closing writes out the buffer, and the disk may be full
                self._file.close()
            self._file = None
