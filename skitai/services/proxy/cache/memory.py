"""Replies in the memory of a worker."""

from __future__ import annotations

from collections import OrderedDict

from skitai.services.proxy.cache.entry import Entry

#: What a reply is stored under: whether TLS, the host as it was sent, path and query.
Key = tuple[bool, bytes, bytes]

#: More replies of one target, by fields that Vary names, are not kept.
VARIANTS_MAX = 32


class MemoryStore:
    """Keeps replies of at most ``bytes_max`` bytes; those that were used last stay. Reactor thread."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        #: Bytes that the replies take.
        self.bytes = 0
        self._found: OrderedDict[Key, tuple[Entry, ...]] = OrderedDict()
        self.used = self._found.move_to_end
        self.get = self._found.get

    def __len__(self) -> int:
        return len(self._found)

    def put(self, key: Key, entry: Entry) -> None:
        """Store a reply, in the place of that for the same request. The newest comes first."""
        size = entry.size
        if size > self.bytes_max:
            self.drop(key)
            return
        others = self._found.get(key, ())
        kept = tuple(
            other for other in others if (other.vary, other.selected) != (entry.vary, entry.selected)
        )[: VARIANTS_MAX - 1]
        self._found[key] = (entry, *kept)
        self._found.move_to_end(key)
        self.bytes += size - sum(other.size for other in others if other not in kept)
        while self.bytes > self.bytes_max:
            _, oldest = self._found.popitem(last=False)
            self.bytes -= sum(each.size for each in oldest)

    def drop(self, key: Key) -> None:
        """Forget all replies of a target."""
        self.bytes -= sum(entry.size for entry in self._found.pop(key, ()))

    def clear(self) -> None:
        """Forget everything."""
        self._found.clear()
        self.bytes = 0
