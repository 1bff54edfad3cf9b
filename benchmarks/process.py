"""Starts a server on one core, waits until it serves, and ends it."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.servers import APPS, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

START_TIMEOUT = 60.0  # seconds; a cold import on a busy machine takes its time
STOP_TIMEOUT = 5.0
REPOSITORY = Path(__file__).parent.parent
DATABASE_USER = "tester"  # who may do everything in the PostgreSQL that tests use, too


class ServerFailedError(Exception):
    """A server is not installed, did not start, or gave another answer than it should."""


@dataclass(frozen=True)
class Placement:
    """Where things run: the Python of Skitai, that of the peers, the cores of server and client.

    Then what apps ask: the port of the upstream, that of PostgreSQL, the file of SQLite, and the folder with
    the files of the reverse proxy.
    """

    python: Path
    peers_python: Path
    server_core: int
    client_core: int
    upstream_port: int = 0
    database_port: int = 0
    sqlite: Path | None = None
    site: Path | None = None

    @property
    def database(self) -> str:
        """Return what drivers connect to."""
        return f"postgresql://{DATABASE_USER}@127.0.0.1:{self.database_port}/postgres"

    @property
    def variables(self) -> dict[str, str]:
        """Return the environment variables that tell apps whom to ask."""
        return {
            "UPSTREAM": str(self.upstream_port),
            "DATABASE": self.database,
            "SQLITE": str(self.sqlite or ""),
        }

    def cores_of(self, server: Server) -> str:
        """Return the cores for `server`, as taskset(1) takes them."""
        cores = {self.server_core, self.client_core} if server.spreads else {self.server_core}
        return ",".join(map(str, sorted(cores)))

    def python_of(self, server: Server) -> Path:
        """Return the Python that runs `server`."""
        return self.python if server.own else self.peers_python


@dataclass(frozen=True)
class Running:
    """A server that answers: its port and its process group."""

    port: int
    group: int
    tls: bool = False


@contextmanager
def running(server: Server, placement: Placement) -> Iterator[Running]:
    """Run `server` for the length of the block; raises ServerFailedError if it does not come to serve."""
    program = placement.python_of(server).parent / server.command[0]
    if not program.exists():
        raise ServerFailedError("not installed")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        directory = Path(name)
        config = directory / "server.conf"
        names = {
            "port": port,
            "apps": APPS,
            "config": config,
            "folder": name,
            "database_port": placement.database_port,
            "upstream_port": placement.upstream_port,
            "site": placement.site,
            "certificate": directory / "server.crt",
            "key": directory / "server.key",
        }
        if server.tls:
            write_certificate(directory)
        config.write_text(server.config.format(**names))
        arguments = [argument.format(**names) for argument in server.command[1:]]
        log = directory / "output"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["taskset", "-c", placement.cores_of(server), program, *arguments],
                cwd=directory,
                env={
                    **os.environ,
                    "PYTHONPATH": f"{APPS}{os.pathsep}{REPOSITORY}",
                    **placement.variables,
                },
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_until_it_serves(server, process, port, log)
            yield Running(port, process.pid, server.tls)
        finally:
            end_group(process)


@contextmanager
def upstream(placement: Placement) -> Iterator[Placement]:
    """Run the machine that is asked, on the client's core; yield the placement that knows its port."""
    port = free_port()
    process = subprocess.Popen(
        [
            *("taskset", "-c", str(placement.client_core)),
            *(str(placement.python), "-m", "benchmarks.upstream", str(port)),
        ],
        cwd=REPOSITORY,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            try:
                get(port)
                break
            except OSError:
                time.sleep(0.1)
        yield replace(placement, upstream_port=port)
    finally:
        end_group(process)


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_until_it_serves(server: Server, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Return once `server` gives the expected body; raises ServerFailedError if it dies or takes too long."""
    deadline = time.monotonic() + START_TIMEOUT
    problem = "nothing answers"
    while time.monotonic() < deadline and process.poll() is None:
        try:
            status, body = get(port, tls=server.tls)
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
            continue
        if status == 200 and server.body in (None, body):
            return
        problem = f"answers {status} {body[:80]!r}"
        time.sleep(0.1)
    if process.poll() is not None:
        problem = f"ended with status {process.returncode}"
    tail = log.read_text(errors="replace")[-2000:]
    raise ServerFailedError(f"{problem}\n{tail}".strip())


def write_certificate(directory: Path) -> None:
    """Write a certificate for localhost, with a key for ECDSA, to `server.crt` and `server.key`."""
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    files = ("-keyout", directory / "server.key", "-out", directory / "server.crt")
    command = ["openssl", "req", "-x509", *curve, "-subj", "/CN=localhost", *files]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def unverified() -> ssl.SSLContext:
    """Return a context for clients of a server whose certificate nobody knows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def get(port: int, path: str = "/", *, tls: bool = False) -> tuple[int, bytes]:
    """Return status and body of one GET to localhost."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    if tls:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=unverified())
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started: politely at first, then for certain."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def version_of(server: Server, placement: Placement) -> str:
    """Return the installed version of the server's package, or "checkout" if it runs from the source tree."""
    if server.package == "nginx":
        return _nginx_version(server.command[0])
    query = f"import importlib.metadata as m; print(m.version({server.package!r}))"
    answer = subprocess.run(
        [placement.python_of(server), "-c", query], capture_output=True, text=True, check=False, timeout=60
    )
    return answer.stdout.strip() or "checkout"


def _nginx_version(program: str) -> str:
    if not Path(program).exists():
        return "not installed"
    answer = subprocess.run([program, "-v"], capture_output=True, text=True, check=False, timeout=60)
    found = re.search(r"nginx/(\S+)", answer.stderr)
    return found[1] if found else "unknown"
