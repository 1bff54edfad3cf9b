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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest
import redis

from serving import eventually
from wire import PATIENCE, Client

APPS = Path(__file__).parent / "apps"
#: Each executor and how it is configured: enough threads for what happens at once.
EXECUTORS = {"threads": {"threads": 50}, "cooperative": {"cooperative": "yes"}}
PLAIN_GREENLETS = {"threads": 0}
#: Seconds that a query takes which sleeps in the database.
SLEEP = 0.3
#: Seconds within which most requests are answered that wait for nothing. Machines may be slow and busy.
PROMPT = 0.25


class SlowUpstream(BaseHTTPRequestHandler):
    """Answers with the query, after a tenth of a second or, for ``/never``, when the test is over."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.closing.wait(0.1)
        if self.path.startswith("/never"):
            self.server.closing.wait()
            return
        body = self.path.partition("?")[2].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


class Upstream(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 500

    def __init__(self):
        super().__init__(("127.0.0.1", 0), SlowUpstream)
        self.closing = threading.Event()

    def handle_error(self, *_):
        """Say nothing: servers that end reset their connections."""


@pytest.fixture(scope="module")
def upstream():
    server = Upstream()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.closing.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def start(running_server, postgres, redis_server, upstream, tmp_path_factory):
    """Return ``start(seconds, upstream, **keys)``: a server with empty databases, and the URI of one.

    Queries that sleep take ``seconds``; ``keys`` are those of [server].
    """

    def start(seconds, upstream=upstream, **keys):
        database = postgres.make_database()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {
                "PG_URI": postgres.uri(database), "PG_PORT": postgres.port, "PG_USER": postgres.user,
                "PG_DATABASE": database, "SQLITE": tmp_path_factory.mktemp("sqlite") / "db",
                "UPSTREAM": upstream, "REDIS_PORT": redis_server.port, "SECONDS": seconds,
            }.items():  # fmt: skip
                patch.setenv(f"TEST_{name}", str(value))
            apps = {"/": f"{APPS}/drivers:app", "/shop": f"{APPS}/shop:app"}
            running = running_server(apps, **keys)
        for path in ("/setup", "/shop/setup"):
            assert running.ask(path).body == b"made", running.log_text()
        return running, postgres.uri(database)

    return start


@pytest.fixture(scope="module", params=EXECUTORS)
def server(request, start):
    """A server whose apps have databases of their own."""
    running, _ = start(SLEEP, **EXECUTORS[request.param])
    yield running
    running.stop()


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
    bodies, _ = ask_all(server, [f"/shop/order/default/{number}" for number in range(1000)])
    assert bodies == ["kept 1", "cancelled 1"] * 500
    assert ask_all(server, ["/shop/numbers/default"])[0] == [" ".join(map(str, range(0, 1000, 2)))]


def test_a_pool_limits_the_connections(server):
    """Many transactions wait for the five connections of psycopg's pool, and none is lost."""
    numbers = range(3000, 3060)
    bodies, _ = ask_all(server, [f"/shop/order/pooled/{number}" for number in numbers], 30)
    assert bodies == ["kept 1", "cancelled 1"] * 30
    found = map(int, server.ask("/shop/numbers/default").body.split())
    assert [number for number in found if number in numbers] == list(numbers[::2])


def test_djangos_coroutines_wait_in_their_order(server):
    """An `async def` view writes through the asynchronous methods of Django's ORM, around a call."""
    numbers = range(5000, 5100)
    bodies, _ = ask_all(server, [f"/shop/order_in_coroutine/default/{number}" for number in numbers], 50)
    assert bodies == [str(number) for number in numbers]
    found = map(int, server.ask("/shop/numbers/default").body.split())
    assert [number for number in found if number in numbers] == list(numbers[::2])


def test_a_transaction_on_sqlite_is_its_own(server):
    """While a request waits in its transaction, others do not see what it has written; then it cancels."""
    with ThreadPoolExecutor(1) as thread:
        cancelled = thread.submit(server.ask, "/shop/order/file/1")
        seen = set()
        while not cancelled.done():
            seen.add(server.ask("/shop/numbers/file").body)
    assert cancelled.result().body == b"cancelled 1"
    assert seen == {b""}
    assert server.ask("/shop/order/file/2").body == b"kept 1"
    assert server.ask("/shop/numbers/file").body == b"2"


@pytest.mark.parametrize("path", ["/psycopg2?1", "/psycopg?1", "/shop/sleep"])
def test_queries_wait_beside_each_other(server, path):
    """A driver of PostgreSQL that waits holds up nobody, without the app's doing."""
    with others_are_answered(server):
        bodies, seconds = ask_all(server, [path] * 45, 45)
    assert set(bodies) == {"slept" if path == "/shop/sleep" else "1"}
    assert seconds < 45 * SLEEP / 2


def test_in_plain_greenlets_queries_wait_in_turn(start):
    """A driver that waits holds up everybody under plain ``threads = 0``, but its results are right."""
    server, _ = start(SLEEP, **PLAIN_GREENLETS)
    for path in ("/psycopg2?1", "/psycopg?1"):
        bodies, seconds = ask_all(server, [path] * 3)
        assert bodies == ["1"] * 3
        assert seconds >= 3 * SLEEP
    server.stop()


def test_sessions_of_sqlalchemy_are_apart(server):
    """A scoped session belongs to one request: what it rolls back is its own."""
    bodies, _ = ask_all(server, [f"/sqlalchemy?{number}" for number in range(100)], 50)
    assert bodies == ["1"] * 100
    assert server.ask("/notes").body.decode() == " ".join(map(str, range(0, 100, 2)))


def test_redis_pops_when_something_is_pushed(server, redis_server):
    """Many requests wait in BLPOP, and the server answers others meanwhile."""
    client = redis.Redis(port=redis_server.port)
    count = 40
    with ThreadPoolExecutor(count) as threads:
        popped = [threads.submit(server.ask, f"/redis?{number}") for number in range(count)]
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
        "/psycopg2?1", "/psycopg?1", "/shop/sleep", "/sqlalchemy?1",
        "/shop/order/default/1", "/shop/order_in_coroutine/default/1",
    ]  # fmt: skip
    ask_all(server, paths * 20, 40)
    before = _holds(server)
    ask_all(server, paths * 20, 40)
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


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_signal_ends_it_in_the_middle(start, upstream, redis_server, executor, by):
    """Whatever requests wait for, a signal ends the server, and transactions that were open are undone."""
    server, uri = start(60, f"{upstream}never", response_timeout="0.2", **EXECUTORS[executor])
    paths = ["/psycopg2?1", "/psycopg?1", "/sqlalchemy?2", "/redis?1", "/shop/sleep", "/shop/order/default/2"]
    clients = [Client(server.port) for _ in range(2 * len(paths))]
    for client, path in zip(clients, paths * 2, strict=True):
        client.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    with psycopg.connect(uri, autocommit=True) as connection:

        def waiting():
            query = "select count(*) from pg_stat_activity where datname = current_database()"
            return connection.execute(query).fetchone()[0] - 1

        eventually(lambda: waiting() == 10, "ten requests wait in PostgreSQL")
        server.process.send_signal(by)
        began = time.monotonic()
        assert server.process.wait(PATIENCE) == -by, server.log_text()
        assert time.monotonic() - began < 15
        # PostgreSQL ends a transaction when it finds that the client is gone: those that sleep find it later.
        eventually(lambda: waiting() == 6, "the transactions are undone")
        for table in ("shop_order", "note"):
            assert connection.execute(f"select count(*) from {table}").fetchone()[0] == 0
    eventually(lambda: _connections(redis_server) <= 1, "the connections to Redis are closed")
    for client in clients:
        client.close()
