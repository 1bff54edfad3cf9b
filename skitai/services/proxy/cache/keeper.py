"""Removes what is outdated, in all workers: each has a memory of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import msgpack
from twisted.logger import Logger
from zope.interface import implementer

from skitai.errors import CODE_SHUTDOWN, OperationError
from skitai.interfaces import IBusSubscriber

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from skitai.interfaces import IBus
    from skitai.messaging.words import Published
    from skitai.services.proxy.cache.store import Store

_log = Logger()
_CHANNEL = "skitai:proxy-cache"


@implementer(IBusSubscriber)
class Keeper:
    """Forgets replies here and, by the bus, in the other workers. All methods: reactor thread."""

    def __init__(self, store: Store, get_bus: Callable[[], IBus]) -> None:
        self._store = store
        self._get_bus = get_bus

    def start(self) -> None:
        """Take part in what other workers forget."""
        bus = self._get_bus()
        if bus.shared:
            # The bus may still be starting: until it hears others, this worker misses what they forget.
            bus.subscribe(_CHANNEL, self).addCallbacks(self._heard, _told)

    def forget(self, targets: Iterable[tuple[bytes, bytes]]) -> None:
        """Forget what is stored of targets, each a host and a path with its query, with and without TLS."""
        found = list(targets)
        self._drop(found)
        bus = self._get_bus()
        if bus.shared:
            bus.publish(_CHANNEL, msgpack.packb(found)).addErrback(_told)

    def _drop(self, targets: Iterable[tuple[bytes, bytes]]) -> None:
        self._store.drop((secure, host, target) for host, target in targets for secure in (False, True))

    def published(self, message: Published) -> None:
        """Forget what another worker has forgotten."""
        try:
            self._drop([(bytes(host), bytes(target)) for host, target in msgpack.unpackb(message.data)])
        except (TypeError, ValueError):
            _log.warn("a message on {channel} is none of the cache", channel=_CHANNEL)

    def interrupted(self, channel: str) -> None:  # noqa: ARG002 - of IBusSubscriber
        """Forget everything in memory: what the others have forgotten meanwhile is unknown."""
        self._store.forget_memory()

    def _heard(self, _: None) -> None:
        self.interrupted(_CHANNEL)


def _told(failure: Failure) -> None:
    error = failure.value
    if isinstance(error, OperationError) and error.code == CODE_SHUTDOWN:
        return  # nobody asks this worker any more
    _log.warn("other workers do not hear what is removed from the cache: {error}", error=error)
