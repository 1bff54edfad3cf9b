"""``was.run`` and ``was.sleep`` on servers as people run them, with each executor."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving import FIXTURE_APPS, eventually

EXECUTORS = {
    "threads": {"threads": 32},
    "greenlets": {"threads": 0},
    "cooperative": {"cooperative": "yes"},
}


@pytest.fixture(scope="module", params=EXECUTORS)
def server(request, running_server):
    if request.param == "cooperative":
        pytest.importorskip("gevent")
    server = running_server({"/": f"{FIXTURE_APPS}/functions:app"}, **EXECUTORS[request.param])
    yield server
    server.stop()
    assert "Traceback" not in server.log_text()


def ask_all(server, path, count=20):
    """Return the bodies of ``count`` requests at once, each with its number, and how long they took."""
    began = time.monotonic()
    with ThreadPoolExecutor(count) as threads:
        responses = list(threads.map(lambda number: server.ask(f"{path}?{number}"), range(count)))
    assert {response.status for response in responses} == {"200 OK"}
    return [response.body.decode() for response in responses], time.monotonic() - began


def test_functions_that_block(server):
    """Twenty functions that block in C do so at the same time, and hold up nobody."""
    with ThreadPoolExecutor(1) as aside:
        blocked = aside.submit(ask_all, server, "/block")
        eventually(lambda: server.ask("/blocked").body == b"20", "twenty at once")
        assert server.ask("/open").body == b"open"
        names, _ = blocked.result()
    assert {name.rpartition("-")[0] for name in names} == {"skitai-run"}


def test_functions_that_wait_in_the_standard_library(server):
    """A function may sleep and hold a lock that views take, too; it sees the context of its request."""
    assert ask_all(server, "/lock")[0] == [str(number) for number in range(20)]


def test_functions_that_ask(server):
    """A function may sleep and wait for ``was``, which is that of its request."""
    assert ask_all(server, "/ask", 10)[0] == [f"{number} pong {number}" for number in range(10)]


def test_exit(server):
    """A function that wants to end the process ends itself."""
    assert server.ask("/exit").body == b"SystemExit: 3"
    assert server.ask("/ping").body == b"pong"


def test_sleep(server):
    """Twenty requests sleep at the same time."""
    bodies, seconds = ask_all(server, "/sleep")
    assert bodies == [str(number) for number in range(20)]
    assert seconds < 20 * 0.5 / 4


def test_deadline(server):
    """A function that hangs costs its request the deadline, and does not hold up the end of the server."""
    assert server.ask("/hang?0.1").body == b"no answer within 0.1 s"
