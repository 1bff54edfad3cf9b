"""The measurements: requests a second, memory of an idle connection, memory of an idle worker."""

from __future__ import annotations

import json
import os
import re
import resource
import select
import socket
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.process import Placement, Running, get

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS = 64
WARM_UP_SECONDS = 1
IDLE_CONNECTIONS = 10_000
# One source address has fewer than 30,000 ports, and the runs before may have left some in TIME_WAIT.
CONNECTIONS_PER_ADDRESS = 5_000
SPARE_FILES = 200
IDLE_TIMEOUT = 50  # seconds; after 60 twisted.web closes the first of them
SETTLE_SECONDS = 1
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
WRK_RESULT = Path(__file__).parent / "wrk_result.lua"


@dataclass(frozen=True)
class Load:
    """What one run of wrk counted. An error is a failed connect, read or write, a time-out, a 4xx or 5xx."""

    requests: int
    requests_per_second: float
    p99_ms: float
    errors: int


@dataclass(frozen=True)
class Speed:
    """One round of one server; `cpu_us` is the processor time it spent on each request, in microseconds."""

    requests_per_second: float
    p99_ms: float
    errors: int
    cpu_us: float


@dataclass(frozen=True)
class IdleMemory:
    """Resident bytes of a server before and after clients connected, and how many of them stayed open."""

    before: int
    after: int
    connections: int

    @property
    def per_connection(self) -> float:
        """Bytes for each connection that stayed open."""
        return (self.after - self.before) / self.connections


def speed(server: Running, placement: Placement, seconds: int, connections: int = CONNECTIONS) -> Speed:
    """Warm the server up, then load it for `seconds` with that many keep-alive connections."""
    # With many connections it takes a while until each has been answered once, and its upstreams found.
    warm_up = WARM_UP_SECONDS * (1 + connections // 64)
    wrk(server.port, placement.client_core, warm_up, connections, server.tls)
    before = cpu_seconds(server)
    load = wrk(server.port, placement.client_core, seconds, connections, server.tls)
    cpu_us = (cpu_seconds(server) - before) * 1e6 / max(load.requests, 1)
    return Speed(load.requests_per_second, load.p99_ms, load.errors, cpu_us)


def wrk(port: int, core: int, seconds: int, connections: int = CONNECTIONS, tls: bool = False) -> Load:
    """Run wrk once; raises subprocess.SubprocessError if it fails or hangs."""
    load = [
        "wrk",
        "--threads",
        "1",
        "--connections",
        str(connections),
        "--timeout",
        "10s",
        "--duration",
        f"{seconds}s",
        "--latency",
    ]
    url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/"
    answer = subprocess.run(
        ["taskset", "-c", str(core), *load, "--script", WRK_RESULT, url],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 30,
    )
    return Load(**json.loads(answer.stdout.splitlines()[-1]))


def allow_many_files() -> int:
    """Raise the limit of open files, for this process and the servers, and return the new one."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def idle_memory(server: Running, placement: Placement, limit: int) -> IdleMemory:
    """Open 10,000 connections that ask once and stay; fewer if `limit` open files or the time require it.

    Raises OSError if the server refuses a connection, drops it before it answered, or keeps none open.
    """
    wrk(server.port, placement.client_core, WARM_UP_SECONDS)
    time.sleep(SETTLE_SECONDS)
    before = sum(resident(server))
    with ExitStack() as opened:
        clients = []
        deadline = time.monotonic() + IDLE_TIMEOUT
        for number in range(min(IDLE_CONNECTIONS, limit - SPARE_FILES)):
            if time.monotonic() > deadline:
                break
            clients.append(opened.enter_context(connected_client(server.port, number)))
        time.sleep(SETTLE_SECONDS)
        after = sum(resident(server))
        connections = still_open(clients)
    if not connections:
        raise ConnectionError("the server kept no connection open")
    return IdleMemory(before, after, connections)


def connected_client(port: int, number: int) -> socket.socket:
    """Return a connection that has had one request answered."""
    source = f"127.0.0.{2 + number // CONNECTIONS_PER_ADDRESS}"
    client = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0))
    try:
        client.sendall(REQUEST)
        read_answer(client)
    except BaseException:
        client.close()
        raise
    return client


def read_answer(client: socket.socket) -> None:
    """Read one answer whose body ends with a newline, as that of the hello app does."""
    received = b""
    while not (b"\r\n\r\n" in received and received.endswith(b"!\n")):
        chunk = client.recv(65536)
        if not chunk:
            raise ConnectionError("the server closed the connection before it answered")
        received += chunk


def still_open(clients: list[socket.socket]) -> int:
    """Count the idle connections that the server has not closed: a closed one is readable."""
    poll = select.poll()
    for client in clients:
        poll.register(client, select.POLLIN)
    return len(clients) - len(poll.poll(0))


def worker_memory(server: Running) -> int:
    """Return the resident bytes of the worker, the largest process of the server, after a few requests."""
    for _ in range(10):
        get(server.port)
    time.sleep(SETTLE_SECONDS)
    return max(resident(server))


def resident(server: Running) -> list[int]:
    """Return the resident bytes of each process of the server."""
    return _rollups(server, "Rss")


def proportional(server: Running) -> int:
    """Return the bytes of all processes of the server, where what several share is divided among them."""
    return sum(_rollups(server, "Pss"))


def _rollups(server: Running, name: str) -> list[int]:
    # Unlike statm, whose counters may lag by pages for each core, smaps_rollup is exact.
    figure = re.compile(rf"^{name}:\s+(\d+) kB", re.MULTILINE)
    rollups = files_of_processes(server, "smaps_rollup")
    return [1024 * int(figure.findall(rollup)[0]) for rollup in rollups]


def cpu_seconds(server: Running) -> float:
    """Return the processor time, user and system, that the server's processes have used so far."""
    # The name in brackets, which may hold spaces, is the second field; proc(5) counts from 1.
    fields = [stat.rpartition(")")[2].split() for stat in files_of_processes(server, "stat")]
    return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK")


def scheduled_seconds(server: Running) -> float:
    """Return the same, but of those threads alone that still run, and not in ticks of 10 ms."""
    # The first field of schedstat counts nanoseconds (Documentation/scheduler/sched-stats.rst).
    return sum(int(one.split()[0]) for one in files_of_processes(server, "task/*/schedstat")) / 1e9


def files_of_processes(server: Running, name: str) -> Iterator[str]:
    """Yield what the files /proc/PID/`name`, a pattern, say of each process in the server's process group."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(entry.name)) == server.group:
                for file in entry.glob(name):
                    yield file.read_text()
        except (ProcessLookupError, FileNotFoundError):
            continue  # it ended meanwhile
