"""The bus of one process: it needs no other program, and reaches nobody else."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from secrets import token_hex
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from zope.interface import implementer

from skitai.interfaces import IBus
from skitai.messaging.words import Position, Published, Recent

if TYPE_CHECKING:
    from skitai.interfaces import IBusSubscriber

_log = Logger()

#: Histories that are kept at most; those that were used longest ago are forgotten first.
_HISTORIES_MAX = 10_000


class _History:
    """The last messages of one channel."""

    def __init__(self) -> None:
        self.epoch = token_hex(8)
        self.offset = 0
        #: Each with the time at which it is forgotten.
        self.kept: deque[tuple[float, Published]] = deque()


@implementer(IBus)
class LocalBus:
    """Carries messages between the rooms of one process; ``seconds`` is a monotonic clock. Reactor thread."""

    shared = False

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        # Dicts stand for ordered sets.
        self._subscribers: dict[str, dict[IBusSubscriber, None]] = {}
        self._histories: dict[str, _History] = {}
        self._members: dict[str, dict[str, bytes]] = {}

    def publish(
        self, channel: str, data: bytes, *, history: int = 0, seconds: float = 0
    ) -> Deferred[Position | None]:
        """Give ``data`` to the subscribers at once; see ``IBus.publish``."""
        published = self._keep(channel, data, history, seconds) if history else Published(channel, data)
        deliver(published, tuple(self._subscribers.get(channel, ())))
        return succeed(published.position)

    def _keep(self, channel: str, data: bytes, history: int, seconds: float) -> Published:
        kept = self._history(channel)
        kept.offset += 1
        published = Published(channel, data, Position(kept.epoch, kept.offset))
        kept.kept.append((self._seconds() + seconds, published))
        while len(kept.kept) > history:
            kept.kept.popleft()
        return published

    def _history(self, channel: str) -> _History:
        # Taken out and put in again, so that the one that was used longest ago comes first.
        found = self._histories.pop(channel, None) or _History()
        self._histories[channel] = found
        if len(self._histories) > _HISTORIES_MAX:
            del self._histories[next(iter(self._histories))]
        return found

    def recent(self, channel: str, since: Position | None = None) -> Deferred[Recent]:
        """Return the history after ``since``; see ``IBus.recent``."""
        history = self._history(channel)
        now = self._seconds()
        while history.kept and history.kept[0][0] <= now:
            history.kept.popleft()
        position = Position(history.epoch, history.offset)
        if since is None:
            return succeed(Recent(position))
        known = since.epoch == history.epoch and since.offset <= history.offset
        messages = tuple(
            message
            for _, message in history.kept
            if not known or (message.position is not None and message.position.offset > since.offset)
        )
        complete = known and len(messages) == history.offset - since.offset
        return succeed(Recent(position, messages, complete))

    def subscribe(self, channel: str, subscriber: IBusSubscriber) -> Deferred[None]:
        """Give ``subscriber`` the messages of ``channel`` from now on."""
        self._subscribers.setdefault(channel, {})[subscriber] = None
        return succeed(None)

    def unsubscribe(self, channel: str, subscriber: IBusSubscriber) -> None:
        """Undo ``subscribe``."""
        subscribers = self._subscribers.get(channel, {})
        subscribers.pop(subscriber, None)
        if not subscribers:
            self._subscribers.pop(channel, None)

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


def deliver(published: Published, subscribers: tuple[IBusSubscriber, ...]) -> None:
    """Give ``published`` to each of ``subscribers``; one that raises is logged."""
    for subscriber in subscribers:
        try:
            subscriber.published(published)
        except Exception:  # noqa: BLE001 - the others have nothing to do with it
            _log.failure("a message of {channel} could not be taken", channel=published.channel)
