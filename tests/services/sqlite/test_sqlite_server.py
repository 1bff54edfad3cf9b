"""SQLite on servers as people run them, with each executor."""

import sqlite3

import pytest
from shops import EXECUTORS, check_deadline, check_stop, check_transactions, executor_keys

from serving import FIXTURE_APPS, eventually

ROUTES = {"/": f"{FIXTURE_APPS}/sqliteviews:app"}


@pytest.fixture(scope="module", params=EXECUTORS)
def server(request, running_server):
    server = running_server(ROUTES, **executor_keys(request.param))
    assert server.ask("/make").body == b"made"
    yield server
    server.stop()
    assert "Traceback" not in server.log_text()
    assert [path.name for path in server.folder.glob("shop.db*")] == ["shop.db"]


def test_transactions(server):
    """Fifty transactions at once, of which a third is undone, lose nothing; others are served meanwhile."""
    check_transactions(server)


def test_deadline(server):
    """A statement that does not end costs its request the deadline, and nobody else anything."""
    check_deadline(server)
    eventually(lambda: server.ask("/threads").body.endswith(b" 0"))


def test_stop(running_server):
    """A server that is stopped while a statement runs ends at once, and leaves no log of SQLite."""
    server = running_server(ROUTES, threads=4, response_timeout=1)
    assert server.ask("/make").body == b"made"
    check_stop(server, lambda: eventually(lambda: server.ask("/threads").body.endswith(b" 1")))
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
