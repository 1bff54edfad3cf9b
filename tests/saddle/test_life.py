"""A Saddle app in a running server: loaded, changed, broken, mended, stopped."""

import json
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateservice import GateService
from processes import TwistServer
from serving import eventually
from skitai.context import get_current
from skitai.saddle import Saddle
from wire import Client

APP = """
from skitai import was
from skitai.saddle import Saddle
from helper import WORD

app = Saddle(__name__)
app.debug = app.use_reloader = True

def ask_ping():
    address = was.status(fancy=False)["Server"]["addresses"]
    return was.get(address + "ping").getwait().text

IMPORTED = ask_ping()

@app.startup
def startup(wasc):
    wasc.register("word", "registered")
    print("startup", IMPORTED, ask_ping(), flush=True)

@app.onreload
def onreload(wasc):
    print("onreload", IMPORTED, ask_ping(), flush=True)

@app.shutdown
def shutdown(wasc):
    print("shutdown", wasc.unregister("word"), flush=True)

@app.route("/")
def index(was):
    return f"{WORD} {was.word}"

@app.route("/slow")
async def slow(was):
    result = await was.get(f"http://127.0.0.1:{was.env['SERVER_PORT']}/ping")
    return result.text

@app.route("/raise")
def fail(was):
    return {}["tea"]

@app.route("/exit")
def leave(was):
    raise SystemExit(5)

@app.route("/stream")
def stream(was):
    def pieces():
        yield "first"
        raise ValueError("dry")
    return pieces()
"""
PLAIN = """
from skitai import was

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [was.word.encode()]
"""


@pytest.fixture(params=[2, 0], ids=["threads", "greenlets"])
def server(request, tmp_path):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "helper.py").write_text("WORD = 'first'\n")
    (tmp_path / "plain.py").write_text(PLAIN)
    (tmp_path / "site.conf").write_text(
        f"[server]\nip = 127.0.0.1\nport = 0\nthreads = {request.param}\n"
        "access_log = off\napp_log = app.log\n"
        "[routes:line]\n/ = ./app:app\n/plain = ./plain:app\n"
    )
    running = TwistServer(tmp_path, "--config", "site.conf")
    yield running
    running.stop()


class Changes:
    """Writes new versions of a file, each later than the one before: a clock may be too coarse to tell."""

    def __init__(self, path):
        self._path = path
        self._time = time.time()

    def write(self, text):
        # Complete when it appears: what watches the file would see each step.
        prepared = self._path.with_suffix(".new")
        prepared.write_text(text)
        self._time += 10
        os.utime(prepared, (self._time, self._time))
        prepared.replace(self._path)


def app_log(folder):
    path = folder / "app.log"
    return path.read_text() if path.exists() else ""  # it appears with the first line


def test_life(server, tmp_path):
    """A change of any module is seen at the next request; a broken one shows why until it is mended."""
    helper = Changes(tmp_path / "helper.py")
    assert server.ask("/").body == b"first registered"
    assert server.ask("/plain").body == b"registered"
    assert server.ask("/slow").body == b"pong"
    helper.write("WORD = 'second'\n")
    assert server.ask("/").body == b"second registered"
    helper.write("WORD = (\n")
    broken = server.ask("/")
    assert (broken.code, b"SyntaxError" in broken.body, b"helper.py" in broken.body) == (500, True, True)
    broken = server.ask("/", fields=[("Accept", "application/json")])
    assert "SyntaxError" in json.loads(broken.body)["error"]["traceback"]
    helper.write("WORD = 'third'\n")
    assert server.ask("/").body == b"third registered"
    server.stop()
    eventually(lambda: "shutdown registered" in server.log_text())
    log = server.log_text()
    lines = ("startup pong pong\n", "onreload pong pong\n", "shutdown registered\n")
    assert [log.count(line) for line in lines] == [1, 2, 1]


def test_changes_are_seen_when_they_are_saved(server, tmp_path):
    """Nobody need ask: a mistake is in the logs when the file is saved, and the mended app is loaded."""
    helper = Changes(tmp_path / "helper.py")
    assert server.ask("/").code == 200
    helper.write("WORD = (\n")
    eventually(lambda: "/ answers 500" in server.log_text(), "the mistake in the server's log")
    eventually(lambda: "[expt:load /] <class 'SyntaxError'>" in app_log(tmp_path), "and in the apps' log")
    helper.write("WORD = 'mended'\n")
    eventually(lambda: "onreload pong pong\n" in server.log_text(), "the mended app")
    assert server.ask("/").body == b"mended registered"


def test_broken_at_the_start(tmp_path):
    """An app that could not be loaded is 503 until its file is mended; then it serves and reloads."""
    app = Changes(tmp_path / "app.py")
    app.write("from skitai.saddle import Saddle\napp = Saddle(__name__)\napp.use_reloader = True\n1 / 0\n")
    (tmp_path / "helper.py").write_text("WORD = 'first'\n")
    (tmp_path / "site.conf").write_text("[server]\nip = 127.0.0.1\nport = 0\n[routes:line]\n/ = ./app:app\n")
    running = TwistServer(tmp_path, "--config", "site.conf")
    try:
        assert running.ask("/").code == 503
        app.write(APP)
        assert running.ask("/").body == b"first registered"
        Changes(tmp_path / "helper.py").write("WORD = 'second'\n")
        assert running.ask("/").body == b"second registered"
    finally:
        running.stop()
    assert [running.log_text().count(word) for word in ("startup pong", "onreload pong")] == [1, 1]


def test_broken_without_debug(server, tmp_path):
    """Visitors get a plain 500 while a file is broken, and the old routes when it is mended."""
    app, helper = Changes(tmp_path / "app.py"), Changes(tmp_path / "helper.py")
    app.write(APP.replace("app.debug = ", ""))
    assert server.ask("/").body == b"first registered"
    helper.write("WORD = secret_name\n")
    broken = server.ask("/")
    assert (broken.code, b"secret_name" in broken.body) == (500, False)
    helper.write("WORD = 'mended'\n")
    assert server.ask("/").body == b"mended registered"


def test_what_an_app_raises_is_in_its_log(server, tmp_path):
    """The apps' log has what a view raised, what ended it, and what broke off a stream: one line each."""
    for path in ("/raise", "/exit", "/stream"):
        server.ask(path)
    for line in (
        r"\[expt:GET /raise\] <class 'KeyError'> 'tea' .*\|fail\|",
        r"\[expt:GET /exit\] <class 'SystemExit'> 5 .*\|leave\|",
        r"\[expt:GET /stream\] <class 'ValueError'> dry .*\|pieces\|",
    ):
        eventually(lambda line=line: re.search(line, app_log(tmp_path)), line)
    assert server.ask("/").code == 200


def test_requests_wait_for_the_handlers_of_an_app_within_another(serve, reactor_thread):
    """An app that the server cannot tell of its life begins with its first request; the next ones wait."""
    app, events = Saddle("within"), []

    @app.startup
    def startup(wasc):
        get_current().gate("host:1").getwait(60)
        events.append("startup")

    @app.route("/")
    def index(was):
        events.append("view")
        return "hello"

    gate = GateService()
    gateway = serve(lambda env, start_response: app(env, start_response), services={"gate": gate})
    with gateway.client() as one, gateway.client() as two:
        for client in (one, two):
            client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        eventually(lambda: gateway.executor.statistics()["running"] == 2)
        (waiting,) = eventually(lambda: gate.waiting)
        reactor_thread.reactor.callFromThread(waiting.callback, b"")
        assert [client.response().body for client in (one, two)] == [b"hello"] * 2
    assert events == ["startup", "view", "view"]


def test_handlers_ask_their_own_app():
    """What a handler asks of its own app is answered at once; after its end an app begins anew."""
    app, events = Saddle("within"), []
    app.route("/")(lambda was: "hello")

    @app.startup
    def startup(wasc):
        events.append(app.test_client().get("/").text)

    @app.shutdown
    def shutdown(wasc):
        events.append(app.test_client().get("/").text)

    for _ in range(2):
        assert app.test_client().get("/").text == "hello"
        app.end()
        app.end()
    assert events == ["hello"] * 4


def test_requests_wait_for_the_handlers_where_no_server_runs():
    """Under another server the threads of requests wait in the same way."""
    app, entered, events = Saddle("within"), threading.Event(), []

    @app.startup
    def startup(wasc):
        entered.set()
        assert other_began.wait(60)
        events.append("startup")

    @app.route("/")
    def index(was):
        events.append("view")
        return "hello"

    def ask():
        return app.test_client().get("/").text

    other_began = threading.Event()

    def ask_meanwhile():
        assert entered.wait(60)
        other_began.set()
        return ask()

    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ask), pool.submit(ask_meanwhile)]
        assert [each.result(60) for each in asked] == ["hello", "hello"]
    assert events == ["startup", "view", "view"]


def start(tmp_path, threads, *routes, **apps):
    for name, source in apps.items():
        (tmp_path / f"{name}.py").write_text(source)
    (tmp_path / "site.conf").write_text(
        f"[server]\nip = 127.0.0.1\nport = 0\nthreads = {threads}\nresponse_timeout = 0.5 s\n"
        "access_log = off\n[routes:line]\n" + "\n".join(routes)
    )
    return TwistServer(tmp_path, "--config", "site.conf")


SLOW = """
import pathlib, time
while not pathlib.Path("go").exists():
    time.sleep(0.01)
"""
HELLO = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""
BLOCKING_SHUTDOWN = """
import time
from skitai.saddle import Saddle
app = Saddle(__name__)
app.route("/")(lambda was: "hello")

@app.shutdown
def shutdown(wasc):
    print("shutdown", flush=True)
    time.sleep(1000)
"""


def test_a_slow_module_at_the_start(tmp_path):
    """While one app is being imported, another app answers; then the slow one does."""
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "slow.py").write_text(SLOW + HELLO)
    running = start(tmp_path, 2, "/slow = ./slow/slow:app", "/ = ./quick:app", quick=HELLO)
    try:
        with Client(running.port) as client:
            client.send(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert running.ask("/").body == b"hello"
            (tmp_path / "go").touch()
            assert client.response().body == b"hello"
    finally:
        running.stop()


@pytest.mark.parametrize("source", [BLOCKING_SHUTDOWN, SLOW], ids=["shutdown", "module"])
def test_an_end_in_spite_of_an_app_that_blocks(tmp_path, source):
    """SIGTERM ends the server though a ``shutdown`` handler, or a module, blocks for ever."""
    running = start(tmp_path, 2, "/ = ./blocks:app", blocks=source)
    if source is BLOCKING_SHUTDOWN:
        assert running.ask("/").body == b"hello"
    running.stop()
    assert ("took too long to end" in running.log_text()) == (source is BLOCKING_SHUTDOWN)
