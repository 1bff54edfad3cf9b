"""Apps in threads and apps in greenlets, side by side in one worker, each mount with limits of its own."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from instances import make_instance
from serving import eventually
from wire import PATIENCE, Client

APP = """
import json
import time
from threading import current_thread

from skitai import was


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [ANSWERS[environ["PATH_INFO"]](environ).encode()]


def where(environ):
    return f"{current_thread().name} {environ['wsgi.multithread']}"


def sleep(environ):
    time.sleep(float(environ["QUERY_STRING"]))
    return "slept"


def calls(environ):
    url = "http://127.0.0.1:" + environ["QUERY_STRING"]
    first = was.get(url).getwait(30)
    others = was.gather(was.get(url), was.get(url), timeout=30)
    return f"{first.data!r} {[other.data for other in others]}"


def status(environ):
    return json.dumps(was.status(flt="Apps", fancy=False)["Apps"])


def ping(environ):
    return "pong"


ANSWERS = {"/where": where, "/sleep": sleep, "/calls": calls, "/status": status, "/": ping}
"""
CONFIG = """[server]
ip = 127.0.0.1
port = 0
access_log = off
blocked_warning = 0
threads = 2
queue_timeout = off
[routes:line]
/ = {folder}/mixed:app
/shop = {folder}/mixed:app threads=8
/live = {folder}/mixed:app threads=0
/ping = {folder}/mixed:app threads=0
: other.test
/shop = {folder}/mixed:app threads=1
"""
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nup"
MANY = 200


@pytest.fixture
def server(running_server, tmp_path):
    """A server with one app at several mounts: in shared threads, in eight of its own, in greenlets."""
    (tmp_path / "mixed.py").write_text(APP)
    server = running_server(CONFIG.format(folder=tmp_path))
    yield server
    server.stop()


@pytest.mark.parametrize(("threads", "needless"), [("", True), ("threads=2", True), ("threads=0", False)])
def test_cooperation_without_greenlets(reactor_thread, tmp_path, threads, needless):
    """A warning says so if cooperative = yes is of no use, as no app runs in greenlets."""
    (tmp_path / "mixed.py").write_text(APP)
    file = tmp_path / "site.conf"
    file.write_text(f"[server]\ncooperative = yes\nthreads = 4\n[routes:line]\n/ = ./mixed:app {threads}")
    instance = make_instance(reactor_thread.reactor, file)
    expected = f"{file}:3: [server] threads: all apps run in threads, so cooperative = yes is of no use"
    assert [warning.startswith(expected) for warning in instance.warnings] == [True] * needless


class Upstream:
    """A server that replies when it is told to; up to ``count`` clients may wait for it."""

    def __init__(self, count):
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=count)
        self._listening.settimeout(PATIENCE)
        self.port = self._listening.getsockname()[1]
        self._asked = []

    def accept(self, count):
        """Wait until ``count`` requests are here."""
        for _ in range(count):
            connection, _ = self._listening.accept()
            connection.recv(1000)
            self._asked.append(connection)

    def answer(self):
        """Reply to the requests that are here."""
        for connection in self._asked:
            connection.sendall(REPLY)
            connection.close()
        self._asked.clear()

    def close(self):
        self.answer()
        self._listening.close()


@pytest.fixture
def upstream():
    upstream = Upstream(MANY)
    yield upstream
    upstream.close()


def statistics(server):
    """Return the rows of the executors by the names of their mounts."""
    return {row["mounts"]: row for row in json.loads(server.ask("/ping/status").body)}


def test_each_mount_in_its_place(server):
    """Threads have the name of their mount, and ``wsgi.multithread`` says whether there are any."""
    places = {path: server.ask(f"{path}/where").body.decode() for path in ("", "/shop", "/live")}
    assert places[""].startswith("skitai-app-")
    assert not places[""].startswith("skitai-app-/")
    assert places["/shop"].startswith("skitai-app-/shop-")
    assert places["/live"] == "MainThread False"
    assert [place.endswith("True") for place in places.values()] == [True, True, False]
    other = server.ask("/shop/where", host="other.test").body.decode()
    assert other == "skitai-app-/shop (2)-1 True"


def test_limits_of_their_own(server):
    """As many requests run at once as the mount has threads, whatever goes on at others."""
    with ThreadPoolExecutor(12) as clients:
        asked = [clients.submit(server.ask, "/shop/sleep?1.5") for _ in range(10)]
        eventually(lambda: statistics(server)["/shop"]["running"] == 8, "eight requests")
        rows = statistics(server)
        assert (rows["/shop"]["running"], rows["/shop"]["queued"], rows["/shop"]["idle"]) == (8, 2, 0)
        assert (rows["/"]["threads"], rows["/"]["idle"], rows["/live"]["threads"]) == (2, 2, None)
        assert rows["/shop (2)"]["threads"] == 1
        assert all(each.result(60).body == b"slept" for each in asked)


def test_blocking_and_waiting_side_by_side(server, upstream):
    """While eight requests block in /shop and 200 wait in /live, a third mount answers within 50 ms."""
    with ThreadPoolExecutor(MANY + 16) as clients:
        waiting = [clients.submit(server.ask, f"/live/calls?{upstream.port}") for _ in range(MANY)]
        upstream.accept(MANY)
        blocking = [clients.submit(server.ask, "/shop/sleep?1.5") for _ in range(16)]
        eventually(lambda: statistics(server)["/shop"]["running"] == 8, "eight requests")
        assert statistics(server)["/live"]["running"] == MANY
        with Client(server.port) as client:
            client.ask("/ping/")
            times = [answered(client) for _ in range(20)]
        assert not any(each.done() for each in blocking)
        upstream.answer()
        upstream.accept(2 * MANY)
        upstream.answer()
        assert {each.result(60).body for each in waiting} == {b"b'up' [b'up', b'up']"}
        assert {each.result(60).body for each in blocking} == {b"slept"}
    assert sorted(times)[len(times) // 2] < 0.05


def answered(client):
    """Return the seconds until /ping is answered."""
    began = time.monotonic()
    assert client.ask("/ping/").body == b"pong"
    return time.monotonic() - began


def test_calls_in_both(server, upstream):
    """The same app may ask and wait in threads and in greenlets at the same time."""
    with ThreadPoolExecutor(3) as clients:
        asked = [clients.submit(server.ask, f"{at}/calls?{upstream.port}") for at in ("", "/shop", "/live")]
        upstream.accept(3)
        upstream.answer()
        upstream.accept(6)
        upstream.answer()
        assert {each.result(60).body for each in asked} == {b"b'up' [b'up', b'up']"}


def test_the_stop_waits_for_both(server, upstream):
    """A request that blocks in a thread and one that waits in a greenlet are answered before the end."""
    with ThreadPoolExecutor(2) as clients:
        blocking = clients.submit(server.ask, "/shop/sleep?1")
        waiting = clients.submit(server.ask, f"/live/calls?{upstream.port}")
        upstream.accept(1)
        eventually(lambda: statistics(server)["/shop"]["running"] == 1, "the request")
        server.process.terminate()
        upstream.answer()
        upstream.accept(2)
        time.sleep(0.1)
        assert server.process.poll() is None
        upstream.answer()
        assert blocking.result(60).body == b"slept"
        assert waiting.result(60).body == b"b'up' [b'up', b'up']"
        server.process.wait(60)
    assert "Traceback" not in server.log_text()
