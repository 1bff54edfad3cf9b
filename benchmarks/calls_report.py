"""The lines of docs/benchmarks.md on `was`."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from benchmarks.calls import CONNECTIONS, median_rate
from benchmarks.report import times, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.calls import Calls
    from benchmarks.report import Results

GREENLETS, THREADS = "fanout-skitai-0", "fanout-skitai-64"
COOPERATIVE, UNMODIFIED = "fanout-skitai-cooperative", "fanout-requests-cooperative"
#: Ours, how many times the peer's requests a second, the peer, and whether our p99 is to be below theirs.
TARGETS = (
    (GREENLETS, 1.5, "fanout-starlette", True),
    (GREENLETS, 7.0, "fanout-gevent", True),
    (COOPERATIVE, 0.95, GREENLETS, False),
    (COOPERATIVE, 7.0, "fanout-gevent", True),
    (UNMODIFIED, 1.3, "fanout-gevent", False),
    ("fanout-async-0", 0.95, GREENLETS, False),
    (THREADS, 4.0, "fanout-gthread", False),
)
OUTBOUND_TARGET = 0.5
WAITING_SECONDS, WAITING_BYTES = 2.0, 60 * 1024
CACHED_TARGET_US = 5.0


def calls_section(results: Results, calls: Calls) -> Iterator[str]:
    """Yield the lines on what `was` is for."""
    yield "## Three calls of 50 ms for each request"
    yield ""
    yield f"A Flask view (with aiohttp: Starlette), {CONNECTIONS} keep-alive connections; the machine that is"
    yield "asked shares wrk's core. gthread asks one after the other, the others all at once. Skitai"
    yield "with requests runs the code that gunicorn's gevent worker runs, as it is: with the same pool of"
    yield "connections. `async def` is the view of the first row as a coroutine."
    yield ""
    yield "| server | req/s, median | min-max | p99 ms | CPU us | errors | Skitai, 0 | Skitai, 64 |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for name in calls.speeds:
        yield _row(results, calls, name)
    yield ""
    for target in TARGETS:
        yield _target(results, calls, *target)
    yield ""
    yield "64 threads whose requests take 50 ms each cannot answer more than 1,280 a second, however little"
    yield "they cost; gthread's 64, with three times 50 ms one after the other, 427."
    yield from ["", "## One outgoing request", "", *_outbound(calls), ""]
    yield from ["## Waiting and kept", "", *_waiting(calls), *_cached(calls), ""]


def _row(results: Results, calls: Calls, name: str) -> str:
    rates = [speed.requests_per_second for speed in calls.speeds[name]]
    cells = (
        results.servers[name].label,
        f"{statistics.median(rates):,.0f}",
        f"{min(rates):,.0f}-{max(rates):,.0f}",
        f"{_p99(calls, name):,.0f}",
        f"{statistics.median(speed.cpu_us for speed in calls.speeds[name]):,.0f}",
        str(sum(speed.errors for speed in calls.speeds[name])),
        times(_ratio(calls, GREENLETS, name)),
        times(_ratio(calls, THREADS, name)),
    )
    return f"| {' | '.join(cells)} |"


def _p99(calls: Calls, name: str) -> float:
    return statistics.median(speed.p99_ms for speed in calls.speeds[name])


def _ratio(calls: Calls, ours: str, theirs: str) -> float | None:
    if ours not in calls.speeds or theirs not in calls.speeds:
        return None
    other = median_rate(calls.speeds[theirs])
    return median_rate(calls.speeds[ours]) / other if other else None


def _target(results: Results, calls: Calls, ours: str, factor: float, theirs: str, quicker: bool) -> str:
    text = f"- {results.servers[ours].label}: at least {factor}x {results.servers[theirs].label}"
    if quicker:
        text += ", p99 below theirs"
    ratio = _ratio(calls, ours, theirs)
    if ratio is None:
        return f"{text}: not measured"
    met = ratio >= factor and (not quicker or _p99(calls, ours) < _p99(calls, theirs))
    tails = f"p99 {_p99(calls, ours):,.0f} against {_p99(calls, theirs):,.0f} ms"
    return f"{text}: measured {times(ratio)}, {tails}: {verdict(met)}"


def _outbound(calls: Calls) -> Iterator[str]:
    if set(calls.outbound) != {"skitai", "aiohttp"}:
        yield "Not measured."
        return
    ours, theirs = calls.outbound_us("skitai"), calls.outbound_us("aiohttp")
    yield f"Processor time over a kept connection, best round: Skitai {ours:,.0f}, aiohttp {theirs:,.0f} us."
    yield ""
    yield (
        f"- at most {OUTBOUND_TARGET}x aiohttp's: measured {times(ours / theirs)}: "
        f"{verdict(ours <= OUTBOUND_TARGET * theirs)}"
    )


def _waiting(calls: Calls) -> Iterator[str]:
    waiting = calls.waiting
    if waiting is None:
        yield "- requests that wait: not measured"
        return
    in_time = waiting.answered == waiting.requests and waiting.seconds <= WAITING_SECONDS
    yield (
        f"- {waiting.requests:,} requests at once, each waiting a second for an upstream, `threads = 0`: all"
        f" answered within {WAITING_SECONDS:g} s: {waiting.answered:,} in {waiting.seconds:.2f} s:"
        f" {verdict(in_time)}"
    )
    yield (
        f"- memory of a request that waits: at most {WAITING_BYTES // 1024} KB: measured"
        f" {waiting.bytes_each / 1024:.1f} KB: {verdict(waiting.bytes_each <= WAITING_BYTES)}"
    )


def _cached(calls: Calls) -> Iterator[str]:
    if calls.cached_us is None:
        yield "- a kept answer: not measured"
        return
    yield (
        f"- a kept answer, from `was.get(url)` to its result: less than {CACHED_TARGET_US:g} us more than a"
        f" look-up in a dict: {calls.cached_us:.1f} us: {verdict(calls.cached_us < CACHED_TARGET_US)}"
    )
