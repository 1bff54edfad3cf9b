"""Drivers and object mappers against real databases, in threads and in greenlets that wait for anything.

Plain greenlets are not here: they share thread-locals, and so transactions. The server warns of that.
"""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import redis

from databases import Postgres, Redis
from serving import eventually

APPS = Path(__file__).parent / "apps"
#: Each executor and how it is configured: enough threads for what happens at once.
EXECUTORS = {"threads": {"threads": 50}, "cooperative": {"cooperative": "yes"}}


class SlowUpstream(BaseHTTPRequestHandler):
    """Answers with the query after a tenth of a second."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        time.sleep(0.1)
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


@pytest.fixture(scope="module")
def upstream():
    server = Upstream(("127.0.0.1", 0), SlowUpstream)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory):
    server = Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="module", params=list(EXECUTORS))
def server(request, running_server, tmp_path_factory, upstream, redis_server):
    """A server whose apps have a PostgreSQL of their own."""
    postgres = Postgres(tmp_path_factory.mktemp("postgres"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "PG_URI": postgres.uri, "PG_PORT": postgres.port, "PG_USER": postgres.user,
            "PG_DATABASE": postgres.database, "SQLITE": tmp_path_factory.mktemp("sqlite") / "db",
            "UPSTREAM": upstream, "REDIS_PORT": redis_server.port,
        }.items():  # fmt: skip
            patch.setenv(f"TEST_{name}", str(value))
        running = running_server(
            {"/": f"{APPS}/drivers:app", "/shop": f"{APPS}/shop:app"}, **EXECUTORS[request.param]
        )
    for path in ("/setup", "/shop/setup"):
        assert running.ask(path).body == b"made", running.log_text()
    yield running
    running.stop()
    postgres.stop()


def ask_all(server, paths, at_once=100):
    """Return the bodies of requests, ``at_once`` at a time, and the seconds that they took together."""
    began = time.monotonic()
    with ThreadPoolExecutor(at_once) as threads:
        responses = list(threads.map(server.ask, paths))
    assert {response.status for response in responses} == {"200 OK"}, server.log_text()
    return [response.body.decode() for response in responses], time.monotonic() - began


def test_a_thousand_transactions_over_a_call(server):
    """Each of a thousand Django transactions waits for another machine: none is lost, and none is mixed."""
    bodies, _ = ask_all(server, [f"/shop/order/default/{number}" for number in range(1000)])
    assert bodies == ["kept 1", "cancelled 1"] * 500
    assert ask_all(server, ["/shop/numbers/default"])[0] == [" ".join(map(str, range(0, 1000, 2)))]


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


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_drivers_in_c_wait_beside_each_other(server, driver):
    """A driver of PostgreSQL that waits holds up nobody, without the app's doing."""
    bodies, seconds = ask_all(server, [f"/{driver}?{number}" for number in range(50)], 50)
    assert bodies == [str(number) for number in range(50)]
    assert seconds < 50 * 0.3 / 3


def test_django_sleeps_in_the_database(server):
    """Django's queries wait beside each other, too."""
    _, seconds = ask_all(server, ["/shop/sleep"] * 50, 50)
    assert seconds < 50 * 0.3 / 3


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


def test_sockets_are_given_back(server):
    """What the requests before have opened is closed, but for connections that are kept on purpose."""
    kept = len(os.listdir(f"/proc/{server.process.pid}/fd"))
    ask_all(server, [f"/psycopg?{number}" for number in range(30)], 30)
    eventually(lambda: len(os.listdir(f"/proc/{server.process.pid}/fd")) <= kept + 2, "descriptors")
