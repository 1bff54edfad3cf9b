"""Turns the figures into docs/benchmarks.md."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.measure import IdleMemory, Speed
    from benchmarks.servers import Server

GREENLETS = "skitai-0"
THREADS = "skitai-4"
SADDLE = "saddle-0"

IDLE_TARGET = 5 * 1024  # bytes
SAMPLE_TARGET = 45 * 1024 * 1024  # bytes


@dataclass(frozen=True)
class SpeedTarget:
    """`ours` is to serve `factor` times what the fastest row of a peer serves.

    `rows` is the name of the peer's row, or what the names of its rows begin with before a hyphen.
    """

    ours: str
    factor: float
    peer: str
    rows: str


SPEED_TARGETS = (
    SpeedTarget(GREENLETS, 1.0, "uvicorn's raw ASGI app", "uvicorn"),
    SpeedTarget(GREENLETS, 1.5, "uWSGI", "uwsgi"),
    SpeedTarget("metrics-0", 0.98, "the same without [metrics]", GREENLETS),
    SpeedTarget("skitai-cooperative", 0.95, "plain greenlets", GREENLETS),
    SpeedTarget(THREADS, 4.0, "gunicorn gthread", "gunicorn-gthread"),
    SpeedTarget(THREADS, 2.5, "waitress", "waitress"),
    SpeedTarget(THREADS, 1.2, "uWSGI", "uwsgi"),
    SpeedTarget(SADDLE, 1.5, "Flask under the same server", "flask-skitai"),
    SpeedTarget(SADDLE, 3.0, "Flask under gunicorn gthread", "flask-gthread"),
)


@dataclass
class Results:
    """All that one run found out. Rows are in the order of measuring; those that failed are in `failures`."""

    environment: dict[str, str]
    conditions: str
    servers: dict[str, Server] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    speeds: dict[str, list[Speed]] = field(default_factory=dict)
    idle: dict[str, IdleMemory] = field(default_factory=dict)
    sample_memory: int | None = None
    failures: dict[str, str] = field(default_factory=dict)

    def rate(self, name: str) -> float | None:
        """Return the median of requests a second, or None for a row that was not measured."""
        samples = self.speeds.get(name)
        return statistics.median(sample.requests_per_second for sample in samples) if samples else None

    def ratio(self, ours: str, theirs: str) -> float | None:
        """Return how many times the requests of `theirs` `ours` serves, or None if one was not measured."""
        mine, other = self.rate(ours), self.rate(theirs)
        return mine / other if mine and other else None


def render(results: Results, more: Iterable[str] = ()) -> str:
    """Return the report as Markdown; `more` are lines of other sections."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; benchmarks/README.md says how it measures. The figures depend on the",
        "machine and on what else it does: only the ratios within one report mean something.",
        "",
        *(f"- {name}: {value}" for name, value in results.environment.items()),
        "",
        *speed_section(results),
        *memory_section(results),
        *more,
        *failure_section(results),
    ]
    return "\n".join(lines).rstrip() + "\n"


def speed_section(results: Results) -> Iterator[str]:
    """Yield the lines on requests a second, targets last."""
    yield "## Hello, world"
    yield ""
    yield results.conditions
    yield ""
    yield "| server | version | req/s, median | min-max | p99 ms | CPU us | errors | Skitai, 0 | Skitai, 4 |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|---:|"
    for name in results.speeds:
        yield speed_row(results, name)
    yield ""
    yield "CPU: the processor time that the server was charged for one request, kernel included. The last two"
    yield "columns: what Skitai serves with `threads = 0` and with `threads = 4`, as a multiple of that row."
    measured = (results.servers[name] for name in results.speeds)
    notes = [f"- {server.label}: {server.note}" for server in measured if server.note]
    yield from ["", *notes, ""]
    yield "Targets, each against the fastest row of that peer:"
    yield ""
    for target in SPEED_TARGETS:
        yield speed_target(results, target)
    yield ""


def speed_row(results: Results, name: str, ours: Iterable[str] = (GREENLETS, THREADS)) -> str:
    """Return the row of one server; its last columns compare ``ours`` with it."""
    samples = results.speeds[name]
    rates = [sample.requests_per_second for sample in samples]
    cells = (
        results.servers[name].label,
        results.versions[name],
        f"{statistics.median(rates):,.0f}",
        f"{min(rates):,.0f}-{max(rates):,.0f}",
        f"{statistics.median(sample.p99_ms for sample in samples):,.0f}",
        f"{statistics.median(sample.cpu_us for sample in samples):,.0f}",
        str(sum(sample.errors for sample in samples)),
        *(times(results.ratio(one, name)) for one in ours),
    )
    return f"| {' | '.join(cells)} |"


def ratio_target(text: str, ratio: float | None, *, least: float = 0.0, most: float = math.inf) -> str:
    """Return the line on a target for a ratio, which is None for what was not measured."""
    if ratio is None:
        return f"- {text}: not measured"
    return f"- {text}: measured {times(ratio)}: {verdict(least <= ratio <= most)}"


def speed_target(results: Results, target: SpeedTarget) -> str:
    text = f"- {results.servers[target.ours].label}: at least {target.factor}x {target.peer}: "
    rivals = [name for name in results.speeds if name == target.rows or name.startswith(f"{target.rows}-")]
    ratios = [ratio for name in rivals if (ratio := results.ratio(target.ours, name)) is not None]
    if not ratios:
        return text + "not measured"
    return f"{text}measured {times(min(ratios))}: {verdict(min(ratios) >= target.factor)}"


def memory_section(results: Results) -> Iterator[str]:
    """Yield the lines on resident memory."""
    yield "## Memory"
    yield ""
    yield "| server | idle keep-alive connections | RSS before, MB | RSS after, MB | KB for each connection |"
    yield "|---|---:|---:|---:|---:|"
    for name, idle in results.idle.items():
        yield (
            f"| {results.servers[name].label} | {idle.connections:,} | {megabytes(idle.before)}"
            f" | {megabytes(idle.after)} | {idle.per_connection / 1024:.1f} |"
        )
    yield ""
    yield f"- an idle connection: at most {IDLE_TARGET // 1024} KB: {idle_verdict(results)}"
    yield f"- a worker with the sample app: at most {megabytes(SAMPLE_TARGET)} MB: {sample_verdict(results)}"
    yield ""


def idle_verdict(results: Results) -> str:
    idle = results.idle.get(GREENLETS)
    if idle is None:
        return "not measured"
    return f"measured {idle.per_connection / 1024:.1f} KB: {verdict(idle.per_connection <= IDLE_TARGET)}"


def sample_verdict(results: Results) -> str:
    size = results.sample_memory
    if size is None:
        return "not measured"
    return f"measured {megabytes(size)} MB: {verdict(size <= SAMPLE_TARGET)}"


def failure_section(results: Results) -> Iterator[str]:
    """Yield what could not be measured: the first line of each reason, for the rest may name paths."""
    if results.failures:
        yield "## Not measured"
        yield ""
        for what, reason in results.failures.items():
            yield f"- {what}: {reason.splitlines()[0]}"


def times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}x"


def megabytes(size: int) -> str:
    return f"{size / 1024 / 1024:.1f}"


def verdict(met: bool) -> str:
    return "met" if met else "short"
