"""The bus of one process: it needs no other program, and reaches nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from skitai.interfaces import IBus
from skitai.messaging.histories import Histories
from skitai.messaging.subscribers import Subscribers
from skitai.messaging.words import Position, Published, Recent

if TYPE_CHECKING:
    from skitai.interfaces import IBusSubscriber


@implementer(IBus)
class LocalBus:
    """Carries messages between the rooms of one process; ``seconds`` is a monotonic clock. Reactor thread."""

    shared = False

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._subscribers = Subscribers()
        self._histories = Histories(seconds)
        self._members: dict[str, dict[str, bytes]] = {}

    def publish(
        self, channel: str, data: bytes, *, history: int = 0, seconds: float = 0
    ) -> Deferred[Position | None]:
        """Give ``data`` to the subscribers at once; see ``IBus.publish``."""
        if history:
            published = self._histories.keep(channel, data, history, seconds)
        else:
            published = Published(channel, data)
        self._subscribers.give(published)
        return succeed(published.position)

    def recent(self, channel: str, since: Position | None = None) -> Deferred[Recent]:
        """Return the history after ``since``; see ``IBus.recent``."""
        return succeed(self._histories.recent(channel, since))

    def subscribe(self, channel: str, subscriber: IBusSubscriber) -> Deferred[None]:
        """Give ``subscriber`` the messages of ``channel`` from now on."""
        self._subscribers.add(channel, subscriber)
        return succeed(None)

    def unsubscribe(self, channel: str, subscriber: IBusSubscriber) -> None:
        """Undo ``subscribe``."""
        self._subscribers.remove(channel, subscriber)

    def enter(self, channel: str, member: str, data: bytes) -> Deferred[None]:
        """Note that ``member`` is there."""
        self._members.setdefault(channel, {})[member] = data
        return succeed(None)

    def leave(self, channel: str, member: str) -> Deferred[None]:
        """Undo ``enter``."""
        members = self._members.get(channel, {})
        members.pop(member, None)
        if not members:
            self._members.pop(channel, None)
        return succeed(None)

    def members(self, channel: str) -> Deferred[dict[str, bytes]]:
        """Return who is there, in the order of entering."""
        return succeed(dict(self._members.get(channel, {})))

    def statistics(self) -> dict[str, int]:
        """Return what the histories hold: ``channels``, ``messages`` and ``bytes``."""
        return self._histories.statistics()
