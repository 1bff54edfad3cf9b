"""How much all connections together may keep of what is on its way: bodies that arrive, answers that wait."""

from __future__ import annotations

import errno

#: Bytes of all connections that may lie in memory; what comes after them goes to disk, even if it is small.
MEMORY_MAX = 256 * 1024 * 1024


class StorageFull(OSError):  # noqa: N818 - it is what a full disk raises
    """No more may be kept, as if the disk were full."""

    def __init__(self, size_max: int) -> None:
        super().__init__(errno.ENOSPC, f"all that wait may take {size_max} bytes together (buffers_max)")


class Storage:
    """Counts what is kept in memory and on disk. All methods are called in the reactor thread.

    ``size_max`` are the bytes that may be kept in all, ``memory_max`` those of them in memory.
    """

    __slots__ = ("_memory_max", "_size_max", "in_memory", "on_disk")

    def __init__(self, size_max: int, memory_max: int = MEMORY_MAX) -> None:
        self._size_max = size_max
        self._memory_max = memory_max
        self.in_memory = self.on_disk = 0

    @property
    def memory_is_full(self) -> bool:
        """Whether more should go to disk."""
        return self.in_memory > self._memory_max

    def reserve(self, size: int) -> None:
        """Have ``size`` more bytes kept in memory. Raises StorageFull."""
        if self.in_memory + self.on_disk + size > self._size_max:
            raise StorageFull(self._size_max)
        self.in_memory += size

    def move_to_disk(self, size: int) -> None:
        """Note that ``size`` bytes that were reserved lie on disk."""
        self.in_memory -= size
        self.on_disk += size

    def release(self, in_memory: int, on_disk: int) -> None:
        """Note that so many bytes are no longer kept."""
        self.in_memory -= in_memory
        self.on_disk -= on_disk
