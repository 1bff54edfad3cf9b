"""Who has subscribed to which channels in this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from twisted.logger import Logger

if TYPE_CHECKING:
    from skitai.interfaces import IBusSubscriber
    from skitai.messaging.words import Published

_log = Logger()


class Subscribers:
    """The subscribers of all channels, and how they get messages. All methods: reactor thread."""

    def __init__(self) -> None:
        # Dicts stand for ordered sets.
        self._by_channel: dict[str, dict[IBusSubscriber, None]] = {}
        self._queue: deque[Published] = deque()
        self._giving = False

    def add(self, channel: str, subscriber: IBusSubscriber) -> bool:
        """Give ``subscriber`` the messages of ``channel``; return whether it is the first there."""
        first = channel not in self._by_channel
        self._by_channel.setdefault(channel, {})[subscriber] = None
        return first

    def remove(self, channel: str, subscriber: IBusSubscriber) -> bool:
        """Undo ``add``; return whether it was the last there."""
        subscribers = self._by_channel.get(channel)
        if subscribers is None:
            return False
        subscribers.pop(subscriber, None)
        if subscribers:
            return False
        del self._by_channel[channel]
        return True

    def __contains__(self, channel: object) -> bool:
        return channel in self._by_channel

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._by_channel))

    def give(self, published: Published) -> None:
        """Give ``published`` to the subscribers of its channel; one that raises is logged.

        What a subscriber publishes meanwhile comes after it, for everybody.
        """
        self._queue.append(published)
        if self._giving:
            return
        self._giving = True
        try:
            while self._queue:
                self._give(self._queue.popleft())
        finally:
            self._giving = False

    def _give(self, published: Published) -> None:
        for subscriber in tuple(self._by_channel.get(published.channel, ())):
            if subscriber not in self._by_channel.get(published.channel, ()):
                continue  # one before it has unsubscribed it
            try:
                subscriber.published(published)
            except Exception:  # noqa: BLE001 - the others have nothing to do with it
                _log.failure("a message of {channel} could not be taken", channel=published.channel)

    def interrupt(self) -> None:
        """Tell all subscribers that messages may have been missed."""
        for channel in self:
            self.interrupt_at(channel)

    def interrupt_at(self, channel: str) -> None:
        """Tell the subscribers of ``channel`` that messages may have been missed."""
        for subscriber in tuple(self._by_channel.get(channel, ())):
            try:
                subscriber.interrupted(channel)
            except Exception:  # noqa: BLE001 - the others have nothing to do with it
                _log.failure("a subscriber of {channel} failed", channel=channel)
