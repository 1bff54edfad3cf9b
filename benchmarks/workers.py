"""Several workers: what one and two of them serve, and what memory one, four and eight of them take."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks import measure
from benchmarks.process import running, version_of
from benchmarks.progress import failures_noted, say
from benchmarks.report import Results
from benchmarks.rounds import add_speed
from benchmarks.servers import Server, granian, gunicorn, skitai

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from benchmarks.process import Placement

SPEED_WORKERS, MEMORY_WORKERS = (1, 2), (1, 4, 8)
_GTHREAD = ("--worker-class", "gthread", "--threads", "4")


@dataclass(frozen=True)
class Kind:
    """One server with several numbers of workers: a row of the report, and what runs for each number."""

    label: str
    servers: dict[int, Server]

    @property
    def package(self) -> str:
        """What has the version of the row."""
        return next(iter(self.servers.values())).package


def _kinds(
    prefix: str, numbers: tuple[int, ...], *makers: tuple[str, Callable[[str, int], Server]]
) -> tuple[Kind, ...]:
    """Return a kind for each label; its maker takes the beginning of a name, and how many workers."""
    return tuple(
        Kind(label, {number: make(f"{prefix}-{number}", number) for number in numbers})
        for label, make in makers
    )


def _skitai(threads: int) -> Callable[[str, int], Server]:
    return lambda prefix, workers: skitai(
        threads, prefix=prefix, label=f"Skitai, processes = {workers}", workers=workers
    )


def _gunicorn(*settings: str) -> Callable[[str, int], Server]:
    def make(prefix: str, workers: int) -> Server:
        label = f"gthread, 4 threads, {workers} workers"
        return gunicorn(f"{prefix}-gunicorn", label, *_GTHREAD, *settings, workers=workers)

    return make


SPEED = _kinds(
    "workers",
    SPEED_WORKERS,
    ("Skitai, threads = 0", _skitai(0)),
    ("Skitai, threads = 4", _skitai(4)),
    ("gunicorn, gthread, 4 threads", _gunicorn()),
    ("granian, WSGI", lambda prefix, workers: granian(f"{prefix}-granian", f"{workers} workers", workers)),
)
MEMORY = _kinds(
    "memory",
    MEMORY_WORKERS,
    ("Skitai, threads = 4", _skitai(4)),
    ("gunicorn, gthread, 4 threads, --preload", _gunicorn("--preload")),
)
ROWS = tuple(server for kind in (*SPEED, *MEMORY) for server in kind.servers.values())


@dataclass
class Workers:
    """All that one run found out; ``memory`` by the name of the server, the versions by package."""

    served: Results = field(default_factory=lambda: Results({}, ""))
    memory: dict[str, int] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def cpu_us(self, server: Server) -> float | None:
        """Return the median of the processor time of a request, or None for what was not measured."""
        samples = self.served.speeds.get(server.name)
        return statistics.median(sample.cpu_us for sample in samples) if samples else None


def measured(results: Results, placement: Placement, options: argparse.Namespace) -> Workers:
    """Measure the rows that ``options`` choose; note failures in ``results``."""
    found = Workers()
    speed = [server for kind in SPEED for server in kind.servers.values() if server.name in options.only]
    memory = [server for kind in MEMORY for server in kind.servers.values() if server.name in options.only]
    found.versions = {server.package: version_of(server, placement) for server in (*speed, *memory)}
    for number in range(1, options.rounds + 1):
        if speed:
            say("workers", f"round {number} of {options.rounds}")
        for server in speed:
            add_speed(found.served.speeds, server, placement, results, options.seconds)
    for server in memory:
        what = f"memory, {server.label}"
        with failures_noted(results, what), running(server, placement) as process:
            # So many connections that each worker has some.
            measure.wrk(process.port, placement.client_core, measure.WARM_UP_SECONDS)
            time.sleep(measure.SETTLE_SECONDS)
            found.memory[server.name] = size = measure.proportional(process)
            say(what, f"{size / 1024 / 1024:.1f} MB")
    return found
