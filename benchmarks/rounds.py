"""What is measured once in each round: the speed of a server, and the processor time of a client."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from benchmarks import measure
from benchmarks.process import REPOSITORY, running
from benchmarks.progress import failures_noted, say

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Speed
    from benchmarks.process import Placement
    from benchmarks.report import Results
    from benchmarks.servers import Server


def add_speed(
    speeds: dict[str, list[Speed]],
    server: Server,
    placement: Placement,
    results: Results,
    seconds: int,
    connections: int = measure.CONNECTIONS,
) -> None:
    """Add one round of `server` to `speeds`; one that failed, as `results` says, is not tried again."""
    if server.label in results.failures:
        return
    with failures_noted(results, server.label), running(server, placement) as process:
        speed = measure.speed(process, placement, seconds, connections)
        speeds.setdefault(server.name, []).append(speed)
        say(
            server.label,
            f"{speed.requests_per_second:,.0f} req/s, {speed.cpu_us:,.0f} us CPU, p99 {speed.p99_ms:,.0f} ms,"
            f" {speed.errors} errors",
        )


def cost_us(python: Path, placement: Placement, module: str, *arguments: str) -> float:
    """Return the microseconds of processor time that a module of ours, run by `python`, says at its end."""
    answer = subprocess.run(
        ["taskset", "-c", str(placement.server_core), str(python), "-m", module, *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return float(answer.stdout.splitlines()[-1])
