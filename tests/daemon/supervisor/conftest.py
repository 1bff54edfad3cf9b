"""Servers with several workers."""

import subprocess

import pytest

from processes import TWIST, environment
from serving import patient
from supervised import APP, Supervised
from wire import PATIENCE


@pytest.fixture
def served(tmp_path):
    """Return ``served(keys, ...)``: a running server of the config with these lines in [server]."""
    running = []
    (tmp_path / "served.py").write_text(APP)

    def write(keys, routes="/ = ./served:app"):
        ip = "" if "listen =" in keys else "ip = 127.0.0.1\n"
        text = f"[server]\n{ip}access_log = off\n{keys}\n\n[routes:line]\n{routes}\n"
        (tmp_path / "site.conf").write_text(patient(text))
        return tmp_path / "site.conf"

    def run(*arguments, kind=Supervised, **options):
        server = kind(tmp_path, *arguments, **options)
        server.write = write
        running.append(server)
        return server

    def start(keys="port = 0\nprocesses = 3", **options):
        return run(write(keys), **options)

    start.write, start.running = write, run
    yield start
    for server in running:
        server.end()


@pytest.fixture
def start_broken(tmp_path, served):
    """Return ``start_broken(keys)``: exit status, output and errors of a server that cannot start."""

    def start(keys):
        found = subprocess.run(
            [*TWIST, "skitai", "--config", str(served.write(keys))],
            capture_output=True, text=True, timeout=PATIENCE, env=environment(), cwd=tmp_path,
        )  # fmt: skip
        return found.returncode, found.stdout, found.stderr

    return start
