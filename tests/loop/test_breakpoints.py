"""``breakpoint()`` in apps, with another standard input."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving import eventually
from skitai.loop import breakpoints
from skitai.loop.breakpoints import Breakpoints


class Typist:
    """Types at standard input, and reads what is shown."""

    def __init__(self, monkeypatch, capsys):
        told, tell = os.pipe()
        self._stdin, self._typed = os.fdopen(told, "r"), os.fdopen(tell, "w")
        self._monkeypatch, self._capsys = monkeypatch, capsys
        self._shown = ""

    def sit_down(self):
        """Take the place of what pytest gives a test when it begins."""
        self._monkeypatch.setattr(sys, "stdin", self._stdin)

    def type(self, line):
        print(line, file=self._typed, flush=True)

    def leave(self):
        self._typed.close()

    def end(self):
        self._typed.close()
        self._stdin.close()

    def prompts(self):
        self._shown += self._capsys.readouterr().out
        return self._shown.count("(Pdb) ")


@pytest.fixture
def terminal(monkeypatch, capsys):
    typist = Typist(monkeypatch, capsys)
    yield typist
    typist.end()


@pytest.fixture
def gateway(serve):
    def app(environ, start_response):
        answer = 1
        if environ["PATH_INFO"] == "/stops":
            hook()
            answer = answer + 0
        start_response("200 OK", [])
        return [str(answer).encode()]

    gateway = serve(app)
    hook = Breakpoints(gateway.bridge)
    return gateway


def test_one_after_the_other(gateway, terminal):
    """Two requests stop; others are served; who stops later is at the prompt later."""
    terminal.sit_down()
    with ThreadPoolExecutor() as pool:
        requests = [pool.submit(gateway.ask, "/stops") for _ in range(2)]
        eventually(lambda: terminal.prompts() == 1)
        assert gateway.ask("/").body == b"1"
        terminal.type("answer = 5")
        terminal.type("continue")
        eventually(lambda: terminal.prompts() == 3)
        terminal.type("answer = 6")
        terminal.type("continue")
        assert sorted(request.result(60).body for request in requests) == [b"5", b"6"]


def test_end_of_input(gateway, terminal):
    """The request that has stopped fails when input ends."""
    terminal.sit_down()
    with ThreadPoolExecutor() as pool:
        request = pool.submit(gateway.ask, "/stops")
        eventually(terminal.prompts)
        terminal.leave()
        assert request.result(60).code == 500


def test_installed_once(monkeypatch, gateway):
    """What others have installed, or the user wants, stays."""
    monkeypatch.setattr(sys, "breakpointhook", print)
    breakpoints.install(gateway.bridge)
    assert sys.breakpointhook is print
    monkeypatch.setattr(sys, "breakpointhook", sys.__breakpointhook__)
    monkeypatch.setenv("PYTHONBREAKPOINT", "0")
    breakpoints.install(gateway.bridge)
    assert sys.breakpointhook is sys.__breakpointhook__
    monkeypatch.delenv("PYTHONBREAKPOINT")
    breakpoints.install(gateway.bridge)
    assert isinstance(sys.breakpointhook, Breakpoints)
