"""The hub: the bus of one machine, which all workers of a server are connected to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from skitai.interfaces import IBusSubscriber
from skitai.messaging.hubwire import HubWire
from skitai.messaging.local import LocalBus
from skitai.messaging.words import Position, Published


class Hub(Factory):
    """Serves a ``LocalBus`` to the processes that connect. ``seconds`` is a monotonic clock."""

    noisy = False

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.bus = LocalBus(seconds)
        #: Whose message is being published: it is told which of its own it is.
        self.publishing: tuple[_Client, int] | None = None

    def buildProtocol(self, addr: IAddress) -> HubWire:  # type: ignore[override]  # noqa: ARG002
        """Return the end for one process."""
        return _Client(self)


@implementer(IBusSubscriber)
class _Client(HubWire):
    """One process. Its subscriptions and members are gone when it is."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._bus = hub.bus
        self._channels: set[str] = set()
        self._members: set[tuple[str, str]] = set()
        self._does: dict[str, Callable[..., None]] = {
            "publish": self._publish,
            "recent": self._recent,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "enter": self._enter,
            "leave": self._leave,
            "members": self._list,
        }

    def taken(self, value: list[Any]) -> None:
        """Do what the process asks for."""
        what, *arguments = value
        self._does[what](*arguments)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002 - of the interface
        """Forget the process."""
        for channel in self._channels:
            self._bus.unsubscribe(channel, self)
        for channel, member in self._members:
            self._bus.leave(channel, member)

    # -- what it asks for ----------------------------------------------------------------------------------

    def _publish(self, number: int, channel: str, data: bytes, history: int, seconds: float) -> None:
        self._hub.publishing = (self, number)
        try:
            published = self._bus.publish(channel, data, history=history, seconds=seconds)
        finally:
            self._hub.publishing = None
        published.addCallback(lambda position: self.give(number, _pair(position)))

    def _recent(self, number: int, channel: str, since: list[Any] | None) -> None:
        position = None if since is None else Position(*since)

        def tell(recent: Any) -> None:
            messages = [(message.data, message.position.offset) for message in recent.messages]
            self.give(number, [_pair(recent.position), messages, recent.complete])

        self._bus.recent(channel, position).addCallback(tell)

    def _subscribe(self, number: int, channel: str) -> None:
        self._channels.add(channel)
        self._bus.subscribe(channel, self).addCallback(lambda _: self.give(number, None))

    def _unsubscribe(self, channel: str) -> None:
        self._channels.discard(channel)
        self._bus.unsubscribe(channel, self)

    def _enter(self, number: int, channel: str, member: str, data: bytes) -> None:
        self._members.add((channel, member))
        self._bus.enter(channel, member, data).addCallback(lambda _: self.give(number, None))

    def _leave(self, number: int, channel: str, member: str) -> None:
        self._members.discard((channel, member))
        self._bus.leave(channel, member).addCallback(lambda _: self.give(number, None))

    def _list(self, number: int, channel: str) -> None:
        self._bus.members(channel).addCallback(lambda members: self.give(number, members))

    # -- a subscriber of the bus ---------------------------------------------------------------------------

    def published(self, message: Published) -> None:
        """Pass a message on."""
        publishing = self._hub.publishing
        own = publishing[1] if publishing is not None and publishing[0] is self else 0
        self.give(0, message.channel, message.data, _pair(message.position), own)

    def interrupted(self, channel: str) -> None:
        """Do nothing: the bus of one process is never interrupted."""


def _pair(position: Position | None) -> list[Any] | None:
    return None if position is None else [position.epoch, position.offset]
