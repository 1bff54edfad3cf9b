"""What a worker tells of itself on the board, about once a second."""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from skitai.processes import State
from skitai.worker.overview import resident_bytes

if TYPE_CHECKING:
    from skitai.loop.executors import Executors
    from skitai.processes import Slot
    from skitai.server.http1.factory import HTTPFactory

_log = Logger()

#: Seconds between two heartbeats at most.
BEAT_SECONDS = 1.0


class Figures:
    """Keeps ``slot`` up to date while the reactor has turns: that is the heartbeat, too.

    ``seconds`` lie between two updates. Each of ``at_beat`` is called after one. All methods are called in
    the reactor thread.
    """

    def __init__(self, reactor: Any, slot: Slot, executors: Executors, seconds: float = BEAT_SECONDS) -> None:
        self._slot = slot
        self._executors = executors
        self._seconds = seconds
        self._factory: HTTPFactory | None = None
        self.at_beat: list[Callable[[], object]] = []
        self._beats = LoopingCall(self.update)
        self._beats.clock = reactor

    def start(self, factory: HTTPFactory) -> None:
        """Begin: the worker of ``factory`` starts."""
        self._factory = factory
        self._slot.pid, self._slot.state, self._slot.began = os.getpid(), State.STARTING, monotonic()
        self._beats.start(self._seconds)

    def update(self) -> None:
        """Write all figures."""
        slot, factory = self._slot, self._factory
        assert factory is not None
        busy = sum(channel.busy for channel in factory.channels)
        slot.connections, slot.in_flight = len(factory.channels), busy
        slot.requests = factory.requests - busy
        slot.queued = sum(executor.statistics()["queued"] for executor in self._executors.mounts)
        slot.memory = resident_bytes()
        slot.beat()
        for call in self.at_beat:
            try:
                call()
            except Exception:  # noqa: BLE001 - without heartbeats the worker would be killed
                _log.failure("what is done at each heartbeat failed")

    def count(self, connections: int) -> None:
        """Note the number of connections at once: other workers look at it before they accept one."""
        self._slot.connections = connections

    def ready(self) -> None:
        """The worker serves: it listens, and its apps are loaded or have failed."""
        self._slot.state = State.READY

    def draining(self) -> None:
        """The worker takes no new connections any more."""
        self._slot.state = State.DRAINING

    def stop(self) -> None:
        """The worker is at its end."""
        if self._beats.running:
            self.update()  # what was counted last must not be lost
            self._beats.stop()
