"""Sends on what a socket could not take at once, by way of its transport."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer


class Source(Protocol):
    """What has more to send."""

    #: Where it goes.
    transport: Any

    def more(self) -> bytes:
        """Return what is to be sent next; nothing: it is over for now."""

    def outflow_ended(self) -> None:
        """Note that everything was sent."""


@implementer(IPullProducer)
class Outflow:
    """Sends ``rest``, and then what ``source`` has more, over its transport.

    It is the producer of the transport as long as that has something to send, and no longer: for what a
    socket takes at once, a transport takes two system calls more, and a turn of the reactor. All methods are
    called in the reactor thread.
    """

    __slots__ = ("_rest", "_source")

    def __init__(self, source: Source, rest: bytes) -> None:
        self._source = source
        self._rest = rest

    def resumeProducing(self) -> None:
        """Give the transport the next piece: it has sent everything."""
        source = self._source
        piece, self._rest = self._rest or source.more(), b""
        if piece:
            source.transport.write(piece)
        else:
            source.transport.unregisterProducer()
            source.outflow_ended()

    def stopProducing(self) -> None:
        """Do nothing: the protocol is told of the end, too."""
