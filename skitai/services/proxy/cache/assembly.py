"""The cache of an instance: its parts, and the mounts that use it."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from skitai.services.proxy.cache.claim import InUseError
from skitai.services.proxy.cache.disk import DiskStore
from skitai.services.proxy.cache.keeper import Keeper
from skitai.services.proxy.cache.mount import MountCache
from skitai.services.proxy.cache.settings import SECTION, Settings
from skitai.services.proxy.cache.store import Store

if TYPE_CHECKING:
    from skitai.interfaces import IInstance

_log = Logger()


class ProxyCache:
    """What all mounts with ``cache=yes`` share. All methods are called in the reactor thread."""

    def __init__(self, instance: IInstance) -> None:
        self._instance = instance
        settings = Settings.of(instance.section(SECTION))
        disk = None
        if settings.folder is not None:
            disk = DiskStore(settings.folder, settings.disk_max, self.wall_clock, instance.reactor)
        self.store = Store(settings, disk)
        self.keeper = Keeper(self.store, lambda: instance.bus)
        self.mounts: dict[tuple[str, str], MountCache] = {}

    def wall_clock(self) -> float:
        """Return the seconds since the epoch."""
        return time()

    def mount(self, point: str, cluster: str, options: str) -> MountCache:
        """Return the cache of a mount; with other ``options`` it does not use what was stored before."""
        name = f"{point} {cluster} {options}"
        made = MountCache(name, self.store, self.keeper, self.wall_clock, self._instance.reactor.callLater)
        self.mounts[(point or "/", cluster)] = made
        return made

    def start(self) -> None:
        """Use the disk, and hear what other workers remove."""
        disk = self.store.disk
        if disk is not None:
            try:
                disk.start(self._instance.main_pid)
            except (OSError, InUseError) as error:
                _log.error("[cache] folder: {error}; replies are kept in memory only", error=error)
                self.store.disk = None
        self.keeper.start()

    def stop(self) -> None:
        """Let another server have the folder."""
        if self.store.disk is not None:
            self.store.disk.release()

    def statistics(self) -> dict[str, Any]:
        """Return what the status page shows of the store."""
        store, settings = self.store, self.store.settings
        shown = {
            "replies in memory": len(store.memory),
            "memory_bytes": store.memory.bytes,
            "memory_max_bytes": settings.memory_max,
        }
        if store.disk is not None:
            shown |= {"disk_bytes": store.disk.bytes or 0, "disk_max_bytes": settings.disk_max}
        return shown
