"""The last messages of channels, in the memory of this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from secrets import token_hex

from skitai.messaging.words import Position, Published, Recent

#: Channels that are remembered at most: of those that were used longest ago even the epoch is forgotten.
_HISTORIES_MAX = 10_000
#: What the data of all kept messages takes at most; then the channels that were used longest ago lose theirs.
_BYTES_MAX = 64 * 1024 * 1024


class _History:
    """The last messages of one channel."""

    __slots__ = ("bytes", "epoch", "kept", "offset")

    def __init__(self) -> None:
        self.epoch = token_hex(8)
        self.offset = 0
        #: Each with the time at which it is forgotten.
        self.kept: deque[tuple[float, Published]] = deque()
        self.bytes = 0

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.offset)

    def append(self, published: Published, until: float) -> None:
        self.kept.append((until, published))
        self.bytes += len(published.data)

    def shorten(self, most: int, now: float) -> None:
        """Keep ``most`` messages, and none that is too old."""
        while self.kept and (len(self.kept) > most or self.kept[0][0] <= now):
            self.bytes -= len(self.kept.popleft()[1].data)

    def after(self, since: Position) -> Recent:
        known = since.epoch == self.epoch and since.offset <= self.offset
        first = self.offset - len(self.kept)  # the position before the first message that is kept
        messages = tuple(message for _, message in self.kept)
        if not known or since.offset < first:
            return Recent(self.position, messages, complete=False)
        return Recent(self.position, messages[since.offset - first :])


class Histories:
    """The histories of all channels; ``seconds`` is a monotonic clock. All methods: reactor thread."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        #: Those that were used longest ago come first.
        self._by_channel: dict[str, _History] = {}
        #: Those that hold messages, in the order of their last ones.
        self._holding: dict[str, _History] = {}
        self._bytes = 0

    def keep(self, channel: str, data: bytes, most: int, seconds: float) -> Published:
        """Keep ``data`` for ``seconds`` among the last ``most`` messages; return it with its position."""
        history = self._history(channel)
        history.offset += 1
        published = Published(channel, data, history.position)
        self._bytes -= history.bytes
        history.append(published, self._seconds() + seconds)
        history.shorten(most, self._seconds())
        self._bytes += history.bytes
        self._holding.pop(channel, None)
        self._holding[channel] = history
        self._let_go()
        return published

    def recent(self, channel: str, since: Position | None) -> Recent:
        """Return the messages after ``since``; see ``IBus.recent``."""
        history = self._history(channel)
        if since is None:
            return Recent(history.position)
        self._bytes -= history.bytes
        history.shorten(len(history.kept), self._seconds())
        self._bytes += history.bytes
        return history.after(since)

    def _history(self, channel: str) -> _History:
        # Taken out and put in again, so that the one that was used longest ago comes first.
        found = self._by_channel.pop(channel, None) or _History()
        self._by_channel[channel] = found
        if len(self._by_channel) > _HISTORIES_MAX:
            self._empty(oldest := next(iter(self._by_channel)))
            del self._by_channel[oldest]
        return found

    def _let_go(self) -> None:
        """Forget what is too old, or too much, in the channels whose last messages are the oldest."""
        now = self._seconds()
        while self._holding:
            channel, history = next(iter(self._holding.items()))
            if self._bytes <= _BYTES_MAX and history.kept and history.kept[-1][0] > now:
                return
            self._empty(channel)

    def _empty(self, channel: str) -> None:
        history = self._holding.pop(channel, None)
        if history is not None:
            self._bytes -= history.bytes
            history.kept.clear()
            history.bytes = 0

    def statistics(self) -> dict[str, int]:
        """Return how many channels are known, how many messages are kept, and their bytes."""
        return {
            "channels": len(self._by_channel),
            "messages": sum(len(history.kept) for history in self._holding.values()),
            "bytes": self._bytes,
        }
