"""The lines of docs/benchmarks.md on several workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.measure import CONNECTIONS
from benchmarks.report import megabytes, times
from benchmarks.workers import MEMORY, MEMORY_WORKERS, SPEED, SPEED_WORKERS

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from benchmarks.workers import Kind, Workers


def workers_section(found: Workers) -> Iterator[str]:
    """Yield the lines on several workers."""
    yield "## Several workers"
    yield ""
    yield f"The hello app, {CONNECTIONS} keep-alive connections. One worker has a core, wrk another. Two"
    yield "share both with wrk, so they cannot serve twice as much; CPU is what a request takes of the"
    yield "workers alone."
    yield ""
    numbers = " | ".join(f"req/s, {number}" for number in SPEED_WORKERS)
    cpu = " | ".join(f"CPU us, {number}" for number in SPEED_WORKERS)
    yield f"| server | version | {numbers} | 2 to 1 | {cpu} | errors |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|"
    yield from (_speed_row(found, kind) for kind in SPEED if _is_in(kind, found.served.speeds))
    yield ""
    yield "Memory of all processes of a server after a second of load. What several share is divided"
    yield "among them (PSS), in MB. The last column: what one more worker takes."
    yield ""
    sizes = " | ".join(f"{number} worker{'s' if number > 1 else ''}" for number in MEMORY_WORKERS)
    yield f"| server | version | {sizes} | each |"
    yield "|---|---|---:|---:|---:|---:|"
    yield from (_memory_row(found, kind) for kind in MEMORY if _is_in(kind, found.memory))
    yield ""


def _is_in(kind: Kind, names: Container[str]) -> bool:
    return any(server.name in names for server in kind.servers.values())


def _speed_row(found: Workers, kind: Kind) -> str:
    servers = [kind.servers[number] for number in SPEED_WORKERS]
    rates = [found.served.rate(server.name) for server in servers]
    costs = [found.cpu_us(server) for server in servers]
    cells = (
        kind.label,
        found.versions[kind.package],
        *(f"{rate:,.0f}" if rate else "-" for rate in rates),
        times(found.served.ratio(servers[-1].name, servers[0].name)),
        *(f"{cost:,.0f}" if cost else "-" for cost in costs),
        str(sum(speed.errors for server in servers for speed in found.served.speeds.get(server.name, ()))),
    )
    return f"| {' | '.join(cells)} |"


def _memory_row(found: Workers, kind: Kind) -> str:
    sizes = [found.memory.get(kind.servers[number].name) for number in MEMORY_WORKERS]
    first, last = sizes[0], sizes[-1]
    more = MEMORY_WORKERS[-1] - MEMORY_WORKERS[0]
    cells = (
        kind.label,
        found.versions[kind.package],
        *(megabytes(size) if size else "-" for size in sizes),
        megabytes(round((last - first) / more)) if first and last else "-",
    )
    return f"| {' | '.join(cells)} |"
