"""The example plugin as its users have it: built, installed beside Skitai, and used from a running server."""

import json
import socketserver
import threading

import pytest

from processes import TwistServer, environment, run_python, run_twist
from serving import REPOSITORY
from wire import PATIENCE

APP = """
import json
from skitai import was

def app(environ, start_response):
    try:
        one = was.echo(environ["QUERY_STRING"], "one")
        balanced = was.echo.lb("@echoes", "balanced")
        all_of_them = was.echo.map("@echoes", "all")
        answer = {
            "one": one.getwait(30).data,
            "lb": balanced.getwait(30).data,
            "map": [result.data for result in all_of_them.getswait(30)],
        }
    except AttributeError as error:
        answer = {"error": str(error)}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
"""


class Echo(socketserver.StreamRequestHandler):
    """Sends each line back, with the server's name before it."""

    timeout = PATIENCE

    def handle(self):
        for line in self.rfile:
            self.wfile.write(self.server.label + b" " + line)


@pytest.fixture(scope="module")
def echo_servers():
    """The addresses of two echo servers, ``a`` and ``b``."""
    servers = []
    for label in (b"a", b"b"):
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
        server.label, server.daemon_threads = label, True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
    yield [f"127.0.0.1:{server.server_address[1]}" for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that the plugin's wheel is installed into."""
    folder = tmp_path_factory.mktemp("installed")
    wheels = tmp_path_factory.mktemp("wheels")
    run_python(
        "-m", "hatchling", "build", "-t", "wheel", "-d", wheels, cwd=REPOSITORY / "examples/skitai-echo"
    )
    (wheel,) = wheels.glob("*.whl")
    run_python("-m", "pip", "install", "--no-deps", "--no-index", "--target", folder, wheel)
    return folder


@pytest.fixture
def config(tmp_path, echo_servers):
    """A config with a cluster of the echo servers."""
    (tmp_path / "served.py").write_text(APP)
    path = tmp_path / "site.conf"
    path.write_text(
        "[server]\nip = 127.0.0.1\nport = 0\n[routes:line]\n/ = served:app\n"
        f"[@echoes]\ntype = echo\nmembers = {', '.join(echo_servers)}\n"
    )
    return path


def test_used(installed, config, tmp_path, threads, echo_servers):
    """An app asks one server, the least busy of a cluster and all of them, on both executors."""
    server = TwistServer(tmp_path, "--config", config, "--threads", str(threads), env=environment(installed))
    try:
        answer = json.loads(server.ask(f"/?{echo_servers[1]}").body)
    finally:
        server.stop()
    assert answer["one"] == "b one"
    assert answer["lb"] in ("a balanced", "b balanced")
    assert answer["map"] == ["a all", "b all"]
    assert "Traceback" not in server.log_text()


def test_listed(installed, config):
    """--plugins names it with version and origin, its hooks and what it gives."""
    ended = run_twist("skitai", "--config", config, "--plugins", env=environment(installed))
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = [line.split() for line in ended.stdout.splitlines()]
    at = lines.index(["echo", "skitai-echo", "1.0", "loaded"])
    assert lines[at + 1 : at + 3] == [
        ["gives:", "was.echo"],
        ["hooks:", "skitai_cluster_types,", "skitai_services"],
    ]


def test_broken(installed, config, tmp_path):
    """Where its module cannot even be compiled, the server starts, names it, and ``was.echo`` says why."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "skitai_echo.py").write_text("def broken(:\n")
    text = config.read_text().partition("[@echoes]")[0] + "[echo-server]\nkey = 1\n"
    config.write_text(text)
    server = TwistServer(tmp_path, "--config", config, env=environment(broken, installed))
    try:
        answer = json.loads(server.ask("/").body)
    finally:
        server.stop()
    named = "plugin 'echo' (skitai-echo 1.0) failed: SyntaxError: "
    assert answer["error"].startswith(f"was.echo is not available: {named}")
    assert "Plugin 'echo' (skitai-echo 1.0) failed: SyntaxError: " in server.log_text()
    assert f"{config}:6: [echo-server]: unknown section" in server.log_text()
