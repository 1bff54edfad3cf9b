"""The lines of docs/benchmarks.md on websockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.report import SpeedTarget, megabytes, speed_row, speed_target, verdict
from benchmarks.ws import CONNECTIONS, IDLE_CONNECTIONS, MESSAGE
from benchmarks.ws_rooms import MEMBERS, MEMBERS_OF_TWO, PER_SECOND
from benchmarks.ws_servers import COROUTINE, FUNCTION, PEER, TALK, TALK_FLASK
from benchmarks.ws_servers import MESSAGE as REQDATA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.ws import WebSockets
    from benchmarks.ws_rooms import Spread

TARGETS = tuple(
    SpeedTarget(row.server.name, factor, PEER.server.label, PEER.server.name)
    for row, factor in ((TALK_FLASK, 1.2), (TALK, 1.2), (FUNCTION, 1.2), (COROUTINE, 1.2), (REQDATA, 0.5))
)
#: As columns: what these serve, as a multiple of each row.
OURS = {"DEDICATE": TALK, "coroutine": COROUTINE, "REQDATA": REQDATA}
ROOM_MS = 100
IDLE_BYTES = 20 * 1024


def websockets_section(found: WebSockets) -> Iterator[str]:
    """Yield the lines on websockets."""
    yield "## Echo over websockets"
    yield ""
    yield f"A text of {len(MESSAGE)} bytes over {CONNECTIONS} connections: each sends it again when it has"
    yield "come back. uvicorn runs a raw ASGI app; the version is that of `websockets`. The last columns:"
    yield "what views of Saddle serve with `threads = 0`, as a multiple of that row."
    yield ""
    head = "| server | version | messages/s, median | min-max | p99 ms | CPU us | errors |"
    yield f"{head} {' | '.join(OURS)} |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    ours = [row.server.name for row in OURS.values()]
    for name in found.echoes.speeds:
        yield speed_row(found.echoes, name, ours)
    yield ""
    for target in TARGETS:
        yield speed_target(found.echoes, target)
    yield from ("", "## Rooms", "", *_rooms(found), "", "## Idle websockets", "", *_idle(found), "")


def _rooms(found: WebSockets) -> Iterator[str]:
    within = f"reaches all within {ROOM_MS} ms"
    yield _reached(f"- a room of {MEMBERS:,} members, a message {within}", found.one_by_one, ROOM_MS)
    yield _held(found.held)
    yield _reached(
        f"- {MEMBERS_OF_TWO:,} members of a room of two servers on one core with one Redis: a message",
        found.over_two,
    )


def _reached(text: str, spread: Spread | None, most: float | None = None) -> str:
    if spread is None:
        return f"{text}: not measured"
    figures = f"{spread.median_ms:.0f} ms (median), {spread.slowest_ms:.0f} ms (slowest), {spread.lost} lost"
    if most is None:
        return f"{text} reaches all within {figures}"
    return f"{text}: {figures}: {verdict(spread.median_ms <= most and not spread.lost)}"


def _held(spread: Spread | None) -> str:
    text = f"- {PER_SECOND} messages a second for them"
    if spread is None:
        return f"{text}: not measured"
    total = len(spread.times)
    return (
        f"{text}: of {total * spread.members:,} deliveries {spread.lost} are lost, 99 of 100 take at most"
        f" {spread.p99_ms:.0f} ms: {verdict(not spread.lost and spread.p99_ms <= ROOM_MS)}"
    )


def _idle(found: WebSockets) -> Iterator[str]:
    yield "| server | websockets | RSS before, MB | RSS after, MB | KB for each |"
    yield "|---|---:|---:|---:|---:|"
    for label, idle in found.idle.items():
        yield (
            f"| {label} | {idle.connections:,} | {megabytes(idle.before)} | {megabytes(idle.after)}"
            f" | {idle.per_connection / 1024:.1f} |"
        )
    yield ""
    text = f"- each of {IDLE_CONNECTIONS:,} websockets of Skitai: at most {IDLE_BYTES // 1024} KB"
    own = [idle.per_connection for label, idle in found.idle.items() if label != PEER.server.label]
    if own:
        yield f"{text}: measured {max(own) / 1024:.1f} KB at most: {verdict(max(own) <= IDLE_BYTES)}"
    else:
        yield f"{text}: not measured"
