"""All connections as one reader of the reactor.

For each descriptor that is ready, Twisted prepares the context of its log, which takes a twentieth of the
time of a short statement. So the connections share an epoll, and the reactor knows only that one.
"""

from __future__ import annotations

import select
from typing import Any
from weakref import WeakValueDictionary

from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger()


class ReaderGroup:
    """What connections use in the place of ``reactor``, which reads for all of them at once.

    Methods are named as those of ``IReactorFDSet`` and ``IReadDescriptor``. All of it is used in the reactor
    thread.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._poll: Any = None  # while there are readers
        self._readers: dict[int, Any] = {}
        self.addWriter = reactor.addWriter
        self.removeWriter = reactor.removeWriter
        self.callLater = reactor.callLater

    def addReader(self, reader: Any) -> None:
        """Call ``reader.doRead()`` whenever its descriptor is ready. A second call does nothing."""
        descriptor = reader.fileno()
        if self._readers.get(descriptor) is reader:
            return
        if self._poll is None:
            self._poll = select.epoll()
            self._reactor.addReader(self)
        self._poll.register(descriptor, select.EPOLLIN)
        self._readers[descriptor] = reader

    def removeReader(self, reader: Any) -> None:
        """Undo ``addReader``, if it was called. The descriptor must still be open."""
        descriptor = reader.fileno()
        if self._readers.get(descriptor) is not reader:
            return
        del self._readers[descriptor]
        self._poll.unregister(descriptor)
        if not self._readers:
            self._reactor.removeReader(self)
            self._poll.close()
            self._poll = None

    # -- the reactor's side ---------------------------------------------------------------------------------

    def fileno(self) -> int:
        """Return the descriptor that is ready when one of the readers' is."""
        return -1 if self._poll is None else int(self._poll.fileno())

    def logPrefix(self) -> str:
        """Return what the log calls the group."""
        return "PostgreSQL"

    def doRead(self) -> None:
        """Have all readers read whose descriptors are ready."""
        for descriptor, _ in self._poll.poll(0):
            reader = self._readers.get(descriptor)
            if reader is None:  # another one has just removed it
                continue
            try:
                reader.doRead()
            except Exception:  # noqa: BLE001 - as the reactor does: the others must still read
                _log.failure("a connection to PostgreSQL could not be read")
                reader.connectionLost(Failure())  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure) -> None:
        """Tell all readers that the reactor stops."""
        for reader in list(self._readers.values()):
            reader.connectionLost(reason)


# By ``id(reactor)``: no other object has it as long as the group, which holds the reactor, is there.
_groups: WeakValueDictionary[int, ReaderGroup] = WeakValueDictionary()


def reading_together(reactor: Any) -> Any:
    """Return what connections use in the place of ``reactor``: their group, or itself without epoll."""
    if not hasattr(select, "epoll"):
        return reactor
    group = _groups.get(id(reactor))
    if group is None:
        group = _groups[id(reactor)] = ReaderGroup(reactor)
    return group
