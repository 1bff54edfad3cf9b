"""The measurements of `was`: the fan-out, an outgoing request, many that wait, an answer that is kept."""

from __future__ import annotations

import asyncio
import statistics
import time
import timeit
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks import measure
from benchmarks.process import running
from benchmarks.rounds import cost_us

if TYPE_CHECKING:
    from benchmarks.measure import Speed
    from benchmarks.process import Placement
    from benchmarks.servers import Server

CONNECTIONS = 256
OUTBOUND_REQUESTS = 3200
IN_FLIGHT = 2000
CACHED_ROUNDS = 20_000
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@dataclass(frozen=True)
class Waiting:
    """2,000 requests that each wait a second: how many were answered with 200, when the last was, memory."""

    requests: int
    answered: int
    seconds: float
    bytes_each: float


@dataclass
class Calls:
    """All that one run found out about calls. `outbound` is in microseconds of processor time by client."""

    speeds: dict[str, list[Speed]] = field(default_factory=dict)
    outbound: dict[str, list[float]] = field(default_factory=dict)
    waiting: Waiting | None = None
    cached_us: float | None = None

    def outbound_us(self, client: str) -> float:
        """Return the best of the rounds: other work on the machine only ever adds."""
        return min(self.outbound[client])


def outbound(client: str, placement: Placement) -> float:
    """Return the microseconds of processor time of one outgoing request."""
    python = placement.python if client == "skitai" else placement.peers_python
    port, count = str(placement.upstream_port), str(OUTBOUND_REQUESTS)
    return cost_us(python, placement, "benchmarks.outbound", client, port, count)


def waiting(server: Server, placement: Placement) -> Waiting:
    """Send 2,000 requests at once, each of which waits for an upstream that takes a second."""
    with running(server, placement) as process:
        asyncio.run(_ask_at_once(process.port, 50))
        before = sum(measure.resident(process))
        answered, seconds, peak = asyncio.run(
            _ask_at_once(process.port, IN_FLIGHT, lambda: sum(measure.resident(process)))
        )
    return Waiting(IN_FLIGHT, answered, seconds, (peak - before) / IN_FLIGHT)


async def _ask_at_once(port: int, count: int, resident=lambda: 0) -> tuple[int, float, int]:
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    began = time.monotonic()
    for _, writer in streams:
        writer.write(REQUEST)

    async def answer(reader: asyncio.StreamReader) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        return head.startswith(b"HTTP/1.1 200 ")

    answers = asyncio.gather(*(asyncio.wait_for(answer(reader), 20) for reader, _ in streams))
    await asyncio.sleep(0.9)
    peak = resident()
    answered = sum(await answers)
    seconds = time.monotonic() - began
    for _, writer in streams:
        writer.close()
    return answered, seconds, peak


def cached() -> float:
    """Return the microseconds that a kept answer takes beyond a look-up in a dict."""
    setup = (
        "from benchmarks.kept import ask\n"
        "kept = {('GET', 'http://h/', b''): 1}; key = ('GET', 'http://h/', b'')"
    )
    rounds = [
        min(timeit.repeat(what, setup, number=CACHED_ROUNDS, repeat=15)) for what in ("ask()", "kept[key]")
    ]
    return (rounds[0] - rounds[1]) / CACHED_ROUNDS * 1e6


def median_rate(speeds: list[Speed]) -> float:
    """Return the median of requests a second."""
    return statistics.median(speed.requests_per_second for speed in speeds)
