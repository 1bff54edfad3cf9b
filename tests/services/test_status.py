"""What a worker tells of itself, and how an app ends it."""

import json
import os
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

import skitai
from instances import Hooks, RunningInstance, make_instance
from processes import TwistServer
from serving import eventually
from skitai.services import status as plugin
from skitai.services.status.page import shown, status_page
from skitai.worker import overview as overview_module
from supervised import children

APP = """
import json, os
from skitai import was

def app(environ, start_response):
    query = environ["QUERY_STRING"]
    body = str(os.getpid())
    if environ["PATH_INFO"] == "/late":
        start_response("200 OK", [("Content-Length", "8")])
        return late(query)
    if query == "page":
        body = was.status()
    elif environ["PATH_INFO"] == "/status":
        body = json.dumps(was.status(flt=query or None, fancy=False))
    elif environ["PATH_INFO"] == "/upstream":
        body = str(was.get("http://127.0.0.1:" + query).getwait(30).code)
    elif environ["PATH_INFO"] in ("/restart", "/shutdown"):
        for _ in range(2 if query == "twice" else 1):
            getattr(was, environ["PATH_INFO"][1:])(fast=query == "fast")
    start_response("200 OK", [("Content-Type", "text/html")])
    return [body.encode()]

def late(port):
    yield b"answered"
    result = was.get("http://127.0.0.1:" + port).getwait(30)
    with open("late", "wb") as file:
        file.write(result.data)
"""
CONFIG = """[server]
ip = 127.0.0.1
port = {port}
threads = {threads}
access_log = off
[routes:line]
/ = ./telling:app
[@pair]
members = 127.0.0.1:1, 127.0.0.1:2 3
"""


@pytest.fixture(params=[2, 0], ids=["threads", "greenlets"], scope="module")
def folder(request, tmp_path_factory):
    """A folder with an app that shows its status, and its config."""
    folder = tmp_path_factory.mktemp("telling")
    (folder / "telling.py").write_text(APP)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "telling.conf").write_text(CONFIG.format(port=port, threads=request.param))
    return folder


@pytest.fixture(scope="module")
def servers(folder):
    """Those that were started, the last one first."""
    started = []
    yield started
    for each in started:
        each.stop()


@pytest.fixture
def server(folder, servers):
    """The server of the test before this one, unless that has ended it."""
    if not servers or servers[0].process.poll() is not None:
        servers.insert(0, TwistServer(folder, "--config", "telling.conf"))
    return servers[0]


def test_status(server):
    """The page shows every section; without fancy they come as a dict, and a filter keeps some."""
    assert b"127.0.0.1:2" in server.ask("/?page").body
    sections = json.loads(server.ask("/status").body)
    assert {"Server", "Connections", "Apps", "Calls", "Result cache", "Clusters", "Plugins"} <= set(sections)
    assert sections["Server"]["process"] == server.ask("/").body.decode()
    assert sections["Server"]["version"] == skitai.__version__
    assert sections["Connections"]["requests"] >= 2
    assert [(row["cluster"], row["member"], row["weight"]) for row in sections["Clusters"]] == [
        ("@pair", "127.0.0.1:1", 1),
        ("@pair", "127.0.0.1:2", 3),
    ]
    assert list(json.loads(server.ask("/status?CLUST").body)) == ["Clusters"]


@pytest.mark.parametrize("how", ["", "?fast"])
def test_restart(server, how):
    """The request that asks is answered; then another process serves the same address."""
    before, starts = server.ask("/").body, server.log_text().count("Skitai serves telling on")
    assert server.ask(f"/restart{how}").body == before

    eventually(lambda: server.log_text().count("Skitai serves telling on") == starts + 1, "the new start")
    # A process that becomes another keeps its number; for a moment one that stands in for it answers, too.
    eventually(lambda: not children(server.process.pid), "the end of the stand-in")
    eventually(lambda: server.ask("/").body == before)


@pytest.mark.parametrize("how", ["", "?twice"])
def test_shutdown(server, how):
    """The request that asks, even twice, is answered; then the process ends in good order, with status 0."""
    assert server.ask(f"/shutdown{how}").body == str(server.process.pid).encode()
    assert server.process.wait(30) == 0
    assert "Traceback" not in server.log_text()


def test_fast_shutdown(server):
    """Requests under way have a second: an answer that is nearly there still comes."""
    with socket.create_server(("127.0.0.1", 0)) as upstream, ThreadPoolExecutor(1) as others:
        waiting = others.submit(server.ask, f"/upstream?{upstream.getsockname()[1]}")
        asked, _ = upstream.accept()
        with asked:
            asked.recv(1000)
            server.ask("/shutdown?fast")
            asked.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            assert waiting.result(30).body == b"200"
    assert server.process.wait(30) == 0


def test_what_an_app_does_after_its_last_byte(server, folder):
    """A worker that ends lets apps come to their end, whether or not their client has all."""
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        assert server.ask(f"/late?{upstream.getsockname()[1]}").body == b"answered"
        asked, _ = upstream.accept()
        with asked:
            asked.recv(1000)
            server.process.terminate()
            eventually(lambda: not listens(server.port), "the end of listening")
            asked.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
            server.process.wait(30)
    assert (folder / "late").read_bytes() == b"done"


def listens(port):
    """Return whether anybody takes connections on a port."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_plugins_add_sections(reactor_thread, tmp_path):
    """A plugin's tables are shown; what is no table is logged by title and costs nothing else."""
    given = Hooks(
        skitai_status=lambda instance: {
            "Queue": {"length": 3},
            "Jobs": [{"name": "a"}, {"name": "b"}],
            "Odd": "text",
        }
    )
    other = Hooks(skitai_status=lambda: ["no mapping"])
    file = tmp_path / "site.conf"
    file.write_text("[server]\nport = 0\nip = 127.0.0.1\naccess_log = off\n")
    instance = make_instance(reactor_thread.reactor, file, given=given, other=other)
    running = RunningInstance(reactor_thread, instance)
    try:
        sections = running.instance.status()
    finally:
        running.stop()
    assert (sections["Queue"], len(sections["Jobs"]), "Odd" in sections) == ({"length": 3}, 2, False)


def test_page_escapes():
    """What a plugin shows is text, not HTML."""
    page = status_page("a<b", {"<i>": {"k": "<script>"}, "Rows": [{"x": "<b>"}]})
    assert "<script>" not in page
    assert "<i>" not in page
    assert "&lt;script&gt;" in page


def test_columns_of_numbers():
    """A column with a number in any row is set as one of numbers, with its header and where there is none."""
    rows = [{"name": "a", "latency_seconds": None}, {"name": "b", "latency_seconds": 0.5}]
    page = status_page("x", {"Rows": rows})
    assert '<th>name</th><th class="number">latency</th>' in page
    assert '<td class="number">\N{EN DASH}</td>' in page
    assert '<td class="number">500.0 ms</td>' in page


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("memory_bytes", 1536, "1.5 KB"),
        ("memory_bytes", 12, "12 B"),
        ("memory_bytes", 5 * 2**50, "5120.0 TB"),
        ("uptime_seconds", 0.0042, "4.2 ms"),
        ("uptime_seconds", 59.94, "59.9 s"),
        ("uptime_seconds", 61, "1 min 1 s"),
        ("uptime_seconds", 7260, "2 h 1 min"),
        ("uptime_seconds", 90000, "1 d 1 h"),
        ("requests", 1234567, "1,234,567"),
        ("process", 1234567, "1234567"),
        ("state", None, "\N{EN DASH}"),
        ("open", True, "yes"),
    ],
)
def test_values_are_shown_with_their_unit(key, value, expected):
    """The end of a key tells the unit."""
    assert shown(key, value) == expected


def test_memory_where_the_system_does_not_tell(monkeypatch):
    """Without /proc the peak stands for the present."""
    present = overview_module.resident_bytes()
    monkeypatch.setattr(overview_module, "_STATM", os.devnull + "/none")
    assert overview_module.resident_bytes() >= present / 2 > 0


def test_names():
    """The plugin gives what the README promises."""
    assert set(plugin.skitai_attributes(instance=None)) == {"status", "restart", "shutdown", "version"}
