"""Drivers and object mappers against real databases, in threads and in greenlets that wait for anything.

Plain greenlets share thread-locals, and so transactions. The server warns of that. What is tested here is a
driver whose connections are a request's own.
"""

import os
import signal
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis

from serving import eventually
from wire import PATIENCE, Client

APPS = Path(__file__).parent / "apps"
#: Each executor and how it is configured: enough threads for what happens at once.
EXECUTORS = {"threads": {"threads": 60}, "cooperative": {"cooperative": "yes"}}
PLAIN_GREENLETS = {"threads": 0}
#: Seconds within which most requests are answered that wait for nothing. Machines may be slow and busy.
PROMPT = 0.25


@pytest.fixture(scope="module")
def start(running_server, postgres, redis_server, upstream, tmp_path_factory):
    """Return ``start(**keys)``: a server with the ``keys`` of [server], and the URI of its empty database."""

    def start(**keys):
        database = postgres.make_database()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {
                "PG_URI": postgres.uri(database), "PG_PORT": postgres.port, "PG_USER": postgres.user,
                "PG_DATABASE": database, "SQLITE": tmp_path_factory.mktemp("sqlite") / "db",
                "UPSTREAM": upstream.url, "REDIS_PORT": redis_server.port,
            }.items():  # fmt: skip
                patch.setenv(f"TEST_{name}", str(value))
            apps = {"/": f"{APPS}/drivers:app", "/shop": f"{APPS}/shop:app"}
            running = running_server(apps, response_timeout="0.2", **keys)
        for path in ("/setup", "/shop/setup"):
            assert running.ask(path).body == b"made", running.log_text()
        return running, postgres.uri(database)

    return start


@pytest.fixture(scope="module", params=EXECUTORS)
def executor(request):
    """The name of an executor."""
    return request.param


@pytest.fixture(scope="module")
def started(executor, start):
    """A server whose apps have databases of their own, and the URI of that on PostgreSQL."""
    return start(**EXECUTORS[executor])


@pytest.fixture(scope="module")
def server(started):
    """The server alone."""
    return started[0]


def ask_all(server, paths, at_once=100):
    """Return the bodies of requests, ``at_once`` at a time, and the seconds that they took together."""
    began = time.monotonic()
    with ThreadPoolExecutor(at_once) as threads:
        responses = list(threads.map(server.ask, paths))
    assert {response.status for response in responses} == {"200 OK"}, server.log_text()
    return [response.body.decode() for response in responses], time.monotonic() - began


@contextmanager
def others_are_answered(server):
    """Check that requests which wait for nothing are answered all the while."""
    seconds, over = [], threading.Event()

    def ping():
        with Client(server.port) as client:
            while not over.wait(0.01):
                began = time.monotonic()
                assert client.ask("/ping").body == b"pong"
                seconds.append(time.monotonic() - began)

    with ThreadPoolExecutor(1) as threads:
        pinging = threads.submit(ping)
        try:
            yield
        finally:
            over.set()
        pinging.result(PATIENCE)
    assert statistics.median(seconds) < PROMPT


def test_a_thousand_transactions_over_a_call(server):
    """Each of a thousand Django transactions waits for another machine: none is lost, and none is mixed."""
    bodies, _ = ask_all(server, [f"/shop/order/default/{number}?seconds=0.1" for number in range(1000)])
    assert bodies == ["kept 1", "cancelled 1"] * 500
    assert kept(server, "/shop/numbers/default", range(1000)) == list(range(0, 1000, 2))


def kept(server, path, numbers):
    """Return which of ``numbers`` are in a table, in order, each as often as it is there."""
    return [number for number in map(int, server.ask(path).body.split()) if number in numbers]


@pytest.mark.parametrize(
    ("view", "table", "first"),
    [
        ("/shop/order/default/{}?", "/shop/numbers/default", 2000),
        ("/shop/order/pooled/{}?", "/shop/numbers/default", 3000),
        ("/sqlalchemy/psycopg2?sent={}&", "/notes", 4000),
        ("/sqlalchemy/psycopg?sent={}&", "/notes", 5000),
    ],
    ids=["django", "django-pooled", "sqlalchemy-psycopg2", "sqlalchemy-psycopg"],
)
def test_transactions_wait_beside_each_other(server, view, table, first):
    """Fifty transactions wait for another machine, or for one of the twenty connections of a pool.

    Half of them roll back: no row is lost, and none is mixed. Others are answered meanwhile.
    """
    numbers = range(first, first + 50)
    with others_are_answered(server):
        bodies, _ = ask_all(server, [f"{view.format(number)}seconds=0.2" for number in numbers], 50)
    assert bodies == ["kept 1", "cancelled 1"] * 25
    assert kept(server, table, numbers) == list(numbers[::2])


def test_was_db_beside_an_object_mapper(server):
    """Transactions of SQLAlchemy and of ``was.db`` are open at the same time, over one kind of driver."""
    numbers = range(8001, 8051)
    with others_are_answered(server):
        bodies, _ = ask_all(server, [f"/both?sent={number}&seconds=0.05" for number in numbers], 50)
    assert bodies == ["cancelled 1", "kept 1"] * 25
    assert kept(server, "/notes", numbers) == list(numbers[1::2])
    assert kept(server, "/notes", range(-8050, -8000)) == [-number for number in reversed(numbers[1::2])]


def test_djangos_coroutines_wait_in_their_order(server):
    """An `async def` view writes through the asynchronous methods of Django's ORM, around a call."""
    numbers = range(6000, 6050)
    view = "/shop/order_in_coroutine/default"
    bodies, _ = ask_all(server, [f"{view}/{number}?seconds=0.1" for number in numbers], 50)
    assert bodies == [str(number) for number in numbers]
    assert kept(server, "/shop/numbers/default", numbers) == list(numbers[::2])


def test_a_transaction_on_sqlite_is_its_own(server):
    """While a request waits in its transaction, others do not see what it has written; then it cancels."""
    with ThreadPoolExecutor(1) as thread:
        cancelled = thread.submit(server.ask, "/shop/order/file/1?seconds=0.1")
        seen = set()
        while not cancelled.done():
            seen.add(server.ask("/shop/numbers/file").body)
    assert cancelled.result().body == b"cancelled 1"
    assert seen == {b""}
    assert server.ask("/shop/order/file/2?seconds=0").body == b"kept 1"
    assert server.ask("/shop/numbers/file").body == b"2"


@pytest.mark.parametrize("path", ["/psycopg2?sent=1", "/psycopg?sent=1", "/shop/sleep?"])
def test_queries_wait_beside_each_other(server, path):
    """A driver of PostgreSQL that waits holds up nobody, without the app's doing."""
    with others_are_answered(server):
        bodies, seconds = ask_all(server, [f"{path}&seconds=0.3"] * 50, 50)
    assert set(bodies) == {"slept" if path == "/shop/sleep?" else "1"}
    assert seconds < 50 * 0.3 / 2


def test_plain_greenlets_take_turns(start):
    """Drivers hold up everybody under plain ``threads = 0``, but the results are right, and the log warns."""
    server, _ = start(**PLAIN_GREENLETS)
    log = server.log_text()
    assert f"{APPS}/drivers:app share the scoped sessions of sqlalchemy" in log
    assert f"{APPS}/shop:app share the connections and transactions of django.db" in log
    for path in ("/psycopg2", "/psycopg"):
        bodies, seconds = ask_all(server, [f"{path}?sent=1&seconds=0.1"] * 3)
        assert bodies == ["1"] * 3
        assert seconds >= 3 * 0.1
    for number in range(4):
        views = [f"/shop/order/default/{number}?", f"/sqlalchemy/psycopg2?sent={number}&"]
        bodies, _ = ask_all(server, [f"{view}seconds=0" for view in views], 1)
        assert bodies == ["cancelled 1" if number % 2 else "kept 1"] * 2
    server.stop()


def test_redis_pops_when_something_is_pushed(server, redis_server):
    """Many requests wait in BLPOP, and the server answers others meanwhile."""
    client = redis.Redis(port=redis_server.port)
    count = 40
    with ThreadPoolExecutor(count) as threads:
        popped = [threads.submit(server.ask, f"/redis?sent={number}") for number in range(count)]
        eventually(lambda: client.info("clients")["blocked_clients"] == count, "all requests wait")
        assert server.ask("/ping").body == b"pong"
        for number in range(count):
            client.rpush(f"list-{number}", f"for {number}")
        assert [one.result().body for one in popped] == [b"for %d" % number for number in range(count)]
    client.close()
    eventually(lambda: _connections(redis_server) <= 1, "the connections to Redis are closed")


def _connections(redis_server):
    client = redis.Redis(port=redis_server.port)
    try:
        return client.info("clients")["connected_clients"]
    finally:
        client.close()


def test_all_is_given_back(server):
    """Requests leave neither descriptors nor threads nor memory behind, even if their clients go away."""
    paths = [
        "/psycopg2?sent=1", "/psycopg?sent=1", "/shop/sleep?", "/sqlalchemy/psycopg2?sent=1",
        "/sqlalchemy/psycopg?sent=1", "/shop/order/default/1?", "/shop/order_in_coroutine/default/1?",
    ]  # fmt: skip
    paths = [f"{path}&seconds=0.1" for path in paths]
    ask_all(server, paths * 7, 49)
    before = _holds(server)
    ask_all(server, paths * 7, 49)
    for path in paths * 5:
        with Client(server.port) as client:
            client.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    # Some are kept on purpose, as many as there ever were at once.
    allowed = [now + slack for now, slack in zip(before, (10, 2, 20_000), strict=True)]
    eventually(lambda: all(now <= most for now, most in zip(_holds(server), allowed, strict=True)), "the end")


def _holds(server):
    """Return how many descriptors and threads the server has, and its kilobytes."""
    process = Path(f"/proc/{server.process.pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return len(os.listdir(process / "fd")), int(status["Threads"]), int(status["VmRSS"].split()[0])


def end_in_the_middle(server, uri, redis_server, number):
    """Send signal ``number`` while the server waits for each driver; it must end by it.

    The transactions that were open are undone.
    """
    paths = [
        "/psycopg2?sent=1", "/psycopg?sent=1", "/shop/sleep?", "/redis?sent=1",
        "/sqlalchemy/psycopg2?sent=7000", "/sqlalchemy/psycopg?sent=7000", "/shop/order/default/7000?",
    ]  # fmt: skip
    with psycopg.connect(uri, autocommit=True) as connection:

        def count(state):
            query = "select count(*) from pg_stat_activity where datname = current_database() and state = %s"
            return connection.execute(query, [state]).fetchone()[0]

        clients = [Client(server.port) for _ in range(2 * len(paths))]
        for client, path in zip(clients, paths * 2, strict=True):
            client.send(f"GET {path}&seconds=60 HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        eventually(lambda: count("idle in transaction") == 6, "six requests wait for another machine")
        eventually(lambda: count("active") == 7, "six requests wait in PostgreSQL, which counts itself")
        server.process.send_signal(number)
        began = time.monotonic()
        assert server.process.wait(PATIENCE) == -number, server.log_text()
        assert time.monotonic() - began < 15
        eventually(lambda: not count("idle in transaction"), "the transactions are undone")
        for table in ("shop_order", "note"):
            found = connection.execute(f"select count(*) from {table} where number = 7000")
            assert found.fetchone()[0] == 0
    eventually(lambda: _connections(redis_server) <= 1, "the connections to Redis are closed")
    for client in clients:
        client.close()


def test_sigint_in_the_middle(executor, start, redis_server):
    """SIGINT ends the server, whatever requests wait for."""
    server, uri = start(**EXECUTORS[executor])
    end_in_the_middle(server, uri, redis_server, signal.SIGINT)


def test_sigterm_in_the_middle(started, redis_server):
    """SIGTERM ends the server, whatever requests wait for."""
    server, uri = started
    end_in_the_middle(server, uri, redis_server, signal.SIGTERM)
