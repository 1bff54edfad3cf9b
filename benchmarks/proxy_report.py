"""The lines of docs/benchmarks.md on the reverse proxy."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from benchmarks.measure import CONNECTIONS
from benchmarks.proxy_servers import CACHE, LARGE, LARGE_SIZE, PASSING, SIZE, SKITAI, SPEED, STATIC, TWISTED
from benchmarks.report import ratio_target, speed_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.proxy import Proxies
    from benchmarks.servers import Server

#: Ours, how many times the peer's requests a second, and the peer.
TARGETS = ((SKITAI, 4.0, TWISTED), (SKITAI, 0.3, PASSING), (CACHE, 0.8, STATIC))
DOWNLOAD_TARGET = 0.5


def proxy_section(found: Proxies) -> Iterator[str]:
    """Yield the lines on the reverse proxy."""
    served = found.served
    yield "## Reverse proxy"
    yield ""
    yield f"A reply of {SIZE} bytes, {CONNECTIONS} keep-alive connections. The member (nginx, if it is"
    yield "installed) shares wrk's core. ReverseProxyResource opens a connection to it for each request."
    yield ""
    yield "| server | version | req/s, median | min-max | p99 ms | CPU us | errors | Skitai, / = @up |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|"
    for server in SPEED:
        if server.name in served.speeds:
            yield speed_row(served, server.name, (SKITAI.name,))
        elif server.name in served.versions:
            yield f"| {server.label} | {served.versions[server.name]} | not measured | - | - | - | - | - |"
    yield ""
    for ours, factor, peer in TARGETS:
        ratio = served.ratio(ours.name, peer.name)
        yield ratio_target(f"{ours.label}: at least {factor}x {peer.label}", ratio, least=factor)
    yield ""
    yield f"A download of {LARGE_SIZE // 2**20} MB, by one client."
    yield ""
    yield "| server | version | MB/s, median | CPU ms |"
    yield "|---|---|---:|---:|"
    yield from (_download_row(found, server) for server in LARGE if server.name in served.versions)
    yield ""
    ours, theirs = (found.speed_of(server.name) for server in (SKITAI, PASSING))
    text = f"{SKITAI.label}: at least {DOWNLOAD_TARGET}x {PASSING.label}"
    yield ratio_target(text, ours / theirs if ours and theirs else None, least=DOWNLOAD_TARGET)
    yield ""


def _download_row(found: Proxies, server: Server) -> str:
    start = f"| {server.label} | {found.served.versions[server.name]} |"
    speed = found.speed_of(server.name)
    if speed is None:
        return f"{start} not measured | - |"
    cpu = statistics.median(sample.cpu_ms for sample in found.downloads[server.name])
    return f"{start} {speed:,.0f} | {cpu:,.0f} |"
