"""Comments that keep quiet event streams alive: proxies close what is silent for long."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from skitai.loop.bridge import Bridge
    from skitai.services.rooms.streams import EventStream

#: How many of them are looked after in one turn of the reactor.
_PER_TURN = 500


class Heartbeats:
    """Has each stream that was silent for ``seconds`` say something. Reactor thread."""

    def __init__(self, bridge: Bridge, seconds: float) -> None:
        self._bridge = bridge
        self._seconds = seconds
        #: When each has said something, the longest ago first: one timer serves them all.
        self._spoke: dict[EventStream, float] = {}
        self._timer: IDelayedCall | None = None

    def spoke(self, stream: EventStream) -> None:
        """Note that ``stream`` says something now."""
        self._spoke.pop(stream, None)
        self._spoke[stream] = self._bridge.seconds()
        if self._timer is None:
            self._timer = self._bridge.call_later(self._seconds, self._look)

    def forget(self, stream: EventStream) -> None:
        """Note that ``stream`` has ended."""
        self._spoke.pop(stream, None)
        if not self._spoke and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = self._bridge.seconds()
        for _ in range(_PER_TURN):
            stream, spoke = next(iter(self._spoke.items()), (None, now))
            if stream is None or spoke + self._seconds > now:
                break
            self._spoke.pop(stream)
            stream.beat()
        if self._spoke and self._timer is None:
            wait = next(iter(self._spoke.values())) + self._seconds - now
            self._timer = self._bridge.call_later(max(wait, 0), self._look)
