"""The command line: measures everything in turn and writes the report."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import apart, calls, db, mail, measure, overload, proxy, tls, workers, ws
from benchmarks.calls_report import calls_section
from benchmarks.db_report import databases_section
from benchmarks.db_servers import MAP, POSTGRESQL, SQLITE
from benchmarks.db_servers import WAITING as DB_WAITING
from benchmarks.frameworks import framework_section, measured
from benchmarks.overload_report import overload_section
from benchmarks.process import REPOSITORY, Placement, running, upstream, version_of
from benchmarks.progress import failures_noted, say
from benchmarks.proxy_report import proxy_section
from benchmarks.proxy_servers import SPEED as PROXIES
from benchmarks.report import Results, render
from benchmarks.rounds import add_speed
from benchmarks.servers import FANOUT, FRAMEWORKS, IDLE, SAMPLE, SPEED, WAITING, Server
from benchmarks.tls_report import tls_section
from benchmarks.workers_report import workers_section
from benchmarks.ws_report import websockets_section
from benchmarks.ws_servers import ECHO

if TYPE_CHECKING:
    from collections.abc import Sequence

DATABASES = (*POSTGRESQL, *SQLITE, MAP, DB_WAITING)
WEBSOCKETS = tuple(row.server for row in ECHO)
ROWS = (
    *(*SPEED, *FRAMEWORKS, SAMPLE, *FANOUT, WAITING),
    *(*DATABASES, *WEBSOCKETS, *overload.ROWS, *workers.ROWS, *PROXIES, *tls.ROWS),
)
NAMES = {server.name: server for server in ROWS}
#: What else `--only` may name.
OUTBOUND, KEPT, APART, FRAMEWORK = "outbound", "kept", "apart", "framework"
PARTS = (OUTBOUND, KEPT, APART, FRAMEWORK, mail.MAIL, db.QUERY, proxy.DOWNLOAD, *ws.PARTS)
REPORT = REPOSITORY / "docs" / "benchmarks.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks; return 0, 1 if something could not be measured, or 2 for a wrong command line."""
    options = parse(arguments)
    # As an exception, so that a benchmark told to end does not leave its server behind.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    cores = sorted(os.sched_getaffinity(0))
    placement = Placement(Path(sys.executable), options.peers_python, cores[0], cores[-1])
    limit = measure.allow_many_files()
    results = Results(environment(placement), conditions(options), servers=NAMES)
    chosen = [server for server in (*SPEED, *FRAMEWORKS) if server.name in options.only]
    results.versions = {server.name: version_of(server, placement) for server in chosen}
    for number in range(1, options.rounds + 1):
        print(f"round {number} of {options.rounds}", file=sys.stderr)
        for server in chosen:
            add_speed(results.speeds, server, placement, results, options.seconds)
    for server in IDLE:
        if server.name in options.only and not options.quick:
            measure_idle(results, server, placement, limit)
    if SAMPLE.name in options.only:
        measure_sample(results, placement)
    found = measure_calls(results, placement, options)
    found_of_databases = db.measured(results, placement, options)
    found_of_websockets = ws.measured(results, placement, options)
    found_of_overload = overload.measured(results, placement, options)
    found_of_mail = mail.measured(results, placement, options)
    found_of_workers = workers.measured(results, placement, options)
    found_of_proxies = proxy.measured(results, placement, options)
    found_of_tls = tls.measured(results, placement, options)
    parts = apart.measured() if APART in options.only else None
    framework = measured() if FRAMEWORK in options.only else None
    sections = (
        *calls_section(results, found),
        *databases_section(found_of_databases),
        *websockets_section(found_of_websockets),
        *overload_section(found_of_overload),
        *mail.mail_section(found_of_mail),
        *workers_section(found_of_workers),
        *proxy_section(found_of_proxies),
        *tls_section(found_of_tls),
        *apart.apart_section(parts, results),
        *framework_section(framework),
    )
    publish(render(results, sections), options.output)
    return 1 if results.failures else 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options; ends the process with status 2 and one line for wrong ones or a missing tool."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure Skitai beside its peers."
    )
    parser.add_argument("--rounds", type=positive, default=3, help="how often each server is measured (3)")
    parser.add_argument("--seconds", type=positive, default=4, help="how long wrk loads it each time (4)")
    parser.add_argument("--only", help=f"names, with commas between, out of {', '.join((*NAMES, *PARTS))}")
    parser.add_argument("--quick", action="store_true", help="one round of one second, no idle connections")
    parser.add_argument(
        "--peers-python",
        type=Path,
        default=Path(sys.executable),
        help="the Python that has the peers (this one)",
    )
    parser.add_argument("--output", type=Path, help="the report (docs/benchmarks.md; printed if partial)")
    options = parser.parse_args(arguments)
    partial = options.only is not None or options.quick
    known = (*NAMES, *PARTS)
    options.only = set(options.only.split(",")) if options.only else set(known)
    if unknown := options.only - set(known):
        parser.error(f"--only: nothing is called {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if not options.peers_python.exists():
        parser.error(f"--peers-python: {options.peers_python} does not exist")
    for tool in ("wrk", "taskset"):
        if shutil.which(tool) is None:
            parser.error(f"{tool} is needed and not installed (Debian packages wrk and util-linux)")
    if options.quick:
        options.rounds = options.seconds = 1
    if options.output is None and not partial:
        options.output = REPORT
    # The servers run elsewhere. Not resolved: a virtual environment's Python is a link out of it.
    options.peers_python = options.peers_python.absolute()
    return options


def positive(text: str) -> int:
    """Return the whole number above 0 in `text`; raises ValueError for anything else."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def measure_idle(results: Results, server: Server, placement: Placement, limit: int) -> None:
    """Add the memory of the server's idle connections to the results."""
    what = f"{server.label}, idle connections"
    with failures_noted(results, what), running(server, placement) as process:
        idle = measure.idle_memory(process, placement, limit)
        results.idle[server.name] = idle
        say(what, f"{idle.per_connection:,.0f} bytes for each of {idle.connections:,}")


def measure_sample(results: Results, placement: Placement) -> None:
    """Add the memory of a worker that serves the sample app to the results."""
    with failures_noted(results, SAMPLE.label), running(SAMPLE, placement) as process:
        results.sample_memory = measure.worker_memory(process)
        say(SAMPLE.label, f"{results.sample_memory / 1024 / 1024:.1f} MB")


def measure_calls(results: Results, placement: Placement, options: argparse.Namespace) -> calls.Calls:
    """Return what `was` does: each round, then what is measured once."""
    found = calls.Calls()
    with upstream(placement) as placed:
        for number in range(1, options.rounds + 1):
            print(f"calls, round {number} of {options.rounds}", file=sys.stderr)
            for server in FANOUT:
                if server.name in options.only:
                    add_speed(found.speeds, server, placed, results, options.seconds, calls.CONNECTIONS)
            for client in ("skitai", "aiohttp") if OUTBOUND in options.only else ():
                with failures_noted(results, f"outgoing requests, {client}"):
                    cost = calls.outbound(client, placed)
                    found.outbound.setdefault(client, []).append(cost)
                    say(f"outgoing request, {client}", f"{cost:,.0f} us CPU")
        if WAITING.name in options.only:
            with failures_noted(results, "requests that wait"):
                found.waiting = calls.waiting(WAITING, placed)
                say("requests that wait", str(found.waiting))
    if KEPT in options.only:
        found.cached_us = calls.cached()
        say("a kept answer", f"{found.cached_us:.1f} us more than a dict")
    return found


def conditions(options: argparse.Namespace) -> str:
    """Return the sentence on what was measured."""
    return (
        f"{measure.CONNECTIONS} keep-alive connections, access log off, "
        f"interleaved rounds of {options.seconds} s each: {options.rounds}."
    )


def environment(placement: Placement) -> dict[str, str]:
    """Return what a reader must know of the machine, without its name."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    cores = f"server on core {placement.server_core}, wrk on core {placement.client_core}"
    if placement.server_core == placement.client_core:
        cores = "server and wrk share the only core"
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "CPU": f"{model[1] if model else platform.machine()} ({cores})",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "load average at the start": f"{os.getloadavg()[0]:.1f}",
    }


def publish(report: str, output: Path | None) -> None:
    """Write the report to `output`, or print it if there is none."""
    if output is None:
        print(report)
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(report)
        print(f"wrote {output}", file=sys.stderr)
