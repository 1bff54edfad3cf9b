"""What is stored, in memory and on disk, and who is about to store more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from skitai.services.proxy.cache.disk import DiskStore, Spool
from skitai.services.proxy.cache.entry import Entry, selecting_values
from skitai.services.proxy.cache.memory import Key, MemoryStore
from skitai.services.proxy.cache.settings import Settings

if TYPE_CHECKING:
    from skitai.services.proxy.cache.visit import Visit

#: Where a reply was found, as clients read it.
IN_MEMORY, ON_DISK = "MEM_HIT", "HIT"


class Store:
    """The replies of all mounts of a worker. All methods are called in the reactor thread."""

    def __init__(self, settings: Settings, disk: DiskStore | None) -> None:
        self.settings = settings
        self.memory = MemoryStore(settings.memory_max)
        self.disk = disk
        #: A longer body is not collected in memory.
        self.short_max = min(settings.memory_object_max, settings.memory_max)
        #: Bytes in memory of replies that are not complete yet: as many as of those that are, at most.
        self.collected = 0
        #: Who is on the way to a member for a target: what it brings must not be older than a removal.
        self._under_way: dict[Key, set[Visit]] = {}

    def find(
        self, key: Key, way: str, request: Any, now: float, *, private: bool
    ) -> tuple[Entry | None, str]:
        """Return the reply of the mount ``way`` for ``request``, and where it was.

        ``private``: only one that is ``public``. A reply in memory that is stale may be on disk anew.
        """
        entry = next(
            (
                entry
                for entry in self.memory.get(key, ())
                if entry.way == way and entry.selected == selecting_values(entry.vary, request)
            ),
            None,
        )
        where = IN_MEMORY
        if self.disk is not None and (entry is None or entry.fresh_until <= now):
            found = self.disk.get(key, request)
            if found is not None and found.way == way and (entry is None or found.born > entry.born):
                entry, where = found, ON_DISK
                if found.body is not None:
                    self.memory.put(key, found)
            elif found is not None:
                found.close()
        elif entry is not None:
            self.memory.used(key)
        if entry is not None and private and not entry.public:
            entry.close()
            entry = None
        return entry, where

    def put(self, key: Key, entry: Entry, spool: Spool | None = None) -> None:
        """Store a reply whose body is in memory, in ``spool`` or already on disk."""
        if entry.body is None:
            self.memory.drop(key)  # it is older
        else:
            self.memory.put(key, entry)
        if self.disk is not None:
            self.disk.put(key, entry, spool)

    def drop(self, keys: Iterable[Key]) -> None:
        """Forget all replies of targets, also those that are under way."""
        for key in keys:
            self.memory.drop(key)
            if self.disk is not None:
                self.disk.drop(key)
            for visit in self._under_way.get(key, ()):
                visit.outdated = True

    def forget_memory(self) -> None:
        """Forget all that is in memory or under way: some of it may be outdated."""
        self.memory.clear()
        for visits in self._under_way.values():
            for visit in visits:
                visit.outdated = True

    def spool(self) -> Spool | None:
        """Return what takes a body that is too long for memory, or None if there is no place for it."""
        return None if self.disk is None else self.disk.spool()

    def tell_full(self, error: OSError) -> None:
        """Note that the disk takes no more."""
        if self.disk is not None:
            self.disk.failed("write", error)

    def begin(self, key: Key, visit: Visit) -> None:
        """Note that ``visit`` is under way."""
        self._under_way.setdefault(key, set()).add(visit)

    def end(self, key: Key, visit: Visit) -> None:
        """Undo ``begin``."""
        visits = self._under_way.get(key)
        if visits is not None:
            visits.discard(visit)
            if not visits:
                del self._under_way[key]
