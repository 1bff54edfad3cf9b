"""How often the watching thread has seen what it looks for."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from skitai.plugins.metrics import Metric, counter


@attrs.define
class Counts:
    """What was seen since the start, also where nothing new is logged. The watching thread writes it."""

    #: How often something held the reactor for ``blocked_warning`` seconds.
    blocked: int = 0
    #: Tasks that ran for ``slow_request`` seconds in a thread.
    slow: int = 0
    #: How often requests began to wait too long for an executor.
    busy: int = 0

    def metrics(self) -> Iterator[Metric]:
        """Yield them for monitoring. Called in any thread."""
        yield counter(
            "skitai_reactor_blocked_total", "Times that code held up all requests of a worker.", self.blocked
        )
        yield counter("skitai_slow_requests_total", "Requests that ran long in a thread.", self.slow)
        yield counter(
            "skitai_threads_busy_total",
            "Times that requests began to wait too long.",
            self.busy,
        )
