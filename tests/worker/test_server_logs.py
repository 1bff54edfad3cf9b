"""The logs of servers as users run them: where they are, who rotates them, and ids in all of them."""

import os
import pty
import re
import shutil
import signal
import subprocess
import time

import pytest

from processes import TWIST, TwistServer, age, environment, run_twist
from serving import eventually
from supervised import Supervised
from wire import PATIENCE, ask

APP = """
import logging
import warnings
from flask import Flask, request
from skitai import was

logging.basicConfig(level=logging.INFO)
logging.warning("at import")
app = Flask(__name__)
log = logging.getLogger("shop")

def home():
    return f"http://127.0.0.1:{request.environ['SERVER_PORT']}/"

@app.get("/")
def index():
    log.info("through logging")
    app.logger.warning("through flask")
    was.log("through was")
    warnings.warn(f"through warnings {was.request_id}")
    return request.headers["X-Request-ID"]

@app.get("/fails")
def fails():
    raise KeyError("x")

@app.get("/run")
def run():
    def function():
        log.info("in a thread")
        return was.request_id
    return was.run(function).getwait().data

@app.get("/up")
def up():
    return was.get(home() + "echo").getwait().data

@app.get("/own")
def own():
    return was.get(home() + "echo", headers={"x-request-ID": "own-1"}).getwait().data

@app.get("/detached")
def detached():
    return was.get(home() + "echo", detach=True).getwait().data

@app.get("/rpc")
def rpc():
    was.jsonrpc(home() + "rpc2").add(1, 2).getwait()
    return "done"

@app.route("/echo")
def echo():
    return request.environ["HTTP_X_REQUEST_ID"]

@app.post("/rpc2")
def rpc2():
    log.info("asked by rpc")
    return {"jsonrpc": "2.0", "id": request.json["id"], "result": 3}
"""
STAMP = r"\d{4}\.\d\d\.\d\d \d\d:\d\d:\d\d"


def write_site(folder, *keys, log_path=True):
    """Write a site whose logs are in ``logs``; return its config."""
    (folder / "app.py").write_text(APP)
    config = folder / "site.conf"
    places = "[global]\nlog_path = logs\n" if log_path else ""
    lines = "\n".join(["port = 0", "ip = 127.0.0.1", "queue_timeout = off", *keys])
    config.write_text(f"{places}[server]\n{lines}\n[routes:line]\n/ = ./app:app\n")
    return config


class Quiet(TwistServer):
    """A server whose own log is a file of its config."""

    def __init__(self, folder, *arguments, **options):
        self.logs = folder / "logs" / "instances" / "site"
        super().__init__(folder, *arguments, **options)

    def log_text(self):
        own = self.logs / "server.log"
        return super().log_text() + (own.read_text() if own.exists() else "")


class QuietSupervised(Supervised):
    """A server with workers whose own log is a file of its config."""

    def log_text(self):
        own = self.folder / "logs" / "instances" / "site" / "server.log"
        return super().log_text() + (own.read_text() if own.exists() else "")


def lines_of(path, count):
    """Return the lines of a file once there are ``count``."""

    def found():
        lines = path.read_text().splitlines() if path.exists() else []
        return lines if len(lines) >= count else None

    return eventually(found, f"{count} lines in {path.name}")


@pytest.fixture(scope="class", params=["threads = 4", "threads = 0"])
def site(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    config = write_site(folder, "access_format = json", "request_id_header = yes", request.param)
    server = Quiet(folder, "--config", config)
    yield server
    server.stop()
    assert "Traceback" not in server.log_text().partition("/fails failed")[0]


class TestIds:
    """X-Request-ID, and the logs of the apps."""

    def said(self, site, request_id):
        log = site.logs / "app.log"
        return [line for line in log.read_text().splitlines() if line.endswith(f"(request {request_id})")]

    def test_made(self, site):
        """The server gives an id, and the answer has it."""
        response = site.ask("/")
        assert re.fullmatch(rb"[0-9a-f]{12}-[0-9a-f]+", response.body)
        assert response["X-Request-ID"] == response.body.decode()
        assert site.ask("/").body != response.body

    def test_taken(self, site):
        """A sane one is taken, and stands in all logs once; Python's logging is there, too."""
        assert site.ask("/", fields=[("X-Request-ID", "mine-1")]).body == b"mine-1"
        said = [re.sub(STAMP, "", line) for line in self.said(site, "mine-1")]
        assert said[:3] == [
            " [info] shop: through logging (request mine-1)",
            " [warning] app: through flask (request mine-1)",
            " [info] through was (request mine-1)",
        ]
        assert re.fullmatch(
            r" \[warning\] py\.warnings: \S+:\d+: UserWarning: through warnings mine-1 \(request mine-1\)",
            said[3],
        )
        assert len(said) == 4
        eventually(lambda: '"request_id": "mine-1"' in (site.logs / "request.log").read_text())

    @pytest.mark.parametrize("given", ["a b", 'a"b', "x" * 129, "\u00e9"])
    def test_refused(self, site, given):
        """What could disturb a log or another server is replaced."""
        body = site.ask("/echo", fields=[("X-Request-ID", given)]).body
        assert re.fullmatch(rb"[0-9a-f]{12}-[0-9a-f]+", body)

    def test_repeated(self, site):
        """Two ids are none."""
        fields = [("X-Request-ID", "one"), ("X-Request-ID", "two")]
        assert re.fullmatch(rb"[0-9a-f]{12}-[0-9a-f]+", site.ask("/echo", fields=fields).body)

    def test_passed_on(self, site):
        """Calls to other servers carry the id, unless the app gives one itself."""
        fields = [("X-Request-ID", "mine-2")]
        assert site.ask("/up", fields=fields).body == b"mine-2"
        assert site.ask("/detached", fields=fields).body == b"mine-2"
        assert site.ask("/own", fields=fields).body == b"own-1"
        assert site.ask("/rpc", fields=fields).body == b"done"
        assert any("asked by rpc" in line for line in self.said(site, "mine-2"))

    def test_behind_run(self, site):
        """A function under was.run has the id of its request."""
        assert site.ask("/run", fields=[("X-Request-ID", "mine-3")]).body == b"mine-3"
        assert any("in a thread" in line for line in self.said(site, "mine-3"))

    def test_failures(self, site):
        """What an app does not catch is logged with the id, also by Flask, as a traceback of Python's."""
        response = site.ask("/fails", fields=[("X-Request-ID", "mine-4")])
        assert (response.code, response["X-Request-ID"]) == (500, "mine-4")
        log = (site.logs / "app.log").read_text()
        assert " [error] app: Exception on /fails [GET] (request mine-4)\nTraceback (most recent" in log
        assert log.rstrip().endswith("KeyError: 'x'")

    def test_at_import(self, site):
        """What the app says while it is imported is not lost: basicConfig, as it comes, prints it."""
        assert "WARNING:root:at import" in site._log.read_text()

    def test_error_pages(self, site):
        """Pages of the server itself have the id, too."""
        response = site.ask("/", "BREW")
        assert response.code in (400, 405, 501)
        assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", response["X-Request-ID"])


@pytest.mark.parametrize("processes", [1, 2])
def test_rotation(tmp_path, processes):
    """What is of former days is moved at the start; a log that others move is begun anew by all."""
    config = write_site(tmp_path, f"processes = {processes}")
    logs = tmp_path / "logs" / "instances" / "site"
    for name in ("server", "request", "app"):
        age(logs / f"{name}.log")

    server = Quiet(tmp_path, "--config", config) if processes == 1 else QuietSupervised(tmp_path, config)
    try:
        former = {path.name for path in logs.iterdir()} - {"server.log", "request.log", "app.log"}
        assert former == {"server-20251031.log", "request-20251015.log", "app-20251015.log"}
        assert {(logs / name).read_text() for name in former} == {"old\n"}
        server.ask("/")
        lines_of(logs / "request.log", 1)
        lines_of(logs / "app.log", 3)
        time.sleep(1.1)  # they are looked at each second: it must have seen the files that it is to miss
        for name in ("request", "app"):
            (logs / f"{name}.log").rename(logs / f"{name}.moved")
        eventually(lambda: (logs / "app.log").exists(), "a new log")
        for _ in range(4):
            server.ask("/", fields=[("Connection", "close")])

        def found(name, text):  # a worker may still have written to the old file
            return sum((logs / f"{name}.{end}").read_text().count(text) for end in ("moved", "log"))

        eventually(lambda: found("request", " GET / HTTP/1.1 200 ") == 5, "the lines of the requests")
        eventually(lambda: found("app", "(request ") == 20, "the lines of the app")
        server.ask("/")
        eventually(lambda: (logs / "app.log").read_text(), "lines in the new file")
    finally:
        if processes == 1:
            server.stop()
        else:
            server.end()


def test_a_folder_that_is_gone(tmp_path):
    """A server whose logs are removed with their folder goes on, and says what it cannot do."""
    config = write_site(tmp_path, "processes = 2")
    server = QuietSupervised(tmp_path, config)
    try:
        with open(tmp_path / "logs" / "instances" / "site" / "server.log") as log:
            shutil.rmtree(tmp_path / "logs")
            server.signal(signal.SIGUSR1)
            eventually(lambda: "cannot open the log anew: " in log.read(), "the word of the supervisor")
        assert server.ask("/").code == 200
    finally:
        server.end()
    assert "Traceback" not in server.log_text()


def test_rotation_is_off(tmp_path):
    """log_rotate = no: files stay as they are."""
    config = write_site(tmp_path)
    config.write_text(config.read_text().replace("[server]", "log_rotate = no\n[server]"))
    log = tmp_path / "logs" / "instances" / "site" / "request.log"
    age(log)
    server = Quiet(tmp_path, "--config", config)
    server.ask("/")
    server.stop()
    assert log.read_text().startswith("old\n")


@pytest.mark.parametrize("processes", [1, 2])
def test_verbose(tmp_path, processes):
    """-v: all is on the console, and there are no files, whatever the config says."""
    config = write_site(tmp_path, f"processes = {processes}", "app_log = named.log")
    server = (
        Supervised(tmp_path, config, "-v")
        if processes > 1
        else TwistServer(tmp_path, "--config", config, "-v")
    )
    try:
        server.ask("/")
        eventually(lambda: re.search(r" GET / HTTP/1\.1 200 ", server.log_text()), "the line of the request")
        assert "[info] through was (request " in server.log_text()
        assert "\x1b" not in server.log_text()
        assert not (tmp_path / "logs").exists()
        assert not (tmp_path / "named.log").exists()
    finally:
        server.stop() if processes == 1 else server.end()


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_terminal(tmp_path, variables, coloured):
    """On a terminal, what went wrong is in colours."""
    config = write_site(tmp_path, log_path=False)
    main, end = pty.openpty()
    environ = {**environment(**variables), "TERM": "xterm"}
    if not variables:
        environ.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [*TWIST, "skitai", "--config", str(config)], stdout=end, stderr=end, env=environ
    )
    os.close(end)
    text = b""
    try:
        port = None
        while b" 500 " not in text:
            text += os.read(main, 65536)
            ready = re.search(rb"serves \S+ on http://127\.0\.0\.1:(\d+)/", text)
            if ready and port is None:
                port = int(ready[1])
                ask(port, "/fails")
        assert (b"\x1b[31m[error] app: Exception on /fails [GET] (request " in text) is coloured
        assert (b"\x1b" in text) is coloured
    finally:
        process.terminate()
        while True:
            try:
                if not os.read(main, 65536):
                    break
            except OSError:
                break
        process.wait(PATIENCE)
        os.close(main)


def test_check_makes_nothing(tmp_path):
    """--check says where logs would be, and makes no folder."""
    config = write_site(tmp_path)
    done = run_twist("skitai", "--config", config, "--check")
    assert done.returncode == 0, done.stderr
    assert f"access_log = {tmp_path}/logs/instances/site/request.log" in done.stdout
    assert "log_keep = 100" in done.stdout
    assert not (tmp_path / "logs").exists()


def test_a_folder_that_cannot_be_made(tmp_path):
    """A place that cannot be is refused with its line."""
    (tmp_path / "logs").write_text("a file")
    config = write_site(tmp_path)
    done = run_twist("skitai", "--config", config)
    assert done.returncode == 2
    assert "[global] log_path" in done.stderr
    assert "Traceback" not in done.stderr
