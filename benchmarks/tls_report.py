"""The lines of docs/benchmarks.md on TLS and HTTP/2."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from benchmarks.handshakes import CONNECTIONS, TURNS, ratio
from benchmarks.report import ratio_target
from benchmarks.tls import STREAMS
from benchmarks.tls_servers import H2_HYPERCORN, H2_SKITAI, HTTP2, SKITAI, TLS, UVLOOP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.servers import Server
    from benchmarks.tls import Found

#: The most times uvicorn's processor time that a connection may take; the least times hypercorn's requests.
CONNECTION_TARGET, STREAMS_TARGET = 1.0, 2.0


def tls_section(found: Found) -> Iterator[str]:
    """Yield the lines on TLS."""
    yield "## TLS"
    yield ""
    yield "ECDSA P-256, TLS 1.3. Connections one after the other: handshake, one request, end. All run"
    yield f"at once, in turns of {CONNECTIONS} connections, {TURNS} of them in each round: the median of all."
    yield "A ratio is the median of the ratios within each turn, which the noise of the machine meets alike."
    yield "Then 64 kept-alive connections, and a download of 100 MB by one client."
    yield ""
    yield "| server | version | new, CPU us | resumed, CPU us | kept alive, req/s | CPU us | 100 MB, MB/s |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    yield from (_row(found, server) for server in TLS if server.name in found.served.versions)
    yield ""
    for what, kind in (("a new connection", "new"), ("a resumed one", "resumed")):
        text = f"{what}: at most {CONNECTION_TARGET}x the processor time of {UVLOOP.label}"
        yield ratio_target(text, ratio(found.connections[kind], SKITAI, UVLOOP), most=CONNECTION_TARGET)
    yield ""
    yield "## HTTP/2"
    yield ""
    yield f"h2load, one connection without TLS, {STREAMS} streams."
    yield ""
    yield "| server | version | req/s, median | CPU us |"
    yield "|---|---|---:|---:|"
    yield from (_streams_row(found, server) for server in HTTP2 if server.name in found.served.versions)
    yield ""
    rates = [_rate(found, row) for row in (H2_SKITAI, H2_HYPERCORN)]
    text = f"{H2_SKITAI.label}: at least {STREAMS_TARGET}x {H2_HYPERCORN.label}"
    yield ratio_target(text, rates[0] / rates[1] if all(rates) else None, least=STREAMS_TARGET)
    yield ""


def _row(found: Found, server: Server) -> str:
    speeds = found.served.speeds.get(server.name, [])
    cells = [
        *(found.median(costs, server.name) for costs in found.connections.values()),
        statistics.median(speed.requests_per_second for speed in speeds) if speeds else None,
        statistics.median(speed.cpu_us for speed in speeds) if speeds else None,
        found.median(found.downloads, server.name),
    ]
    return _cells(found, server, cells)


def _rate(found: Found, server: Server) -> float | None:
    samples = found.streams.get(server.name)
    return statistics.median(rate for rate, _ in samples) if samples else None


def _streams_row(found: Found, server: Server) -> str:
    samples = found.streams.get(server.name, [])
    cost = statistics.median(cost for _, cost in samples) if samples else None
    return _cells(found, server, [_rate(found, server), cost])


def _cells(found: Found, server: Server, cells: list[float | None]) -> str:
    start = f"| {server.label} | {found.served.versions[server.name]} |"
    if cells[0] is None:
        cells_text = ["not measured", *["-"] * (len(cells) - 1)]
    else:
        cells_text = ["-" if cell is None else f"{cell:,.0f}" for cell in cells]
    return f"{start} {' | '.join(cells_text)} |"
