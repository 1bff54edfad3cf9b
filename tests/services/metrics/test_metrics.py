"""The metrics of running servers against traffic that is known."""

import json
import socket
from threading import Thread

import pytest
from scraping import Scraped, scrape
from twisted.logger import capturedLogs

from instances import Hooks, RunningInstance, make_instance
from serving import eventually
from skitai.errors import ConfigError
from skitai.plugins import counter, gauge
from skitai.processes import Board
from skitai.server.websocket import plugin as websocket_plugin
from skitai.services import cache as cache_plugin
from skitai.services.http import plugin as http_plugin
from skitai.services.metrics import plugin as metrics_plugin
from skitai.services.metrics.counting import RequestCounts
from skitai.services.rooms import plugin as rooms_plugin
from skitai.services.run import plugin as run_plugin
from skitai.services.sqlite import plugin as sqlite_plugin
from wire import Client, ask

APP = """
from skitai import was

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/calls":
        was.get("http://127.0.0.1:" + environ["SERVER_PORT"] + "/").getwait()
        was.get("http://127.0.0.1:" + environ["SERVER_PORT"] + "/", None).getwait()
        was.get("http://127.0.0.1:1/").getwait()
        was.get("@down/").getwait()
    if path == "/broken":
        raise ValueError(path)
    start_response("404 Not Found" if path == "/missing" else "200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""
PLUGINS = {
    "metrics": metrics_plugin,
    "http": http_plugin,
    "cache": cache_plugin,
    "websocket": websocket_plugin,
    "rooms": rooms_plugin,
    "run": run_plugin,
    "sqlite": sqlite_plugin,
}
DURATION = "http_server_request_duration_seconds_count"


class World:
    """Makes servers of one folder, whose config has a section of metrics."""

    def __init__(self, loop, folder):
        self.loop = loop
        self.folder = folder
        self.running = []
        (folder / "counted.py").write_text(APP)
        (folder / "files").mkdir()
        (folder / "files" / "a.txt").write_text("file")

    def make(self, section="[metrics]", threads=2, tail="", **plugins):
        config = f"""[server]
ip = 127.0.0.1
port = 0
access_log = off
threads = {threads}
[routes:line]
/ = ./counted:app
/files = ./files
: www.test
/shop = ./counted:app
[@down]
members = 127.0.0.1:1
{section}
{tail}"""
        (self.folder / "site.conf").write_text(config)
        return make_instance(self.loop.reactor, self.folder / "site.conf", **PLUGINS, **plugins)

    def start(self, *args, **kwargs):
        return self.serve(self.make(*args, **kwargs))

    def serve(self, instance):
        server = RunningInstance(self.loop, instance)
        self.running.append(server)
        eventually(lambda: server.ask("/").code == 200, "the app")
        return server


@pytest.fixture
def world(reactor_thread, tmp_path):
    world = World(reactor_thread, tmp_path)
    yield world
    for server in world.running:
        server.stop()


@pytest.fixture(params=[2, 0], ids=["threads", "greenlets"])
def count(request):
    return request.param


def test_requests(world, count):
    """Requests are counted by method, class of the status, host and mount point, each once."""
    server = world.start(threads=count)
    before = scrape(server)(DURATION, http_route="/")
    for path in ("/", "/missing", "/broken", "/files/a.txt", "/ping"):
        server.ask(path)
    server.ask("/", method="POST", body=b"a=b")
    server.ask("/shop/1", host="www.test")
    server.ask("/elsewhere", host="www.test")
    scraped = scrape(server)

    def requests(method, status, host, mount):
        return scraped(
            DURATION,
            http_request_method=method,
            http_response_status_code=status,
            server_address=host,
            http_route=mount,
        )

    assert requests("GET", "2xx", "default", "/") == before + 1
    assert requests("GET", "4xx", "default", "/") == 1
    assert requests("GET", "5xx", "default", "/") == 1
    assert requests("GET", "2xx", "default", "/files") == 1
    assert requests("POST", "2xx", "default", "/") == 1
    assert requests("GET", "2xx", "www.test", "/shop") == 1
    assert requests("GET", "4xx", "", "") == 1
    assert requests("GET", "2xx", "", "") == 1
    assert requests("GET", "2xx", "default", "/metrics") == 1
    assert 0 < scraped("http_server_request_duration_seconds_sum") < 60
    assert scraped("http_server_request_duration_seconds_bucket", le="+Inf") == scraped(DURATION)


def test_calls(world, count):
    """Calls of was are counted by service and outcome, and the clusters and connections show them."""
    server = world.start(threads=count)
    assert server.ask("/calls").code == 200
    scraped = scrape(server)
    calls = "skitai_call_duration_seconds_count"
    assert scraped(calls, service="get", outcome="ok") == 2
    assert scraped(calls, service="get", outcome="failed") == 2
    assert scraped("skitai_http_client_requests_total") == 4
    assert scraped("skitai_cluster_failures_total", cluster="@down", member="127.0.0.1:1") == 1
    assert scraped("skitai_cluster_members", member="127.0.0.1:1", state="resting") == 1
    assert scraped("skitai_result_cache_misses_total") == 4
    assert (scraped("skitai_calls_in_flight"), scraped("skitai_calls_queued")) == (0, 0)


def test_every_part_has_its_figures(world, count):
    """Whoever looks for a part finds it, in both formats."""
    server = world.start(threads=count)
    scraped = scrape(server)
    for name in (
        "skitai_info",
        "skitai_workers",
        "skitai_connections",
        "http_server_active_requests",
        "skitai_executor_running",
        "skitai_executor_queued",
        "skitai_queue_length",
        "skitai_queue_refused_total",
        "skitai_queue_wait_seconds_total",
        "skitai_http_client_connections",
        "skitai_result_cache_entries",
        "skitai_websockets",
        "skitai_rooms",
        "skitai_run_functions",
        "skitai_sqlite_statements",
        "skitai_reactor_blocked_total",
        "skitai_slow_requests_total",
        "skitai_threads_busy_total",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_cpu_seconds_total",
        "process_open_fds",
        "python_gc_collections_total",
    ):
        assert name in scraped, name
    # The app answers a moment before the worker says that it is ready.
    eventually(lambda: scrape(server)("skitai_workers", state="ready") == 1, "a worker that is ready")
    assert scraped("skitai_executor_threads", mounts="/, /shop") == count
    opened = scrape(server, fields=[("Accept", "application/openmetrics-text; version=1.0.0")])
    assert opened.counters().keys() == scrape(server).counters().keys()


def test_the_figures_of_plugins(world):
    """A plugin adds its own; what is none is logged, and harms no others."""
    plugins = {
        "good": Hooks(
            skitai_metrics=lambda: [
                counter("teas_total", "Teas.", {"green": 2, "black": 1}, "kind"),
                gauge("pots", "Pots.", 3),
            ]
        ),
        "broken": Hooks(skitai_metrics=lambda: [gauge("pot s", "", 1)]),
        "wrong": Hooks(skitai_metrics=lambda: {"pots": 5}),
        "many": Hooks(
            skitai_metrics=lambda: [gauge("cups", "Cups.", dict.fromkeys(map(str, range(600)), 1), "cup")]
        ),
    }
    with capturedLogs() as logged:
        server = world.start(**plugins)
        scraped = scrape(server)
    assert (scraped("teas_total", kind="green"), scraped("pots")) == (2, 3)
    assert (scraped("cups"), scraped("cups", cup="other")) == (600, 100)
    assert any(event.get("given") == {"pots": 5} for event in logged)
    assert any(event.get("plugin", "").startswith("'broken'") for event in logged)


def test_off_without_a_section(world):
    """Without [metrics], nothing is there, and nobody is told of requests."""
    instance = world.make(section="")
    assert instance.plugins.functions("skitai_request_finished", instance) == ()
    assert instance.plugins.functions("skitai_call_finished", instance) == ()
    server = world.serve(instance)
    assert server.ask("/metrics").body == server.ask("/ready").body == b"hello"
    assert instance.slot.last_report() == b""


def test_two_workers(world):
    """Whichever worker is asked gives the sums of both, also when one of them is gone."""
    board = Board.create(2)
    instances = [world.make(), world.make()]
    for number, instance in enumerate(instances):
        instance.board, instance.slot = board, board[number]
        instance._figures._slot = board[number]
    servers = [world.serve(instance) for instance in instances]
    for server, times in zip(servers, (3, 5), strict=True):
        for _ in range(times):
            assert server.ask("/missing").code == 404

    def missing(server):
        return scrape(server)(DURATION, http_response_status_code="4xx")

    eventually(lambda: [missing(server) for server in servers] == [8, 8], "the reports")
    scraped = scrape(servers[0])
    assert scraped("skitai_workers", state="ready") == 2
    assert {sample.labels["worker"] for sample in scraped.samples if "worker" in sample.labels} == {"0", "1"}
    counters = scrape(servers[0]).counters()
    world.running.pop().stop()
    board.retire(board[1])
    after = scrape(servers[0])
    assert all(after.counters()[series] >= value for series, value in counters.items())
    assert (missing(servers[0]), after("skitai_info")) == (8, 1)
    world.running.pop().stop()
    board.close()


class TestReadiness:
    """What answers 503 while the server is not ready."""

    def test_ready(self, world, count):
        """A server that serves is ready, and /ping is there as ever."""
        server = world.start(threads=count)
        eventually(lambda: server.ask("/ready").code == 200)  # it is said to serve a moment before
        response = server.ask("/ready")
        assert (response.code, json.loads(response.body)) == (200, {"ready": True, "reasons": []})
        assert response["cache-control"] == "no-store"
        assert server.ask("/ping").body == b"pong"
        assert server.ask("/ready", method="POST", body=b"").code == 405

    def test_a_cluster_that_is_down(self, world):
        """While all members of a needed cluster rest, the server is not ready."""
        server = world.start("[metrics]\nready_clusters = @down")
        eventually(lambda: server.ask("/ready").code == 200, "a server that is ready")
        server.ask("/calls")
        response = server.ask("/ready")
        assert (response.code, json.loads(response.body)["reasons"]) == (503, ["no member of @down is up"])

    def test_while_draining(self, world):
        """A server that stops says so, on the connections that it still has, and on a port of its own."""
        server = world.start("[metrics]\nport = 0\nip = 127.0.0.1")
        own = own_port(server)
        with Client(server.port) as busy:
            busy.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
            eventually(lambda: scrape_own(own)("http_server_active_requests") == 1, "a request under way")
            stopped = Thread(target=server.stop)
            stopped.start()
            eventually(lambda: ask(own, "/ready").code == 503, "the draining")
            assert json.loads(ask(own, "/ready").body)["reasons"] == ["the server stops"]
            busy.send(b"b")
            assert busy.response().code == 200
        stopped.join()
        with socket.socket() as gone:
            assert gone.connect_ex(("127.0.0.1", own))


def own_port(server):
    metrics = metrics_plugin._metrics_of(server.instance)
    return int(metrics.port.url.rstrip("/").rpartition(":")[2])


class TestOwnPort:
    """A port for the pages alone."""

    def test_the_pages_are_there_and_nowhere_else(self, world):
        """The port has them, and the other ports of the server do not."""
        server = world.start("[metrics]\nport = 0\nip = 127.0.0.1\npath = /internal/metrics")
        own = own_port(server)
        eventually(lambda: scrape_own(own, "/internal/metrics")("skitai_workers", state="ready") == 1)
        assert ask(own, "/ready").code == 200
        assert ask(own, "/ready")["Server"] == "Skitai"
        assert ask(own, "/").code == 404
        assert server.ask("/internal/metrics").body == server.ask("/ready").body == b"hello"

    def test_a_port_in_use(self, world):
        """It is logged, and the server serves."""
        with socket.create_server(("127.0.0.1", 0)) as taken, capturedLogs() as logged:
            port = taken.getsockname()[1]
            server = world.start(f"[metrics]\nip = 127.0.0.1\nport = {port}")
        assert server.ask("/").code == 200
        errors = [str(event["error"]) for event in logged if event.get("log_format") == "metrics: {error}"]
        assert errors == [
            f"127.0.0.1:{port} is in use: end the program that listens there or choose another port"
        ]

    def test_shared_by_workers(self, world):
        """Each worker of a server listens there."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        board = Board.create(2)
        instances = [world.make(f"[metrics]\nip = 127.0.0.1\nport = {port}") for _ in range(2)]
        for number, instance in enumerate(instances):
            instance.board, instance.slot = board, board[number]
            instance._figures._slot = board[number]
        for instance in instances:
            world.serve(instance)
        assert [own_port(server) for server in world.running] == [port, port]
        staying, leaving = world.running
        with Client(leaving.port) as busy:
            busy.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
            eventually(lambda: scrape_own(port)("http_server_active_requests") == 1, "a request under way")
            stopped = Thread(target=leaving.stop)
            stopped.start()
            eventually(lambda: not metrics_plugin._metrics_of(leaving.instance).port.url, "the closed port")
            assert ask(port, "/ready").code == 200
            busy.send(b"b")
            assert busy.response().code == 200
        stopped.join()
        assert own_port(staying) == port
        world.running.clear()
        staying.stop()
        board.close()


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("path = metrics", "metrics is not a path such as /metrics; leave it empty for none"),
        ("ready_clusters = @dwn", "there is no cluster @dwn: did you mean down?"),
        ("port = 70000", "port"),
        ("ip = here", "'here' does not appear to be an IPv4 or IPv6 address"),
        ("paths = /a", "unknown key: did you mean path?"),
    ],
)
def test_mistakes(world, section, problem):
    """What is wrong in the section stops the start with one line."""
    with pytest.raises(ConfigError, match=problem) as caught:
        world.make(f"[metrics]\n{section}")
    assert "site.conf:14: [metrics]" in str(caught.value)


class _Request:
    place = None
    method = b"GET"
    status_code = 200
    arrived, ended = 1.0, 1.5


def test_labels_are_bounded():
    """However many statuses and methods clients and apps make up, the series are few."""
    counts = RequestCounts()
    for number in range(10_000):
        request = _Request()
        request.method, request.status_code = b"M%d" % (number % 100), 100 + number % 900
        counts.observe(request)
    gone = _Request()
    gone.status_code, gone.arrived = 0, 0.0
    counts.observe(gone)
    series = counts.histograms.series
    assert sum(sum(cell[:-1]) for cell in series.values()) == 10_001
    assert {labels[1] for labels in series} == {"1xx", "2xx", "3xx", "4xx", "5xx", "other", "none"}
    assert {labels[0] for labels in series} == {"_OTHER", "GET"}
    assert series["GET", "none", "", ""][-1] == 0.0
    assert len(counts._cells) <= 4000


def scrape_own(port, path="/metrics"):
    return Scraped(ask(port, path))
