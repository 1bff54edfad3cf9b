"""The lines of docs/benchmarks.md on servers that get more than they can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.overload import CAPACITY, COUNTED_SECONDS, PATIENCE_SECONDS, PER_SECOND, ROWS
from benchmarks.report import verdict
from benchmarks.ws_client import percentile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.overload import Outcome, Overload

TARGET = 0.9
_P99 = 0.99


def overload_section(found: Overload) -> Iterator[str]:
    """Yield the lines on overload."""
    yield "## Twice what a server can do"
    yield ""
    yield f"An app that can answer {CAPACITY} requests a second gets {PER_SECOND}, each on a connection of"
    yield f"its own, whether or not others were answered. A client waits {PATIENCE_SECONDS:g} s and leaves."
    yield "Only answers in time are useful. Where a server has no `/ping` of its own, its app answers it."
    yield ""
    head = (
        "| server | version | useful, of the capacity | median ms | p99 ms | 503 a second | after ms, median"
    )
    yield f"{head} | none in time, a second | /ping p99 ms |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|---:|"
    for server in ROWS:
        if server.name in found.outcomes:
            outcome = found.outcomes[server.name]
            yield f"| {server.label} | {found.versions[server.name]} | {' | '.join(_figures(outcome))} |"
    yield ""
    for server in ROWS:
        if server.own and server.name in found.outcomes:
            share = found.outcomes[server.name].share
            met = verdict(share >= TARGET)
            yield f"- {server.label}: at least {TARGET:.0%} of the capacity: measured {share:.0%}: {met}"
    yield ""


def _figures(outcome: Outcome) -> Iterator[str]:
    yield f"{outcome.share:.0%}"
    yield _ms(outcome.useful, 0.5)
    yield _ms(outcome.useful, _P99)
    yield f"{len(outcome.refused) / COUNTED_SECONDS:.0f}"
    yield _ms(outcome.refused, 0.5)
    yield f"{outcome.unanswered / COUNTED_SECONDS:.0f}"
    yield _ms(outcome.pings, _P99)


def _ms(times: list[float], share: float) -> str:
    return f"{percentile(times, share) * 1000:,.0f}" if times else "-"
