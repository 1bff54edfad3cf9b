"""Traces of running servers, as a collector gets them."""

import json
import os
import re
import socket
from uuid import uuid4

import pytest
from collector import Collector
from traced import FLASK, PLAIN, SADDLE, WITH_A_PROVIDER

from serving import eventually
from wire import Client

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{SPAN}-01"


def config(folder, section, server="", tail=""):
    (folder / "plain.py").write_text(PLAIN)
    (folder / "shop.py").write_text(SADDLE)
    (folder / "flasked.py").write_text(FLASK)
    (folder / "provided.py").write_text(WITH_A_PROVIDER)
    (folder / "files").mkdir(exist_ok=True)
    (folder / "files" / "a.txt").write_text("file")
    return f"""[server]
name = tested
ip = 127.0.0.1
port = 0
queue_timeout = off
{server}
[routes:line]
/ = {folder}/plain:app
/files = {folder}/files
/shop = {folder}/shop:app
/flask = {folder}/flasked:app
{tail.replace("FOLDER", str(folder))}
[metrics]
[otel]
{section}
"""


@pytest.fixture(scope="module")
def collector():
    found = Collector()
    yield found
    found.close()


@pytest.fixture(scope="module")
def start(running_server, tmp_path_factory):
    """Return ``start(section, server, tail)``: a server that sends its spans soon."""

    def start(section, server="", tail=""):
        folder = tmp_path_factory.mktemp("traced")
        with pytest.MonkeyPatch.context() as patched:
            for name in [name for name in os.environ if name.startswith("OTEL_")]:
                patched.delenv(name)
            patched.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
            started = running_server(config(folder, section, server, tail))
        # Tracing begins when all apps are loaded.
        eventually(lambda: started.ask("/ready").code == 200, "a server that is ready")
        return started

    return start


@pytest.fixture(scope="module")
def second(start, collector):
    """A second server, which the first asks."""
    return start(
        f"endpoint = {collector.endpoint}\nservice_name = second\nheaders = x-key=s3cr3t", "threads = 0"
    )


@pytest.fixture(scope="module", params=["threads = 2", "threads = 0", "threads = 0\ncooperative = yes"])
def first(request, start, collector, second):
    tail = f"""[@pair]
members = 127.0.0.1:1, 127.0.0.1:{second.port}
[@both]
members = 127.0.0.1:{second.port}, localhost:{second.port}
"""
    return start(f"endpoint = {collector.endpoint}", request.param, tail)


class Trace:
    """A trace of a test's own: spans of other tests may come late.

    ``trace(server, target)`` asks for the target as a part of it, and returns the span of that.
    """

    def __init__(self, collector):
        self.id = uuid4().hex
        self.collector = collector
        self.sampled = [("traceparent", f"00-{self.id}-{SPAN}-01")]

    def __call__(self, server, target, fields=(), **options):
        before = len(self.find(parent=SPAN))
        server.ask(target, fields=[*self.sampled, *fields], **options)
        eventually(lambda: len(self.find(parent=SPAN)) > before, "the span of the request")
        return self.find(parent=SPAN)[before]

    def find(self, **wanted):
        return self.collector.find(trace_id=self.id, **wanted)

    def below(self, span):
        """Wait for the one span below ``span``."""
        return self.collector.one(trace_id=self.id, parent=span.id)


@pytest.fixture
def trace(collector):
    return Trace(collector)


def test_a_request(trace, first):
    """The span of a request has the names of the conventions, and the context that came."""
    span = trace(first, "/hello?secret=1", [("tracestate", "a=1,b=2"), ("User-Agent", "tester")])
    assert (span.name, span.kind, span.failed, span.state) == ("GET /", "SERVER", False, "a=1,b=2")
    assert span.attributes == {
        "http.request.method": "GET",
        "http.route": "/",
        "http.response.status_code": 200,
        "url.path": "/hello",
        "url.scheme": "http",
        "server.address": "localhost",
        "server.port": 80,
        "network.protocol.version": "1.1",
        "client.address": "127.0.0.1",
        "user_agent.original": "tester",
    }
    assert span.resource["service.name"] == "tested"
    assert 0 < span.seconds < 60


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/files/a.txt", "GET /files"),
        ("/shop/people/ann", "GET /shop/people/<name>"),
        ("/shop/nothing", "GET /shop"),
        ("/flask/users/1", "GET /flask/users/<int:number>"),
    ],
)
def test_routes(trace, first, target, name):
    """A route is what a framework says of it, or the mount point."""
    span = trace(first, target)
    assert (span.name, span["http.route"]) == (name, name.partition(" ")[2])


def test_a_method_that_nobody_knows(trace, first):
    """A client cannot make up names of spans."""
    span = trace(first, "/hello", method="PROPFIND")
    assert (span.name, span["http.request.method"]) == ("HTTP /", "_OTHER")
    assert span["http.request.method_original"] == "PROPFIND"


def test_errors(trace, first):
    """A request has failed from 500 on, with what the app raised."""
    busy = trace(first, "/busy")
    assert (busy.failed, busy["error.type"], busy["http.response.status_code"]) == (True, "503", 503)
    broken = trace(first, "/broken")
    assert (broken.failed, broken["error.type"]) == (True, "ValueError")
    (event,) = broken.events
    assert event[1]["exception.message"] == "/broken"


def test_two_servers(trace, collector, first, second):
    """A call is below what the app has begun, and the other server goes on with it."""
    span = trace(first, f"/own?http://127.0.0.1:{second.port}/hello?token=1")
    work = trace.below(span)
    call = trace.below(work)
    other = trace.below(call)
    assert (work.name, work.kind, other.name, other.kind) == ("work", "INTERNAL", "GET /", "SERVER")
    assert (call.name, call.kind, call.failed, call.events) == ("GET", "CLIENT", False, [])
    assert call.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "url.full": f"http://127.0.0.1:{second.port}/hello",
        "server.address": "127.0.0.1",
        "server.port": second.port,
        "network.protocol.version": "1.1",
        "skitai.service": "was.get",
    }
    assert other.resource["service.name"] == "second"
    eventually(lambda: collector.headers.get("x-key") == "s3cr3t" or second.ask("/hello"), "the header")


@pytest.mark.parametrize(
    ("path", "name"),
    [("/run", "in the run"), ("/thread", "in the thread"), ("/shop/waiting", "in the coroutine")],
)
def test_spans_of_apps(trace, collector, first, second, path, name):
    """What an app begins in threads and coroutines is below its request."""
    span = trace(first, f"{path}?url=http%3A//127.0.0.1%3A{second.port}/hello")
    found = collector.one(name=name, trace_id=trace.id)
    if path == "/run":
        run = trace.below(span)
        assert (run.name, run.kind, found.parent) == ("own", "INTERNAL", run.id)
    else:
        assert found.parent == span.id
    if path == "/shop/waiting":
        assert trace.below(trace.below(found)).resource["service.name"] == "second"


def test_failing_calls(trace, first, second):
    """A call has failed from 400 on, and where no answer came."""
    missing = trace.below(trace(first, f"/get?http://127.0.0.1:{second.port}/shop/none"))
    assert (missing.failed, missing["error.type"], missing["http.response.status_code"]) == (True, "404", 404)


def test_no_answer(trace, first):
    """Where nobody answers, the span says what happened."""
    call = trace.below(trace(first, "/get?http://127.0.0.1:1/"))
    assert (call.failed, call["error.type"], call["server.port"]) == (
        True,
        "twisted.internet.error.ConnectionRefusedError",
        1,
    )
    assert call["http.response.status_code"] is None


def test_fail_over(trace, collector, first):
    """A call to a cluster is one span; each try is an event, and has the context of the call."""
    for _ in range(2):  # the members take turns
        call = trace.below(trace(first, "/get?@pair/hello"))
        assert call["skitai.cluster"] == "@pair"
        assert trace.below(call).kind == "SERVER"
        tries = [event[1]["server.port"] for event in call.events if event[0] == "skitai.attempt"]
        if len(tries) > 1:
            break
    assert tries[0] == 1
    assert call["server.port"] == tries[-1]


def test_all_members(trace, collector, first):
    """A call to all members is a span for each."""
    span = trace(first, "/many?@both/hello")
    eventually(lambda: len(collector.find(parent=span.id)) == 2, "two calls")
    for call in collector.find(parent=span.id):
        assert trace.below(call).kind == "SERVER"


def test_remote_procedures(trace, first, second):
    """A remote call is named by its method, and passes the context on."""
    call = trace.below(trace(first, f"/rpc?http://127.0.0.1:{second.port}/hello"))
    assert (call.name, call["rpc.system.name"], call["rpc.method"]) == ("shop.buy", "jsonrpc", "shop.buy")
    assert (call.failed, call["error.type"]) == (True, "bad_reply")
    assert trace.below(call).name == "POST /"


def test_websockets(trace, first, second):
    """A message over a websocket is a span, too; here nobody takes it."""
    call = trace.below(trace(first, f"/ws?ws://127.0.0.1:{second.port}/hello"))
    assert (call.name, call.kind, call.failed) == ("websocket", "CLIENT", True)
    assert (call["skitai.service"], call["server.port"]) == ("was.ws", second.port)


def test_statements(trace, collector, first):
    """Statements have a summary, and no value that stands in their text."""
    span = trace(first, "/db")
    eventually(lambda: len(collector.find(parent=span.id)) == 7, "all statements")
    calls = collector.find(parent=span.id)
    names = ["CREATE people", "INSERT people", "SELECT people", "SELECT nobody"]
    assert [call.name for call in calls] == [*names, "BEGIN", "DELETE people", "COMMIT"]
    assert {call["db.system.name"] for call in calls} == {"sqlite"}
    assert [call["db.query.text"] for call in calls[:3]] == [None, "insert into people values (?)", None]
    assert "secret" not in str([call.attributes for call in calls])
    assert [call.failed for call in calls] == [False, False, False, True, False, False, False]


def test_a_cache(trace, collector, first, second):
    """What comes from the cache asks nobody: there is no span."""
    span = trace(first, f"/cached?http://127.0.0.1:{second.port}/hello?{first.port}")
    trace.below(span)


def test_unwanted_calls(trace, first):
    """A call that nobody waits for ends with its request."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        call = trace.below(trace(first, f"/unwanted?http://127.0.0.1:{silent.getsockname()[1]}/"))
    assert (call.failed, call["error.type"]) == (True, "cancelled")


def test_a_context_of_the_app(trace, first, second):
    """Who sets the field itself is left alone."""
    response = first.ask(f"/mine?http://127.0.0.1:{second.port}/fields")
    assert response.body == b"mine None"


def test_excluded_paths(trace, collector, first):
    """Health checks have no spans."""
    with Client(first.port) as client:
        client.ask("/ping", fields=trace.sampled)
        client.ask("/hello", fields=trace.sampled)
    assert collector.one(trace_id=trace.id)["url.path"] == "/hello"


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"{SAMPLED}, {SAMPLED}",
        "\xff" * 55,
    ],
)
def test_a_malformed_context(collector, first, traceparent):
    """A context that cannot be read is as if there were none: a trace begins."""
    agent = uuid4().hex
    fields = [("traceparent", traceparent), ("tracestate", "=\xff,,"), ("User-Agent", agent)]
    assert first.ask("/hello", fields=fields).code == 200
    (span,) = eventually(
        lambda: [span for span in collector.find(name="GET /") if span["user_agent.original"] == agent]
    )
    assert span.parent == ""
    assert span.trace_id not in (TRACE, "0" * 32)


def test_a_later_version(trace, collector, first):
    """Of a later version of the field, what version 00 has is used."""
    first.ask("/hello", fields=[("traceparent", f"cc-{trace.id}-{SPAN}-09-what-will-be")])
    assert collector.one(trace_id=trace.id).parent == SPAN


def test_what_is_not_recorded(trace, collector, first, second):
    """Who asks says whether to record; other servers are told, and the state goes with it."""
    target = f"/get?http://127.0.0.1:{second.port}/fields"
    not_sampled = f"00-{trace.id}-{SPAN}-00"
    fields = [("traceparent", not_sampled), ("tracestate", "a=1")]
    assert first.ask(target, fields=fields).body.decode() == f"{not_sampled} a=1"
    recorded = first.ask(target, fields=[*trace.sampled, ("tracestate", "a=1")]).body.decode()
    assert re.fullmatch(f"00-{trace.id}-[0-9a-f]{{16}}-01 a=1", recorded)
    eventually(lambda: len(trace.find()) >= 3, "the spans")
    assert len(trace.find()) == 3


def test_a_ratio(trace, collector, start, second):
    """With a ratio of 0, a request is recorded only if who asks says so; apps and other servers are told."""
    server = start(f"endpoint = {collector.endpoint}\nsample_ratio = 0\nservice_name = ratio", "threads = 0")
    told = {server.ask(f"/get?http://127.0.0.1:{second.port}/fields").body.decode() for _ in range(2)}
    assert len(told) == 2
    assert all(re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-00 None", fields) for fields in told)
    server.ask(f"/own?http://127.0.0.1:{second.port}/hello")
    server.ask("/run")
    server.ask("/hello", fields=trace.sampled)
    server.stop()
    spans = [span for span in collector.spans if span.resource["service.name"] == "ratio"]
    assert [(span.trace_id, span.parent) for span in spans] == [(trace.id, SPAN)]


def test_several_processes(collector, start):
    """Each worker sends its own spans, also those that wait when it stops."""
    section = f"endpoint = {collector.endpoint}\nservice_name = several"
    server = start(section, "threads = 0\nprocesses = 2")
    for _ in range(40):
        server.ask("/hello")
    server.stop()
    spans = [span for span in collector.find(name="GET /") if span.resource["service.name"] == "several"]
    assert len(spans) == len({span.trace_id for span in spans}) == 40
    assert len({span.resource["process.pid"] for span in spans}) == 2


def test_a_provider_of_an_app(start):
    """Where an app has set a provider, its sampler decides, and its exporter gets all spans."""
    server = start("sample_ratio = 1", tail="/own = FOLDER/provided:app")
    server.ask("/own")
    server.ask("/own", fields=[("traceparent", SAMPLED)])
    asked = {}

    def spans():
        asked.update({span["name"]: span for span in json.loads(server.ask("/own").body)})
        return len(asked) == 2

    eventually(spans, "both spans")
    assert asked["GET /own"]["parent_id"] == f"0x{SPAN}"
    assert asked["own"]["parent_id"] == asked["GET /own"]["context"]["span_id"]
    assert len(json.loads(server.ask("/own").body)) == 2
    server.stop()
    assert "traces go where TracerProvider sends them" in server.log_text()
    assert "Overriding" not in server.log_text()


def test_a_collector_that_is_down(start):
    """Requests are served all the same, one line says so, and the stop does not wait for long."""
    server = start("endpoint = http://127.0.0.1:1\ntimeout = 1 s", "threads = 2")
    for _ in range(3):
        assert server.ask("/hello").code == 200
        eventually(lambda: "traces do not reach their collector" in server.log_text(), "the line")
    server.stop()
    assert server.log_text().count("traces do not reach") == 1
    assert "Traceback" not in server.log_text()


def test_the_console(start):
    """``console`` prints each span as a line of JSON."""
    server = start("exporter = console", "threads = 2")
    server.ask("/hello", fields=[("traceparent", SAMPLED)])
    eventually(lambda: f'"parent_id": "0x{SPAN}"' in server.log_text(), "the span")
    server.stop()
