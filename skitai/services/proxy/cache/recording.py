"""Takes the body of a reply while it goes to the client: into memory, and to disk if it is long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from skitai.services.proxy.cache.disk import Spool
    from skitai.services.proxy.cache.entry import Entry
    from skitai.services.proxy.cache.store import Store


class Asking(Protocol):
    """What has asked for the reply."""

    def recorded(self, entry: Entry | None, spool: Spool | None) -> None:
        """Store a reply that is complete; None: it is not, or cannot be stored."""

    def too_long(self) -> None:
        """Take note that the reply cannot be stored."""


class Recording:
    """Takes the body of a reply that ``visit`` will put into ``store`` as ``entry``."""

    def __init__(self, visit: Asking, entry: Entry, store: Store) -> None:
        self._visit: Asking | None = visit
        self._entry = entry
        self._store = store
        self._pieces: list[bytes] = []
        self._spool: Spool | None = None
        self._length = 0

    def write(self, data: bytes) -> None:
        """Take a piece."""
        if self._visit is None:
            return
        self._length += len(data)
        if self._length > self._store.settings.object_max:
            self._give_up()
        elif self._spool is not None:
            self._to_disk(data)
        else:
            self._pieces.append(data)
            self._store.collected += len(data)
            if self._length > self._store.short_max or self._store.collected > self._store.memory.bytes_max:
                self._spool = self._store.spool()
                if self._spool is None:
                    self._give_up()
                else:
                    self._to_disk(self._taken())

    def _taken(self) -> bytes:
        """Return what is in memory, and let go of it."""
        data = b"".join(self._pieces)
        self._pieces = []
        self._store.collected -= len(data)
        return data

    def _to_disk(self, data: bytes) -> None:
        assert self._spool is not None
        try:
            self._spool.write(data)
        except OSError as error:
            self._store.tell_full(error)
            self._give_up()

    def _give_up(self) -> None:
        visit, self._visit = self._visit, None
        self._taken()
        if self._spool is not None:
            self._spool.drop()
            self._spool = None
        assert visit is not None
        visit.too_long()

    def end(self, error: BaseException | None) -> None:
        """Store the reply if it is complete."""
        visit, self._visit = self._visit, None
        if visit is None:
            return
        data = self._taken()
        if error is not None:
            visit.recorded(None, self._spool)
            return
        entry = self._entry
        entry.length = self._length
        if self._spool is None:
            entry.body = data
        visit.recorded(entry, self._spool)
