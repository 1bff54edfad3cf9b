"""Traces of servers in this process: both executors, refusals, and what happens at the stop."""

import os
import socket

import pytest
from collector import Collector
from traced import PLAIN, SADDLE
from twisted.logger import capturedLogs, formatEvent

from instances import RunningInstance, make_instance
from serving import eventually
from skitai.services import cache as cache_plugin
from skitai.services.http import plugin as http_plugin
from skitai.services.otel import plugin as otel_plugin
from skitai.services.postgresql import plugin as postgresql_plugin
from skitai.services.rpc import plugin as rpc_plugin
from skitai.services.run import plugin as run_plugin
from skitai.services.sqlite import plugin as sqlite_plugin
from skitai.services.websocket import plugin as ws_plugin
from wire import Client

PLUGINS = {
    "otel": otel_plugin,
    "http": http_plugin,
    "cache": cache_plugin,
    "postgresql": postgresql_plugin,
    "rpc": rpc_plugin,
    "run": run_plugin,
    "sqlite": sqlite_plugin,
    "ws": ws_plugin,
}
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = [("traceparent", f"00-{TRACE}-{SPAN}-01")]


@pytest.fixture
def collector():
    found = Collector()
    yield found
    found.close()


@pytest.fixture
def start(reactor_thread, tmp_path, threads, monkeypatch):
    """Return ``start(section)``: a server whose apps are loaded."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    (tmp_path / "plain.py").write_text(PLAIN)
    (tmp_path / "shop.py").write_text(SADDLE)
    running = []

    def begin(section):
        (tmp_path / "site.conf").write_text(f"""[server]
ip = 127.0.0.1
port = 0
access_log = off
threads = {threads}
body_max = 10 B
[routes:line]
/ = ./plain:app
/shop = ./shop:app
[@down]
members = 127.0.0.1:1, 127.0.0.1:2
[otel]
{section}
""")
        instance = make_instance(reactor_thread.reactor, tmp_path / "site.conf", **PLUGINS)
        running.append(RunningInstance(reactor_thread, instance))
        eventually(lambda: instance.slot.state == 2, "the apps")
        return running[-1]

    yield begin
    for server in running:
        server.stop()


def test_spans_are_sent_at_the_stop(start, collector):
    """All spans have the right place in the trace, and are sent when the server stops."""
    server = start(f"endpoint = {collector.endpoint}")
    url = f"http://127.0.0.1:{server.port}"
    targets = [
        "/hello",
        "/busy",
        f"/get?{url}/hello",
        "/get?@down/",
        "/run",
        "/db",
        f"/rpc?{url}/hello",
        f"/ws?ws://127.0.0.1:{server.port}/",
        f"/mine?{url}/hello",
        "/broken",
        "/shop/people/ann",
        "/ping",
    ]
    for target in targets:
        server.ask(target, fields=SAMPLED)
    assert server.ask("/hello", method="POST", fields=SAMPLED, body=b"x" * 100).code == 413
    assert server.ask("/hello", fields=[("traceparent", "no")]).code == 200
    with Client(server.port) as client:
        client.send(b"\x16\x03\x01\r\n\r\n")  # TLS where there is none: no request at all
        client.socket.shutdown(socket.SHUT_WR)
        client.socket.recv(1000)
    server.stop()
    by_id = {span.id: span for span in collector.spans}
    for span in collector.spans:
        assert span.parent in by_id or span.parent == SPAN or span.trace_id != TRACE
    requests = collector.find(parent=SPAN)
    assert len(requests) == len(targets)  # without /ping, but with the refusal
    assert {span.kind for span in requests} == {"SERVER"}
    assert "GET /shop/people/<name>" in {span.name for span in requests}
    assert {span["http.response.status_code"] for span in requests if span.failed} == {500, 503}
    assert 413 in {span["http.response.status_code"] for span in requests}
    calls = [span for span in collector.spans if span.kind == "CLIENT"]
    names = {"GET", "BEGIN", "COMMIT", "SELECT people", "shop.buy", "websocket"}
    assert names <= {span.name for span in calls}
    assert all(by_id[call.parent].kind == "SERVER" for call in calls)
    (down,) = [call for call in calls if call["skitai.cluster"] == "@down"]
    assert [event[1]["server.port"] for event in down.events if event[0] == "skitai.attempt"] == [1, 2]
    (refusal,) = [span for span in requests if span["http.response.status_code"] == 413]
    assert refusal.name == "POST /"


def test_nothing_is_recorded(start, collector):
    """Where nothing is recorded, nothing is kept and nothing is sent."""
    server = start(f"endpoint = {collector.endpoint}\nsample_ratio = 0")
    url = f"http://127.0.0.1:{server.port}"
    told = server.ask(f"/get?{url}/fields").body.decode()
    assert told.endswith("-00 None")
    not_sampled = f"00-{TRACE}-{SPAN}-00"
    fields = [("traceparent", not_sampled)]
    assert server.ask(f"/get?{url}/fields", fields=fields).body.decode() == f"{not_sampled} None"
    assert server.ask("/nothing", method="POST", body=b"x" * 100).code == 413
    assert server.loop.call(server.instance.was.get, f"{url}/hello").getwait().code == 200
    server.stop()
    assert collector.spans == []


def test_calls_outside_of_requests(start, collector):
    """A call that no request makes begins a trace."""
    server = start(f"endpoint = {collector.endpoint}")
    server.loop.call(server.instance.was.get, f"http://127.0.0.1:{server.port}/hello").getwait()
    server.stop()
    (call,) = [span for span in collector.spans if span.kind == "CLIENT"]
    (request,) = [span for span in collector.spans if span.kind == "SERVER"]
    assert (call.parent, request.parent, request.trace_id) == ("", call.id, call.trace_id)


def test_a_stop_does_not_wait_for_long(start, collector, monkeypatch):
    """A collector that never answers does not hold up the stop."""
    monkeypatch.setattr("skitai.services.otel.observer._FLUSH_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, capturedLogs() as events:
        server = start(f"endpoint = http://127.0.0.1:{silent.getsockname()[1]}\ntimeout = 1 s")
        server.ask("/hello")
        server.stop()
    assert "the last traces were not sent within 0.1 s" in [formatEvent(event) for event in events]


def test_postgresql(start, collector, postgres):
    """A statement has its database and its server; one that fails has the state that SQL gives it."""
    server = start(f"endpoint = {collector.endpoint}")
    database = postgres.uri(postgres.make_database())
    db = server.instance.was.db
    assert db(database).execute("select %s::int", (1,)).getwait().status == 3
    assert db(database).execute("select * from nobody where name = 'secret'").getwait().status == 2
    with db.transaction(database) as tx:
        tx.execute("create table people (name text)")
    server.stop()
    good, bad, *steps = collector.spans
    assert (good.name, good.kind, good["db.system.name"]) == ("SELECT", "CLIENT", "postgresql")
    assert (good["server.address"], good["server.port"]) == ("127.0.0.1", postgres.port)
    assert (good["db.query.text"], bad["db.query.text"]) == ("select %s::int", None)
    assert (bad.failed, bad.name, bad["error.type"]) == (True, "SELECT nobody", "42P01")
    assert [(step.name, step["db.namespace"]) for step in steps] == [
        (name, good["db.namespace"]) for name in ("BEGIN", "CREATE people", "COMMIT")
    ]
