"""The measurements of TLS and HTTP/2: handshakes, kept connections, a download, and many streams at once."""

from __future__ import annotations

import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import measure
from benchmarks.postgres import on_core
from benchmarks.process import REPOSITORY, ServerFailedError, running, unverified, version_of
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
#: Connections of one round, and the requests and streams of h2load.
CONNECTIONS, H2_REQUESTS, STREAMS = 1000, 20_000, 32


@dataclass
class Found:
    """All that one run found out, by the name of the row; processor time in us."""

    served: Results
    new: dict[str, list[float]] = field(default_factory=dict)
    resumed: dict[str, list[float]] = field(default_factory=dict)
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
            for server in secured:
                _add_handshakes(found, server, placed, results)
                add_speed(found.served.speeds, server, placed, results, options.seconds)
            for server in streaming:
                _add_streams(found, server, placed, results)
    return found


def _add_handshakes(found: Found, server: Server, placement: Placement, results: Results) -> None:
    """Measure connections that are new or resume a session, and a download."""
    if server.label in results.failures:
        return
    with failures_noted(results, server.label), running(server, placement) as process:
        _connect(process, placement, "new", CONNECTIONS // 10)
        for kind, samples in (("new", found.new), ("resumed", found.resumed)):
            before = measure.cpu_seconds(process)
            hits = _connect(process, placement, kind, CONNECTIONS)
            cost = (measure.cpu_seconds(process) - before) / CONNECTIONS * 1e6
            if kind == "resumed" and hits < CONNECTIONS:
                say(server.label, f"only {hits} of {CONNECTIONS} sessions resumed")
            samples.setdefault(server.name, []).append(cost)
            say(server.label, f"{kind} connection: {cost:,.0f} us CPU")
        with on_core(placement.client_core):
            speed = _download(process)
        found.downloads.setdefault(server.name, []).append(speed)
        say(server.label, f"download: {speed:,.0f} MB/s")


def _connect(process: Running, placement: Placement, kind: str, count: int) -> int:
    answer = subprocess.run(
        [
            *("taskset", "-c", str(placement.client_core), sys.executable),
            *("-m", "benchmarks.tls_client", str(process.port), str(count), kind),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return int(answer.stdout)


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
