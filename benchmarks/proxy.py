"""The measurements of the reverse proxy: a small reply, a large one, and a hit of the cache."""

from __future__ import annotations

import os
import socket
import statistics
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import measure
from benchmarks.postgres import on_core
from benchmarks.process import running, version_of
from benchmarks.progress import failures_noted, say
from benchmarks.proxy_servers import (
    BODY,
    LARGE,
    LARGE_SIZE,
    NGINX,
    ORIGIN_NGINX,
    ORIGIN_SKITAI,
    SPEED,
)
from benchmarks.report import Results
from benchmarks.rounds import add_speed

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from benchmarks.process import Placement, Running
    from benchmarks.servers import Server

#: What `--only` calls the download.
DOWNLOAD = "proxy-download"
MB = 1024 * 1024
#: Files that are older may be kept by a cache, whose rule of thumb is a tenth of their age.
_AGE_SECONDS = 365 * 86400


@dataclass(frozen=True)
class Download:
    """One download of the large file: how fast it came, and what it took of the proxy's processor."""

    mb_per_second: float
    cpu_ms: float


@dataclass
class Proxies:
    """All that one run found out; downloads by the name of the row."""

    served: Results
    downloads: dict[str, list[Download]] = field(default_factory=dict)

    def speed_of(self, name: str) -> float | None:
        """Return the median of MB/s, or None for what was not measured."""
        samples = self.downloads.get(name)
        return statistics.median(sample.mb_per_second for sample in samples) if samples else None


def measured(results: Results, placement: Placement, options: argparse.Namespace) -> Proxies:
    """Measure what ``options`` choose; note failures in ``results``."""
    chosen = [server for server in SPEED if server.name in options.only]
    large = LARGE if DOWNLOAD in options.only else ()
    served = Results({}, "", servers={server.name: server for server in SPEED}, failures=results.failures)
    found = Proxies(served)
    if not chosen and not large:
        return found
    served.versions = {server.name: version_of(server, placement) for server in (*chosen, *large)}
    with failures_noted(results, "the origin of the reverse proxy"), _origin(placement) as placed:
        for number in range(1, options.rounds + 1):
            say("reverse proxy", f"round {number} of {options.rounds}")
            for server in chosen:
                add_speed(served.speeds, server, placed, results, options.seconds)
            for server in large:
                _add_download(found, server, placed, results)
    return found


@contextmanager
def _origin(placement: Placement) -> Iterator[Placement]:
    """Run who is asked, on the client's core; yield the placement that knows it and its files."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        site = Path(name)
        site.chmod(0o755)
        (site / "index.html").write_bytes(BODY)
        with (site / "large").open("wb") as large:
            for _ in range(LARGE_SIZE // MB):
                large.write(bytes(MB))
        for path in site.iterdir():
            os.utime(path, (time.time() - _AGE_SECONDS,) * 2)
        placed = replace(placement, site=site)
        server = ORIGIN_NGINX if Path(NGINX).exists() else ORIGIN_SKITAI
        with running(server, replace(placed, server_core=placement.client_core)) as process:
            yield replace(placed, upstream_port=process.port)


def _add_download(found: Proxies, server: Server, placement: Placement, results: Results) -> None:
    what = f"{server.label}, download"
    if what in results.failures:
        return
    with failures_noted(results, what), running(server, placement) as process:
        with on_core(placement.client_core):
            _download(process)
            before, began = measure.cpu_seconds(process), time.monotonic()
            _download(process)
            seconds = time.monotonic() - began
        cpu_ms = (measure.cpu_seconds(process) - before) * 1000
        download = Download(LARGE_SIZE / MB / seconds, cpu_ms)
        found.downloads.setdefault(server.name, []).append(download)
        say(what, f"{download.mb_per_second:,.0f} MB/s, {cpu_ms:,.0f} ms CPU")


def _download(process: Running) -> None:
    with socket.create_connection(("127.0.0.1", process.port), timeout=60) as client:
        take_large(client)


def take_large(client: socket.socket) -> None:
    """Take the large file; raises OSError if it does not come whole."""
    client.sendall(b"GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    buffer = bytearray(MB)
    size = 0
    while count := client.recv_into(buffer):
        size += count
    if size < LARGE_SIZE:
        raise ConnectionError(f"only {size} bytes came")
