"""The measurements of databases: views, one query by itself, a map, many that wait for few connections."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.db_servers import MAP, POSTGRESQL, SQLITE, WAITING
from benchmarks.postgres import databases, on_core
from benchmarks.process import get, running, version_of
from benchmarks.progress import failures_noted, say
from benchmarks.report import Results
from benchmarks.rounds import add_speed, cost_us

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from benchmarks.process import Placement

QUERY = "query"  # what `--only` calls the processor time of one
CLIENTS = ("skitai", "skitai-engine", "psycopg", "psycopg-asyncio", "asyncpg-asyncio", "asyncpg-uvloop")
QUERIES = 5000
MAPS = 30
WAITING_REQUESTS = 500
REQUESTS_A_SECOND = 500
PING_SECONDS = 0.01
#: A query that takes a second and begins this much before one that was asked for earlier, overtook it.
OVERTAKEN = 0.5


@dataclass(frozen=True)
class Waited:
    """Requests that wait for a query of a second: answers, overtakings, the last answer, the pings' times."""

    answered: int
    overtaken: int
    seconds: float
    pings_ms: list[float]


@dataclass
class Databases:
    """All that one run found out about databases.

    ``queries`` are microseconds of processor time by client, ``mapped`` the milliseconds of a request that
    asks one database and of one that asks all.
    """

    views: Results
    queries: dict[str, list[float]] = field(default_factory=dict)
    mapped: tuple[float, float] | None = None
    waited: Waited | None = None


def measured(results: Results, placement: Placement, options: argparse.Namespace) -> Databases:
    """Measure what ``options`` choose; note failures in ``results``."""
    chosen = [server for server in (*POSTGRESQL, *SQLITE) if server.name in options.only]
    found = Databases(Results({}, "", servers={server.name: server for server in (*POSTGRESQL, *SQLITE)}))
    if not options.only & {QUERY, MAP.name, WAITING.name, *(server.name for server in chosen)}:
        return found
    found.views.versions = {server.name: version_of(server, placement) for server in chosen}
    with databases(placement) as placed:
        for number in range(1, options.rounds + 1):
            say("databases", f"round {number} of {options.rounds}")
            for server in chosen:
                add_speed(found.views.speeds, server, placed, results, options.seconds)
            for client in CLIENTS if QUERY in options.only else ():
                with failures_noted(results, f"a query, {client}"):
                    cost = query_cost(client, placed)
                    found.queries.setdefault(client, []).append(cost)
                    say(f"a query, {client}", f"{cost:,.0f} us CPU")
        if MAP.name in options.only:
            with failures_noted(results, "a map"), running(MAP, placed) as process:
                found.mapped = _median_ms(process.port, "/one"), _median_ms(process.port, "/map")
                say("a map", f"{found.mapped[0]:.1f} and {found.mapped[1]:.1f} ms")
        if WAITING.name in options.only:
            with failures_noted(results, "requests that wait for a connection"):
                found.waited = waiting(placed)
                say("requests that wait for a connection", f"{found.waited.seconds:.1f} s")
    return found


def query_cost(client: str, placement: Placement) -> float:
    """Return the microseconds of processor time of one query."""
    python = placement.python if client.startswith("skitai") else placement.peers_python
    return cost_us(python, placement, "benchmarks.queries", client, placement.database, str(QUERIES))


def _median_ms(port: int, path: str) -> float:
    get(port, path)  # which connects
    return statistics.median(_milliseconds(port, path) for _ in range(MAPS))


def _milliseconds(port: int, path: str) -> float:
    began = time.perf_counter()
    status, body = get(port, path)
    if status != 200:
        raise ConnectionError(f"{path} answers {status} {body[:80]!r}")
    return (time.perf_counter() - began) * 1000


def waiting(placement: Placement) -> Waited:
    """Send the requests within a second, ask /ping until all are answered."""
    with running(WAITING, placement) as process, on_core(placement.client_core):
        began = time.monotonic()
        with pinging(process.port) as pings:
            answers = asyncio.run(_ask_all(process.port))
        seconds = time.monotonic() - began
    return Waited(len(answers), overtaken(answers), seconds, pings)


@contextmanager
def pinging(port: int) -> Iterator[list[float]]:
    """Ask /ping in a thread; what is yielded grows by the milliseconds of each answer."""
    found: list[float] = []
    done = threading.Event()

    def ask() -> None:
        while not done.wait(PING_SECONDS):
            found.append(_milliseconds(port, "/ping"))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


async def _ask_all(port: int) -> list[tuple[int, float]]:
    """Return the numbers that the view gave to requests, and when their queries began."""
    asked = []
    for _ in range(WAITING_REQUESTS):
        asked.append(asyncio.ensure_future(_ask(port)))
        await asyncio.sleep(1 / REQUESTS_A_SECOND)
    answers = await asyncio.gather(*asked)
    return [answer for answer in answers if answer is not None]


async def _ask(port: int) -> tuple[int, float] | None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /slow HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    if not answer.startswith(b"HTTP/1.1 200 "):
        return None
    number, when = answer.rpartition(b"\r\n\r\n")[2].split()
    return int(number), float(when)


def overtaken(answers: list[tuple[int, float]]) -> int:
    """Return how many queries began well before one that was asked for earlier."""
    latest, count = 0.0, 0
    for _, began in sorted(answers):
        count += began < latest - OVERTAKEN
        latest = max(latest, began)
    return count
