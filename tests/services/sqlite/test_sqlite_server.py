"""SQLite on servers as people run them, with each executor."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving import FIXTURE_APPS, eventually

EXECUTORS = {
    "threads": {"threads": 16},
    "greenlets": {"threads": 0},
    "cooperative": {"cooperative": "yes"},
}
ROUTES = {"/": f"{FIXTURE_APPS}/sqliteviews:app"}


@pytest.fixture(scope="module", params=EXECUTORS)
def server(request, running_server):
    if request.param == "cooperative":
        pytest.importorskip("gevent")
    server = running_server(ROUTES, **EXECUTORS[request.param])
    assert server.ask("/make").body == b"made"
    yield server
    server.stop()
    assert "Traceback" not in server.log_text()
    assert [path.name for path in server.folder.glob("shop.db*")] == ["shop.db"]


def test_transactions(server):
    """Fifty transactions at once, of which a third is undone, lose nothing; others are served meanwhile."""
    with ThreadPoolExecutor(51) as threads:
        orders = [threads.submit(server.ask, f"/order?{number}") for number in range(50)]
        began = time.monotonic()
        assert server.ask("/ping").body == b"pong"
        assert time.monotonic() - began < 2
        bodies = [order.result().body for order in orders]
    assert (bodies.count(b"ordered"), bodies.count(b"undone")) == (33, 17)
    assert server.ask("/state").body == b"967 33"


def test_deadline(server):
    """A statement that does not end costs its request the deadline, and nobody else anything."""
    with ThreadPoolExecutor(9) as threads:
        endless = [threads.submit(server.ask, "/endless?0.5") for _ in range(7)]
        assert server.ask("/state").status == "200 OK"
        assert [request.result().body for request in endless] == [b"no answer within 0.5 s"] * 7
    eventually(lambda: server.ask("/threads").body.endswith(b" 0"))


def test_stop(running_server):
    """A server that is stopped while a statement runs ends at once, and leaves no log of SQLite."""
    server = running_server(ROUTES, threads=4, response_timeout=1)
    assert server.ask("/make").body == b"made"
    with ThreadPoolExecutor(1) as threads:
        endless = threads.submit(server.ask, "/endless?60")
        eventually(lambda: server.ask("/threads").body.endswith(b" 1"))
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 10
        endless.exception()
    assert [path.name for path in server.folder.glob("shop.db*")] == ["shop.db"]


def test_kill(running_server):
    """What a killed server has not committed is undone when the file is opened again."""
    server = running_server(ROUTES, threads=4)
    assert server.ask("/make").body == b"made"
    assert server.ask("/order?1").body == b"ordered"
    with pytest.raises(AssertionError, match="not a status line"):
        server.ask("/die")
    server.process.wait(10)
    with sqlite3.connect(server.folder / "shop.db") as connection:
        assert connection.execute("select number from orders").fetchall() == [(1,)]
    connection.close()
