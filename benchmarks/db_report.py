"""The lines of docs/benchmarks.md on databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.db import WAITING_REQUESTS
from benchmarks.db_servers import LIMIT, POSTGRESQL, SQLITE
from benchmarks.postgres import MEMBERS
from benchmarks.report import SpeedTarget, speed_row, speed_target, times, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.db import Databases
    from benchmarks.report import Results
    from benchmarks.servers import Server

TARGETS = tuple(
    SpeedTarget(ours, factor, peer, rows)
    for ours in ("db-plain-0", "db-saddle-0", "db-skitai-0")
    for factor, peer, rows in (
        (2.0, "Flask and psycopg's pool under gunicorn, 4 threads", "db-gthread-4"),
        (2.0, "Flask and psycopg's pool under gunicorn, 64 threads", "db-gthread-64"),
        (1.0, "Starlette and asyncpg's pool, asyncio, in turn", "db-starlette-asyncio-in_turn"),
        (1.0, "Starlette and asyncpg's pool, asyncio, at once", "db-starlette-asyncio-at_once"),
        (0.8, "Starlette and asyncpg's pool, uvloop, in turn", "db-starlette-uvloop-in_turn"),
        (0.8, "Starlette and asyncpg's pool, uvloop, at once", "db-starlette-uvloop-at_once"),
    )
)
SQLITE_TARGETS = tuple(
    SpeedTarget(ours, 0.7, "Flask and sqlite3 under gunicorn gthread", "sqlite-gthread")
    for ours in ("sqlite-skitai-0", "sqlite-skitai-4")
)
MAP_TARGET_MS, PING_TARGET_MS = 20, 20


def databases_section(found: Databases) -> Iterator[str]:
    """Yield the lines on databases."""
    yield from (
        "## Three SELECTs of a row of PostgreSQL for each request",
        "",
        "64 keep-alive connections; PostgreSQL shares wrk's core. psycopg and asyncpg take a connection from",
        "their pool for a view that asks three times in turn; at once: three tasks take one each. Skitai",
        "asks for all three, then waits. The version is that of the driver, or of Skitai. The last columns:",
        "what Skitai serves with `threads = 0`, as a multiple of that row.",
        "",
        *_views(found.views, POSTGRESQL, {"plain, 0": "db-plain-0", "Flask, 0": "db-skitai-0"}, TARGETS),
        "## One query of PostgreSQL",
        "",
        *_queries(found),
        "",
        "## A map, and waiting for a connection",
        "",
        *_map(found),
        *_waiting(found),
        "",
        "## One SELECT of a row of SQLite for each request",
        "",
        *_views(
            found.views,
            SQLITE,
            {"Flask, 0": "sqlite-skitai-0", "Flask, 4": "sqlite-skitai-4"},
            SQLITE_TARGETS,
        ),
    )


def _views(
    results: Results, servers: Sequence[Server], ours: dict[str, str], targets: Sequence[SpeedTarget]
) -> Iterator[str]:
    """Yield a table, whose last columns compare rows of ``ours`` with each, by title; then the targets."""
    titles = " | ".join(ours)
    yield f"| server | version | req/s, median | min-max | p99 ms | CPU us | errors | {titles} |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|---:|"
    measured = [server.name for server in servers if server.name in results.speeds]
    yield from (speed_row(results, name, ours.values()) for name in measured)
    yield ""
    yield from (speed_target(results, target) for target in targets)
    yield ""


def _queries(found: Databases) -> Iterator[str]:
    if not found.queries:
        yield "Not measured."
        return
    best = {client: min(costs) for client, costs in found.queries.items()}
    figures = ", ".join(f"{client} {cost:,.0f}" for client, cost in best.items())
    yield "Processor time of a row by key over one connection, one query after the other, best round, in"
    yield f"microseconds: {figures}."
    if "skitai" not in best:
        return
    yield ""
    for client, cost in best.items():
        if client != "skitai":
            yield f"- beside {client}: {times(best['skitai'] / cost)}"


def _map(found: Databases) -> Iterator[str]:
    text = f"- a map over {MEMBERS} databases with `pg_sleep(0.05)`, at most {MAP_TARGET_MS} ms above one:"
    if found.mapped is None:
        yield f"{text} not measured"
        return
    one, all_of_them = found.mapped
    more = all_of_them - one
    yield f"{text} {all_of_them:.1f} against {one:.1f} ms: {verdict(more <= MAP_TARGET_MS)}"


def _waiting(found: Databases) -> Iterator[str]:
    text = f"- {WAITING_REQUESTS} requests that wait for a `pg_sleep(1)` each through a pool of {LIMIT}:"
    waited = found.waited
    if waited is None:
        yield f"{text} not measured"
        return
    met = waited.answered == WAITING_REQUESTS and not waited.overtaken
    yield (
        f"{text} {waited.answered} answered in {waited.seconds:.1f} s, {waited.overtaken} overtook others:"
        f" {verdict(met)}"
    )
    slowest = max(waited.pings_ms)
    yield (
        f"- /ping meanwhile, within {PING_TARGET_MS} ms: the slowest of {len(waited.pings_ms):,}"
        f" {slowest:.1f} ms: {verdict(slowest <= PING_TARGET_MS)}"
    )
