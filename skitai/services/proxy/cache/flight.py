"""One request to the members for many that wait for the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skitai.services.proxy.cache.entry import Entry
    from skitai.services.proxy.cache.memory import Key
    from skitai.services.proxy.cache.mount import MountCache
    from skitai.services.proxy.cache.wants import Wants


class Flight:
    """Who waits for the reply that is on its way for ``key``, at most as long as the config says."""

    def __init__(self, mount: MountCache, key: Key) -> None:
        self._mount = mount
        self._key = key
        self._waiting: list[tuple[Any, Wants]] = []
        self._timer: Any = None

    def join(self, request: Any, wants: Wants) -> None:
        """Have ``request`` wait."""
        self._waiting.append((request, wants))
        if self._timer is None:
            self._timer = self._mount.call_later(self._mount.wait_max, self._give_up)

    def _give_up(self) -> None:
        """Have all ask by themselves: the reply takes too long, or its client reads too slowly."""
        self._timer = None
        self._release(alone=True, served=None)

    def land(self, *, alone: bool, served: tuple[Entry, str] | None) -> None:
        """End: those who wait are answered from the cache, or ask.

        With ``alone`` they do not wait for each other any more. ``served`` is what the first of them got,
        and how that is called.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._release(alone=alone, served=served)

    def _release(self, *, alone: bool, served: tuple[Entry, str] | None) -> None:
        self._mount.end_flight(self._key, self)
        waiting, self._waiting = self._waiting, []
        for request, wants in waiting:
            if not request.gone:
                self._mount.go_on(request, self._key, wants, alone=alone, served=served)
