"""A reactor as what calls functions when descriptors can be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(IReadDescriptor)
@attrs.frozen(eq=False)
class _Source:
    source: Any
    call: Callable[[], object]

    def fileno(self) -> int:
        """Return the descriptor to read."""
        return int(self.source.fileno())

    def doRead(self) -> None:
        """Tell that there is something to read."""
        self.call()

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing: the reactor stops."""

    def logPrefix(self) -> str:
        """Return what the reactor calls it."""
        return "poll"


class ReactorPoll:
    """Watches by ``reactor``, in whose thread all methods and functions are called."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._watched: dict[Any, _Source] = {}

    def watch(self, source: Any, call: Callable[[], object]) -> None:
        """Call ``call`` whenever ``source`` can be read."""
        self._watched[source] = _Source(source, call)
        self._reactor.addReader(self._watched[source])

    def unwatch(self, source: Any) -> None:
        """Undo ``watch``; the second time, do nothing."""
        watched = self._watched.pop(source, None)
        if watched is not None:
            self._reactor.removeReader(watched)
