"""The limit on what all connections buffer together: request bodies and unsent responses."""

from __future__ import annotations

import errno

#: Bytes that all connections together may keep in memory. After that even small pieces go to disk.
MEMORY_MAX = 256 * 1024 * 1024


class StorageFull(OSError):  # noqa: N818 - named for what it stands for, a full disk
    """The limit is reached. Handled like a full disk."""

    def __init__(self, size_max: int) -> None:
        super().__init__(errno.ENOSPC, f"buffers_max = {size_max} is reached by bodies and responses")


class Storage:
    """Counts the bytes that are kept in memory and on disk. All methods are called in the reactor thread.

    ``size_max`` bytes may be kept in all, and ``memory_max`` of them in memory.
    """

    __slots__ = ("_memory_max", "_size_max", "in_memory", "on_disk")

    def __init__(self, size_max: int, memory_max: int = MEMORY_MAX) -> None:
        self._size_max = size_max
        self._memory_max = memory_max
        self.in_memory = self.on_disk = 0

    @property
    def memory_is_full(self) -> bool:
        """Whether further bytes should go to disk."""
        return self.in_memory > self._memory_max

    def reserve(self, size: int) -> None:
        """Count ``size`` more bytes in memory. Raises StorageFull."""
        if self.in_memory + self.on_disk + size > self._size_max:
            raise StorageFull(self._size_max)
        self.in_memory += size

    def move_to_disk(self, size: int) -> None:
        """Count ``size`` of the bytes in memory as bytes on disk."""
        self.in_memory -= size
        self.on_disk += size

    def release(self, in_memory: int, on_disk: int) -> None:
        """Stop counting these numbers of bytes."""
        self.in_memory -= in_memory
        self.on_disk -= on_disk
