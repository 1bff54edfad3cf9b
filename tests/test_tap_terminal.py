"""A server on a terminal: who debugs an app stops in it and types."""

import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from concurrent.futures import ThreadPoolExecutor
from select import select

import pytest

from processes import environment
from serving import PATIENCE, config_text, eventually
from wire import ask

APP = """
def app(environ, start_response):
    answer = 41
    if environ["PATH_INFO"] == "/":
        answer += int(environ["QUERY_STRING"] or 0)
        breakpoint()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(answer).encode()]
"""


_LOG_LINE = r"\d{4}(\.\d\d){2} (\d\d:){2}\d\d [^\n]*\n"


class Terminal:
    """A terminal with a program on it."""

    def __init__(self, command):
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.shown = ""
        self._port = None

    def port(self):
        """Wait until the server on it serves; return its port."""
        if self._port is None:
            self.wait_for("Skitai serves")
            self._port = int(self.wait_for("\n").rstrip("/\r").rpartition(":")[2])
        return self._port

    def prompts(self):
        """Wait for the debugger's prompt, in the middle of which a line of the log may be written."""
        return self.wait_for("(Pdb) ", _LOG_LINE)

    def wait_for(self, text, besides=None):
        """Read on until ``text`` is shown; return what stood before it since the last time.

        What matches ``besides``, if given, is as if it were not there.
        """
        while text not in (shown := re.sub(besides, "", self.shown) if besides else self.shown):
            assert select([self._master], [], [], PATIENCE)[0], f"no {text!r} in {self.shown!r}"
            self.shown += os.read(self._master, 65536).decode(errors="replace")
        self.shown = shown
        before, _, self.shown = self.shown.partition(text)
        return before

    def type(self, line):
        os.write(self._master, line.encode() + b"\n")

    def press(self, keys):
        os.write(self._master, keys)

    def ends(self):
        """Wait for the end, and read what is shown meanwhile; return the exit status."""
        while select([self._master], [], [], PATIENCE)[0]:
            try:
                self.shown += os.read(self._master, 65536).decode(errors="replace")
            except OSError:  # the last one has closed it
                break
        return self.process.wait(PATIENCE)

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)
        os.close(self._master)


@pytest.fixture(params=["no", "yes"], ids=["plain", "reloader"], scope="module")
def terminals(tmp_path_factory, threads, request):
    """The terminal with the server that runs, or none, and how to start one."""
    folder = tmp_path_factory.mktemp("terminal")
    (folder / "stops.py").write_text(APP)
    config = folder / "tested.conf"
    keys = {"threads": threads, "reloader": request.param, "shutdown_timeout": 1000}
    config.write_text(config_text({"/": f"{folder}/stops:app"}, **keys))
    started = []

    def start():
        if not started or started[-1].process.poll() is not None:
            started.append(Terminal([sys.executable, "-m", "twisted", "skitai", "--config", str(config)]))
        return started[-1]

    yield start
    for terminal in started:
        terminal.stop()


@pytest.fixture
def terminal(terminals):
    """The server of the test before this one, unless that has ended it."""
    return terminals()


def test_logs_in_files(tmp_path):
    """Where logs are files, a terminal shows where, instead of nothing at all; warnings are in both."""
    config = tmp_path / "tested.conf"
    config.write_text(f"[global]\nlog_path = {tmp_path}/log\n[server]\nip = 127.0.0.1\nport = 0\n")
    warning = "[server] certfile: has no effect"
    with config.open("a") as file:
        file.write("certfile = no.pem\n")
    log = tmp_path / "log/instances/tested/server.log"
    terminal = Terminal([sys.executable, "-m", "twisted", "skitai", "--config", str(config)])
    try:
        terminal.wait_for(f"the logs are in {log.parent}\r\n")
        terminal.wait_for(warning)
        eventually(lambda: log.exists() and "Mounted: " in log.read_text(), "the log")
        assert re.search(rf"^\S+ \S+ \[warning\] \S+ {re.escape(warning)}", log.read_text(), re.MULTILINE)
    finally:
        terminal.stop()


@pytest.fixture
def port(terminal):
    return terminal.port()


def test_breakpoint(terminal, port):
    """``breakpoint()`` stops in the app; what is typed is read, and the app goes on with it."""
    with ThreadPoolExecutor() as pool:
        response = pool.submit(ask, port, "/")
        terminal.prompts()
        terminal.type("answer = answer + 1")
        terminal.prompts()
        terminal.type("continue")
        assert response.result(PATIENCE).body == b"42"


def test_others_are_served(terminal, port):
    """Others are answered while one request is at the prompt; a second one that stops waits for its turn."""
    with ThreadPoolExecutor() as pool:
        first = pool.submit(ask, port, "/?100")
        terminal.prompts()
        assert ask(port, "/other").body == b"41"
        second = pool.submit(ask, port, "/?200")
        assert ask(port, "/other").body == b"41"
        terminal.type("p answer")
        assert "141" in terminal.prompts()
        assert not second.done()
        terminal.type("next")
        terminal.prompts()
        terminal.type("continue")
        terminal.prompts()
        terminal.type("continue")
        assert {first.result(PATIENCE).body, second.result(PATIENCE).body} == {b"141", b"241"}


def test_end_of_input(terminal, port):
    """Ctrl-D ends the request that has stopped, with a 500, and no other."""
    with ThreadPoolExecutor() as pool:
        response = pool.submit(ask, port, "/")
        terminal.prompts()
        terminal.press(b"\x04")
        assert response.result(PATIENCE).code == 500
        assert ask(port, "/other").body == b"41"
        response = pool.submit(ask, port, "/")
        terminal.prompts()
        terminal.type("continue")
        assert response.result(PATIENCE).body == b"41"


def test_interrupt(terminal, port):
    """Ctrl-C ends the server, at the prompt and also after somebody was there."""
    with ThreadPoolExecutor() as pool:
        response = pool.submit(ask, port, "/")
        terminal.prompts()
        terminal.type("continue")
        assert response.result(PATIENCE).body == b"41"
    terminal.press(b"\x03")
    assert terminal.ends() == -signal.SIGINT


@pytest.mark.parametrize("presses", [1, 2])
def test_interrupt_at_the_prompt(terminal, port, presses):
    """Ctrl-C at the prompt ends the server soon, and at once when it is pressed twice."""
    with ThreadPoolExecutor() as pool:
        pool.submit(ask, port, "/")
        terminal.prompts()
        for _ in range(presses):
            terminal.press(b"\x03")
            time.sleep(0.2)
        assert terminal.ends() in (-signal.SIGINT, 0)
