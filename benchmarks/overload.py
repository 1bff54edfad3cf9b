"""Twice as many requests as a server can answer, from clients who wait two seconds each.

The load is open: a request is sent when its time has come, whatever became of those before. That is what many
people do. A load like wrk's is closed: it sends no more than the server answers, so nothing ever waits long.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.postgres import on_core
from benchmarks.process import Placement, Running, running, version_of
from benchmarks.progress import failures_noted, say
from benchmarks.servers import gunicorn, skitai, waitress

if TYPE_CHECKING:
    import argparse

    from benchmarks.report import Results

#: Requests a second that ``apps/busy.py`` can answer, how many are sent, and how long each client waits.
CAPACITY = 80
PER_SECOND = 2 * CAPACITY
PATIENCE_SECONDS = 2.0
#: Seconds in which a backlog builds up, and seconds that count after them.
BUILD_UP_SECONDS, COUNTED_SECONDS = 5.0, 10.0
_APP, _BODY = "busy:app", b"done\n"
_REQUEST = b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

ROWS = (
    skitai(threads=4, app=_APP, prefix="overload", body=_BODY),
    skitai(threads=0, app=_APP, prefix="overload", body=_BODY),
    gunicorn(
        "overload-gthread",
        "gthread, 4 threads",
        *("--worker-class", "gthread", "--threads", "4"),
        app=_APP,
        body=_BODY,
    ),
    waitress("overload-waitress", 4, app=_APP, body=_BODY),
)


@dataclass
class Outcome:
    """What became of the requests that counted: seconds for each answer, and how many got none in time."""

    useful: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    pings: list[float] = field(default_factory=list)
    unanswered: int = 0

    @property
    def share(self) -> float:
        """How much of its capacity the server used for answers that somebody still waited for."""
        return len(self.useful) / (CAPACITY * COUNTED_SECONDS)


@dataclass
class Overload:
    """All that one run found out; by the name of the server."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def measured(results: Results, placement: Placement, options: argparse.Namespace) -> Overload:
    """Measure the rows that ``options`` choose; note failures in ``results``."""
    found = Overload()
    for server in ROWS:
        if server.name not in options.only:
            continue
        what = f"overload, {server.label}"
        with failures_noted(results, what), running(server, placement) as process:
            found.versions[server.name] = version_of(server, placement)
            found.outcomes[server.name] = outcome = overload(process, placement)
            say(what, f"{outcome.share:.0%} of the capacity")
    return found


def overload(process: Running, placement: Placement) -> Outcome:
    """Send the server more than it can do."""
    with on_core(placement.client_core):
        return asyncio.run(_send_all(process.port))


async def _send_all(port: int) -> Outcome:
    outcome, discarded = Outcome(), Outcome()
    began = time.monotonic()
    counts_from = began + BUILD_UP_SECONDS
    async with asyncio.TaskGroup() as group:
        for number in range(int(PER_SECOND * (BUILD_UP_SECONDS + COUNTED_SECONDS))):
            due = began + number / PER_SECOND
            await asyncio.sleep(due - time.monotonic())
            kept = outcome if due >= counts_from else discarded
            group.create_task(_ask(port, due, kept))
            if number % (PER_SECOND // 10) == 0:
                group.create_task(_ping(port, kept))
    return outcome


async def _ask(port: int, since: float, outcome: Outcome) -> None:
    """Send one request and note how it ends; ``since`` is when it was due."""
    try:
        async with asyncio.timeout_at(asyncio.get_running_loop().time() + PATIENCE_SECONDS):
            status = await _status(port, b"/")
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        outcome.unanswered += 1
        return
    seconds = time.monotonic() - since
    if status == 200 and seconds <= PATIENCE_SECONDS:
        outcome.useful.append(seconds)
    elif status == 503:
        outcome.refused.append(seconds)
    else:
        outcome.unanswered += 1


async def _ping(port: int, outcome: Outcome) -> None:
    """Ask for what needs no thread; a server that has no such thing says 404, or calls the app."""
    since = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await _status(port, b"/ping")
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        pass
    outcome.pings.append(time.monotonic() - since)


async def _status(port: int, path: bytes) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(_REQUEST % path)
        line = await reader.readuntil(b"\r\n")
        await reader.read()
        return int(line.split()[1])
    finally:
        writer.close()
