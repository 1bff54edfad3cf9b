"""A request's body while it arrives: in memory while small, in a temporary file when not."""

from __future__ import annotations

import io
import tempfile
from typing import IO

#: Bytes of one body that stay in memory.
MEMORY_MAX = 512 * 1024


class Body:
    """Collects a body of at most ``size_max`` bytes. All methods are called in the reactor thread."""

    __slots__ = ("_chunks", "_file", "_size_max", "received")

    def __init__(self, size_max: int) -> None:
        self.received = 0
        self._size_max = size_max
        self._chunks: list[bytes] = []
        self._file: IO[bytes] | None = None

    def append(self, data: bytes) -> bool:
        """Add ``data``; return False when the body is now too long."""
        self.received += len(data)
        if self.received > self._size_max:
            return False
        if self._file is not None:
            self._file.write(data)
        else:
            self._chunks.append(data)
            if self.received > MEMORY_MAX:
                self._file = tempfile.TemporaryFile(prefix="skitai-")  # noqa: SIM115 - the reader closes it
                self._file.writelines(self._chunks)
                self._chunks.clear()
        return True

    def open(self) -> IO[bytes]:
        """Return the whole body as a file at its start; who asked for it closes it."""
        if self._file is None:
            return io.BytesIO(b"".join(self._chunks))
        file, self._file = self._file, None
        file.seek(0)
        return file

    def close(self) -> None:
        """Drop what was received."""
        self._chunks.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
