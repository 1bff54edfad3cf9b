"""A server on a terminal: who debugs an app stops in it and types."""

import os
import pty
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from select import select

import pytest

from processes import environment
from serving import PATIENCE, config_text
from wire import ask

APP = """
def app(environ, start_response):
    answer = 41
    breakpoint()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(answer).encode()]
"""


class Terminal:
    """A terminal with a program on it."""

    def __init__(self, command):
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment(), start_new_session=True
        )
        os.close(slave)
        self.shown = ""

    def wait_for(self, text):
        """Read on until ``text`` is shown; return what stood before it since the last time."""
        while text not in self.shown:
            assert select([self._master], [], [], PATIENCE)[0], f"no {text!r} in {self.shown!r}"
            self.shown += os.read(self._master, 65536).decode(errors="replace")
        before, _, self.shown = self.shown.partition(text)
        return before

    def type(self, line):
        os.write(self._master, line.encode() + b"\n")

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)
        os.close(self._master)


@pytest.fixture
def terminal(tmp_path, threads):
    (tmp_path / "stops.py").write_text(APP)
    config = tmp_path / "tested.conf"
    config.write_text(config_text({"/": f"{tmp_path}/stops:app"}, threads=threads))
    terminal = Terminal([sys.executable, "-m", "twisted", "skitai", "--config", str(config)])
    yield terminal
    terminal.stop()


def test_logs_in_files(tmp_path):
    """Where logs are files, a terminal shows where, instead of nothing at all."""
    config = tmp_path / "tested.conf"
    config.write_text(f"[global]\nlog_path = {tmp_path}/log\n[server]\nip = 127.0.0.1\nport = 0\n")
    terminal = Terminal([sys.executable, "-m", "twisted", "skitai", "--config", str(config)])
    try:
        terminal.wait_for(f"the logs are in {tmp_path}/log/instances/tested\r\n")
    finally:
        terminal.stop()


def test_breakpoint(terminal):
    """``breakpoint()`` stops in the app; what is typed is read, and the app goes on with it."""
    terminal.wait_for("Skitai serves")
    port = terminal.wait_for("\n").rstrip("/\r").rpartition(":")[2]
    with ThreadPoolExecutor() as pool:
        response = pool.submit(ask, int(port), "/")
        terminal.wait_for("(Pdb) ")
        terminal.type("answer = answer + 1")
        terminal.wait_for("(Pdb) ")
        terminal.type("continue")
        assert response.result(PATIENCE).body == b"42"
