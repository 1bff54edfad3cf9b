"""Signals that whoever starts a server has it ignore, as a shell does for ``twist skitai &`` in a script."""

import os
import signal

import pytest

from supervised import OneProcess, Supervised


class Reloading(OneProcess):
    """``process`` is the parent, which has no handlers, but waits for signals."""

    signal = Supervised.signal


KINDS = {
    "one": (OneProcess, "port = 0"),
    "workers": (Supervised, "port = 0\nprocesses = 2"),
    "reloader": (Reloading, "port = 0\nreloader = yes"),
}
_LAUNCHER = ["/bin/sh", "-c", "trap '' INT QUIT; exec \"$@\"", "sh"]


def press_keys(server):
    """Do what a terminal does at Ctrl-C and Ctrl-\\."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        os.killpg(server.process.pid, number)
    assert server.ask("/").code == 200


@pytest.mark.parametrize("name", KINDS)
def test_keys_of_a_terminal(served, name):
    """Ctrl-C and Ctrl-\\ are not meant for any of its processes: none ends, before and after a reload."""
    kind, keys = KINDS[name]
    server = served(keys, kind=kind, launcher=_LAUNCHER)
    press_keys(server)
    server.reload()
    press_keys(server)
    server.signal(signal.SIGTERM)
    assert server.ends() == (0 if name == "workers" else -signal.SIGTERM)
    text = server.log_text()
    assert "is gone" not in text
    assert text.count("the server stops") == (name == "workers")
