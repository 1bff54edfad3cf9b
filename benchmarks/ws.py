"""The measurements of websockets: echoes, one room, rooms over two servers, memory of idle ones."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks import measure
from benchmarks.measure import IdleMemory, Speed
from benchmarks.postgres import on_core
from benchmarks.process import Placement, Running, running, version_of
from benchmarks.progress import failures_noted, say
from benchmarks.report import Results
from benchmarks.ws_client import echo, still_open, websockets
from benchmarks.ws_rooms import Spread, one_server, two_servers
from benchmarks.ws_servers import ECHO, IDLE

if TYPE_CHECKING:
    import argparse

    from benchmarks.ws_servers import Endpoint

#: What `--only` calls the memory of idle websockets, and rooms.
IDLE_WEBSOCKETS, ROOM, ROOM_OF_TWO = "ws-idle", "ws-room", "ws-redis"
PARTS = (IDLE_WEBSOCKETS, ROOM, ROOM_OF_TWO)
CONNECTIONS = 100
MESSAGE = bytes(97 + number % 26 for number in range(100))
IDLE_CONNECTIONS = 5000
SETTLE_SECONDS = 1.0


@dataclass
class WebSockets:
    """All that one run found out about websockets; ``idle`` by the label of the row."""

    echoes: Results
    idle: dict[str, IdleMemory] = field(default_factory=dict)
    one_by_one: Spread | None = None
    held: Spread | None = None
    over_two: Spread | None = None


def measured(results: Results, placement: Placement, options: argparse.Namespace) -> WebSockets:
    """Measure what ``options`` choose; note failures in ``results``."""
    chosen = [row for row in ECHO if row.server.name in options.only]
    found = WebSockets(Results({}, "", servers={row.server.name: row.server for row in ECHO}))
    found.echoes.versions = {row.server.name: version_of(row.server, placement) for row in chosen}
    for number in range(1, options.rounds + 1):
        say("websockets", f"round {number} of {options.rounds}")
        for row in chosen:
            add_echoes(found, row, placement, results, options.seconds)
    for row in IDLE if IDLE_WEBSOCKETS in options.only and not options.quick else ():
        what = f"{row.server.label}, idle websockets"
        with failures_noted(results, what), running(row.server, placement) as process:
            found.idle[row.server.label] = idle = idle_memory(process, row.path)
            say(what, f"{idle.per_connection:,.0f} bytes for each of {idle.connections:,}")
    if ROOM in options.only:
        with failures_noted(results, "a room"):
            found.one_by_one, found.held = one_server(placement)
            say("a room", f"{found.one_by_one.median_ms:.0f} ms, {found.held.lost} lost")
    if ROOM_OF_TWO in options.only:
        with failures_noted(results, "a room over Redis"):
            found.over_two = two_servers(placement)
            say("a room over Redis", f"{found.over_two.median_ms:.0f} ms")
    return found


def idle_memory(process: Running, path: str) -> IdleMemory:
    """Open websockets that send nothing; raises OSError if the server refuses one."""
    with websockets(process.port, path, CONNECTIONS):
        pass  # once all was imported
    time.sleep(SETTLE_SECONDS)
    before = sum(measure.resident(process))
    with websockets(process.port, path, IDLE_CONNECTIONS) as clients:
        time.sleep(SETTLE_SECONDS)
        after = sum(measure.resident(process))
        connections = still_open(clients)
    if not connections:
        raise ConnectionError("the server kept no websocket open")
    return IdleMemory(before, after, connections)


def add_echoes(
    found: WebSockets, row: Endpoint, placement: Placement, results: Results, seconds: int
) -> None:
    """Add one round of echoes; a row that failed, as ``results`` says, is not tried again."""
    server = row.server
    what = f"echoes, {server.label}"
    if what in results.failures:
        return
    with failures_noted(results, what), running(server, placement) as process:
        speed = echo_speed(process, row.path, placement, seconds)
        found.echoes.speeds.setdefault(server.name, []).append(speed)
        say(
            what,
            f"{speed.requests_per_second:,.0f} messages/s, {speed.cpu_us:,.1f} us CPU,"
            f" p99 {speed.p99_ms:,.1f} ms",
        )


def echo_speed(process: Running, path: str, placement: Placement, seconds: float) -> Speed:
    """Warm the server up, then load it for ``seconds``: each connection sends again what came back."""
    with on_core(placement.client_core):
        with websockets(process.port, path, CONNECTIONS) as clients:
            echo(clients, MESSAGE, measure.WARM_UP_SECONDS)
        with websockets(process.port, path, CONNECTIONS) as clients:
            before = measure.cpu_seconds(process)
            echoes = echo(clients, MESSAGE, seconds)
            cpu = measure.cpu_seconds(process) - before
    return Speed(echoes.per_second, echoes.p99_ms, 0, cpu * 1e6 / len(echoes.times))
