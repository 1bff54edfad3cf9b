"""The measurements of TLS and HTTP/2: handshakes, kept connections, a download, and many streams at once."""

from __future__ import annotations

import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import measure
from benchmarks.handshakes import Costs, add_handshakes
from benchmarks.postgres import on_core
from benchmarks.process import ServerFailedError, running, unverified, version_of
from benchmarks.progress import failures_noted, say
from benchmarks.proxy import MB, take_large
from benchmarks.proxy_servers import LARGE_SIZE
from benchmarks.report import Results
from benchmarks.rounds import add_speed
from benchmarks.servers import HELLO
from benchmarks.tls_servers import HTTP2, TLS

if TYPE_CHECKING:
    import argparse

    from benchmarks.process import Placement, Running
    from benchmarks.servers import Server

ROWS = (*TLS, *HTTP2)
#: Of h2load.
H2_REQUESTS, STREAMS = 20_000, 32


@dataclass
class Found:
    """All that one run found out, by the name of the row; processor time in us."""

    served: Results
    connections: dict[str, Costs] = field(default_factory=lambda: {"new": {}, "resumed": {}})
    #: MB/s.
    downloads: dict[str, list[float]] = field(default_factory=dict)
    #: Requests a second, and the processor time of one.
    streams: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def median(self, samples: dict[str, list[float]], name: str) -> float | None:
        """Return the median of what was measured of a row, or None."""
        return statistics.median(samples[name]) if name in samples else None


def measured(results: Results, placement: Placement, options: argparse.Namespace) -> Found:
    """Measure what ``options`` choose; note failures in ``results``."""
    found = Found(Results({}, "", servers={row.name: row for row in ROWS}, failures=results.failures))
    secured = [server for server in TLS if server.name in options.only]
    streaming = [server for server in HTTP2 if server.name in options.only]
    chosen = [*secured, *streaming]
    found.served.versions = {server.name: version_of(server, placement) for server in chosen}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        site = Path(name)
        site.chmod(0o755)
        (site / "index.html").write_bytes(HELLO)
        (site / "large").write_bytes(bytes(LARGE_SIZE))
        placed = replace(placement, site=site)
        for number in range(1, options.rounds + 1) if chosen else ():
            say("TLS and HTTP/2", f"round {number} of {options.rounds}")
            if secured:
                add_handshakes(found.connections, secured, placed, results)
            for server in secured:
                _add_download(found, server, placed, results)
                add_speed(found.served.speeds, server, placed, results, options.seconds)
            for server in streaming:
                _add_streams(found, server, placed, results)
    return found


def _add_download(found: Found, server: Server, placement: Placement, results: Results) -> None:
    if server.label in results.failures:
        return
    with failures_noted(results, server.label), running(server, placement) as process:
        with on_core(placement.client_core):
            speed = _download(process)
        found.downloads.setdefault(server.name, []).append(speed)
        say(server.label, f"download: {speed:,.0f} MB/s")


def _download(process: Running) -> float:
    """Return the MB/s of the large answer; raises OSError if it does not come whole."""
    plain = socket.create_connection(("127.0.0.1", process.port), timeout=60)
    with unverified().wrap_socket(plain) as client:
        began = time.monotonic()
        take_large(client)
        seconds = time.monotonic() - began
    return LARGE_SIZE / MB / seconds


def _add_streams(found: Found, server: Server, placement: Placement, results: Results) -> None:
    if server.label in results.failures:
        return
    with failures_noted(results, server.label), running(server, placement) as process:
        if shutil.which("h2load") is None:
            raise ServerFailedError("h2load is not installed (Debian: nghttp2-client)")
        _h2load(process, placement, H2_REQUESTS // 10)
        before = measure.cpu_seconds(process)
        rate = _h2load(process, placement, H2_REQUESTS)
        cost = (measure.cpu_seconds(process) - before) / H2_REQUESTS * 1e6
        found.streams.setdefault(server.name, []).append((rate, cost))
        say(server.label, f"HTTP/2: {rate:,.0f} req/s, {cost:,.0f} us CPU")


def _h2load(process: Running, placement: Placement, requests: int) -> float:
    """Return the requests a second of one connection with many streams, all of which must succeed."""
    url = f"http://127.0.0.1:{process.port}/"
    load = ("h2load", "-n", str(requests), "-c", "1", "-m", str(STREAMS), url)
    answer = subprocess.run(
        ["taskset", "-c", str(placement.client_core), *load],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    rate = re.search(r"([\d.]+) req/s", answer.stdout)
    if rate is None or f"{requests} 2xx" not in answer.stdout:
        raise ServerFailedError(answer.stdout[-500:])
    return float(rate[1])
