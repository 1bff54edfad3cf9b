"""PostgreSQL on servers as people run them, with each executor."""

import json

import psycopg
import pytest
from scraping import scrape
from shops import EXECUTORS, check_deadline, check_stop, check_transactions, executor_keys

from serving import FIXTURE_APPS, config_text, eventually

ROUTES = {"/": f"{FIXTURE_APPS}/pgviews:app"}


def running(postgres, name):
    """Return how many statements run in a database."""
    with psycopg.connect(postgres.uri(), autocommit=True) as connection:
        sql = "select count(*) from pg_stat_activity where datname = %s and state = 'active'"
        return connection.execute(sql, (name,)).fetchone()[0]


def config(postgres, name, **keys):
    member = f"{postgres.host}:{postgres.port}/{name}/{postgres.user}/secret"
    return (
        config_text(ROUTES, **keys)
        + f"[@main]\ntype = postresql\nmembers = {member}\n"
        + f"[@replicas]\ntype = pgsql\nread_only = yes\nsslmode = disable\nmembers = {member}\n"
        + "[postgresql]\npool_max = 8\npool_wait = 20\n[metrics]\n"
    )


@pytest.fixture(scope="module", params=EXECUTORS)
def server(request, postgres, running_server):
    keys = executor_keys(request.param)
    server = running_server(config(postgres, postgres.make_database(), **keys))
    assert server.ask("/make").body == b"made"
    yield server
    server.stop()
    assert "Traceback" not in server.log_text()
    assert "secret" not in server.log_text()


def test_transactions(server):
    """Fifty transactions at once, of which a third is undone, lose nothing; others are served meanwhile."""
    check_transactions(server)
    assert 0 < scrape(server)("skitai_postgresql_connections") <= 2 * 8  # two clusters
    # The figures of a worker come once a second.
    eventually(lambda: scrape(server)("skitai_postgresql_connections", state="in_use") == 0)
    assert scrape(server)("skitai_postgresql_waiting") == 0


def test_deadline(server):
    """A statement that does not end costs its request the deadline, and nobody else anything."""
    check_deadline(server)


def test_read_only(server):
    """A cluster that is read_only refuses what writes, and stays in use."""
    for _ in range(3):
        assert b"read-only transaction" in server.ask("/replica").body


def test_notifications(server):
    """A view hears of what it sends."""
    assert server.ask("/listen").body == b"hello"


def test_status(server):
    """The status shows the pools and the statements, and no password."""
    status = json.loads(server.ask("/status").body)
    for pool in status["PostgreSQL"]:
        assert pool["database"].startswith("tester@127.0.0.1:")
        assert 1 <= pool["connections"] <= 8
    statements = [times["statement"] for times in status["PostgreSQL, by statement"]]
    assert "select pg_sleep(60)" in statements
    assert "secret" not in str(status)


def test_stop(postgres, running_server):
    """A server that is stopped while a statement runs ends at once, and so does the statement."""
    name = postgres.make_database()
    server = running_server(config(postgres, name, threads=4, response_timeout=1))
    check_stop(server, lambda: eventually(lambda: running(postgres, name) == 1, "the statement runs"))
    eventually(lambda: running(postgres, name) == 0, "the statement ends")
