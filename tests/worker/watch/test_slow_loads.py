"""A module that waits while it is imported holds up all requests of its app: the log says where it is."""

import re

import pytest

from serving import config_text, eventually

APP = """
import os, time
while not os.path.exists(__file__ + ".go"):
    time.sleep(0.01)

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"at last"]
"""

PRELOADED = """
import time
until = time.monotonic() + 60
while time.monotonic() < until and "slow: loading" not in open("server.log").read():
    time.sleep(0.01)

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"at last"]
"""


@pytest.mark.parametrize("threads", [4, 0], ids=["threads", "greenlets"])
def test_a_module_that_waits(running_server, tmp_path, threads):
    """Once, after the time for slow requests, be it in a thread or in the reactor's."""
    (tmp_path / "waits.py").write_text(APP)
    server = running_server(config_text({"/": f"{tmp_path}/waits:app"}, threads=threads, slow_request=0.1))
    eventually(lambda: "slow: loading" in server.log_text(), "the line of the log")
    (tmp_path / "waits.py.go").touch()
    assert server.ask("/").body == b"at last"
    server.stop()
    check_line(server)


def test_before_the_fork(running_server, tmp_path):
    """The process that loads for all workers says it, and forks without the thread that has watched."""
    (tmp_path / "waits.py").write_text(PRELOADED)
    keys = {"processes": 2, "preload": "yes", "slow_request": 0.1}
    server = running_server(config_text({"/": f"{tmp_path}/waits:app"}, **keys))
    assert server.ask("/").body == b"at last"
    server.stop()
    check_line(server)
    assert "threads were started" not in server.log_text()


def check_line(server):
    """The log has one line that says where the load is."""
    said = [line for line in server.log_text().splitlines() if "slow: loading" in line]
    assert len(said) == 1
    assert re.search(r"\[warning\] slow: loading /, for \d\.\d s, at ", said[0])
