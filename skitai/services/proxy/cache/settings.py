"""The section ``[cache]``: what the cache of the reverse proxy may keep, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from skitai.config.casters import networks, optional, path, positive, seconds, show_networks, show_size, size
from skitai.config.keys import Key
from skitai.net.trust import Network

SECTION = "cache"

KEYS: Mapping[str, Key] = {
    "memory_max": Key(size, 64 << 20, "bytes of replies in the memory of each worker", show_size),
    "memory_object_max": Key(positive(size), 1 << 20, "the largest reply that is kept in memory", show_size),
    "folder": Key(
        optional(path),
        None,
        "where replies are kept on disk; empty: in memory only",
        example="/var/cache/skitai",
    ),
    "disk_max": Key(size, 1 << 30, "bytes of replies on disk, of all workers", show_size),
    "disk_object_max": Key(positive(size), 100 << 20, "the largest reply that is kept on disk", show_size),
    "heuristic_max": Key(
        seconds, 3600.0, "longest freshness of replies that say nothing of it but Last-Modified; 0: none"
    ),
    "stale_while_revalidate": Key(seconds, 0.0, "the directive for replies without it"),
    "stale_if_error": Key(seconds, 0.0, "the directive for replies without it"),
    "wait_max": Key(seconds, 5.0, "seconds that requests wait for the reply to another one"),
    "purge_clients": Key(networks, (), "who may remove replies with the method PURGE", show_networks),
}


@attrs.frozen(kw_only=True)
class Settings:
    """The typed values of the section, in bytes and seconds."""

    memory_max: int
    memory_object_max: int
    folder: Path | None
    disk_max: int
    disk_object_max: int
    heuristic_max: float
    stale_while_revalidate: float
    stale_if_error: float
    wait_max: float
    purge_clients: tuple[Network | str, ...]

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> Settings:
        """Return the settings of a section."""
        return cls(**section)

    @property
    def object_max(self) -> int:
        """The longest body that is kept."""
        if self.folder is None:
            return min(self.memory_object_max, self.memory_max)
        return max(min(self.disk_object_max, self.disk_max), min(self.memory_object_max, self.memory_max))
