"""A server of one process begins anew while it serves."""

import os
import re
import signal
import socket
import time
from contextlib import suppress
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from processes import TWIST, passing
from serving import eventually
from supervised import Load, OneProcess, is_alive
from wire import Client, ask

ONE = "port = 0"
REFUSED = "what was loaded anew cannot serve, and the server of before goes on: "


@pytest.fixture
def one(served):
    """Return ``one(keys)``: a running server of one process."""

    def start(keys=ONE, **options):
        return served(keys, kind=OneProcess, **options)

    return start


def test_under_load(one):
    """No request is refused, reset or dropped; the process keeps its number, and nobody else stays.

    The log keeps its zone, whatever the app makes of TZ as Django does.
    """
    server = one(TZ="Asia/Tokyo")
    app = server.folder / "served.py"
    server.ask("/")  # it is loaded, and is not read while it is written
    app.write_text(f"{app.read_text()}\nos.environ['TZ'] = 'America/Chicago'\ntime.tzset()\n")
    load = Load(server.port)
    for number in range(2):
        app.write_text(app.read_text() + f"\nprint('release', {number})\n")
        server.reload()
        eventually(lambda: server.pids() == {server.process.pid}, "the end of the stand-in")
    load.has_answers(100)
    load.stop()
    assert (dict(load.failures), set(load.answers)) == ({}, {200})
    assert "release 1" in server.log_text()
    assert server.ask("/").body == str(server.process.pid).encode()
    server.signal(signal.SIGTERM)
    assert server.ends() == -signal.SIGTERM
    text = server.log_text()
    assert "[error]" not in text
    stamps = re.findall(r"^\d{4}\.\d\d\.\d\d \d\d:\d\d:\d\d", text, re.MULTILINE)
    now = datetime.now(ZoneInfo("Asia/Tokyo")).replace(tzinfo=None)
    assert all(now - datetime.strptime(each, "%Y.%m.%d %H:%M:%S") < timedelta(hours=1) for each in stamps)
    assert "the times of the logs are +0900; an app has set its own zone, -0" in text


def test_broken(one):
    """With a broken config, or a broken app, the server goes on, and the log names the error."""
    server = one()
    load = Load(server.port, clients=2)
    server.write("port = 0\nthreads = x")
    server.signal(signal.SIGHUP)
    server.said(f"{REFUSED}")
    server.said("[server] threads: must be")
    server.write(ONE)
    app = server.folder / "served.py"
    good = app.read_text()
    app.write_text("import nosuch\n")
    server.signal(signal.SIGHUP)
    server.said(REFUSED, 2)
    server.said("No module named 'nosuch'")
    app.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    server.signal(signal.SIGHUP)
    server.said(f"{REFUSED}its process ended while it was loaded: killed by SIGKILL")
    assert server.pids() == {server.process.pid}
    app.write_text(good)
    server.reload()
    assert load.stop() > 0
    assert (dict(load.failures), set(load.answers)) == ({}, {200})


def test_many_at_once(one):
    """Ten signals in a row, at any moment of what the first began, end in one new server."""
    server = one()
    load = Load(server.port, clients=2)
    before = server.log_text().count("Skitai serves")
    for _ in range(10):
        server.signal(signal.SIGHUP)
        time.sleep(0.15)
    server.said("Skitai serves", before + 1)
    eventually(lambda: server.pids() == {server.process.pid})
    assert load.stop() > 0
    assert (dict(load.failures), set(load.answers)) == ({}, {200})


def test_what_is_under_way(one):
    """A request that was begun is answered by the old process, while new ones get the new code."""
    server = one("port = 0\nthreads = 2")
    app = server.folder / "served.py"
    with Client(server.port) as busy, Client(server.port) as kept:
        busy.send(b"GET /until?%b/go-on HTTP/1.1\r\nHost: x\r\n\r\n" % bytes(server.folder))
        assert kept.ask("/").code == 200
        app.write_text(app.read_text().replace("str(os.getpid())", "'new'"))
        server.signal(signal.SIGHUP)
        eventually(lambda: server.ask("/", fields=[("Connection", "close")]).body == b"new")
        eventually(lambda: kept.ask("/")["Connection"] == "close")
        (server.folder / "go-on").touch()
        response = busy.response()
        assert (response.body, response["Connection"]) == (str(server.process.pid).encode(), "close")
    server.said("Skitai serves", 2)
    assert server.ask("/").body == b"new"


def test_stopped_meanwhile(one):
    """SIGTERM ends it while the stand-in serves, too: all that was begun is answered, and nobody stays."""
    server = one("port = 0\nthreads = 2")
    until = b"GET /until?%b/go-on HTTP/1.1\r\nHost: x\r\n\r\n" % bytes(server.folder)
    with Client(server.port) as busy:
        busy.send(until)
        assert server.ask("/").code == 200
        server.signal(signal.SIGHUP)
        eventually(
            lambda: server.ask("/", fields=[("Connection", "close")]).body != str(server.process.pid).encode()
        )
        pids = server.pids()
        with Client(server.port) as other:  # the server closes one that it has, if that is idle for a second
            other.send(until)
            assert server.ask("/").code == 200  # so the other request has arrived, too
            server.signal(signal.SIGTERM)
            (server.folder / "go-on").touch()
            assert busy.response().code == 200
            assert other.response().code == 200
    assert server.ends() == 0
    assert not any(map(is_alive, pids))
    assert server.log_text().count("Skitai serves") == 1


@pytest.mark.parametrize("seconds", [0, 0.4, 0.8, 1.2])
def test_stopped_while_it_loads(one, seconds):
    """SIGTERM ends the server and what it had begun with, at whatever moment."""
    server = one()
    assert server.ask("/").code == 200
    server.signal(signal.SIGHUP)
    server.said("the config and the apps are loaded anew")
    time.sleep(seconds)
    pids = server.pids()
    server.signal(signal.SIGTERM)
    server.ends()
    eventually(lambda: not any(map(is_alive, pids)), "the end of all processes")
    assert "Traceback" not in server.log_text()


def test_stopped_before_it_serves_again(one):
    """SIGTERM while the new process still loads its apps: the stand-in answers what it has begun, too."""
    server = one("port = 0\nthreads = 2")
    server.ask("/")  # it takes signals, and has loaded its app
    app = server.folder / "served.py"
    loads = server.folder / "loads"
    app.write_text(
        app.read_text()
        + f"""
with open({str(loads)!r}, "a+") as loads:
    loads.write("x")
    loads.seek(0)
    if len(loads.read()) == 2:  # the stand-in is the first to load this, and the new process the second
        time.sleep(2)
"""
    )
    server.signal(signal.SIGHUP)
    server.said("Skitai serves", 2)
    with Client(server.port) as busy:
        busy.send(b"GET /sleep?2 HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.2)
        server.signal(signal.SIGTERM)
        assert busy.response().code == 200
    assert server.ends() == -signal.SIGTERM


def test_readiness_at_a_port_of_its_own(one):
    """Whoever asks there while the server begins anew is told that it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = one(f"port = 0\n[metrics]\nip = 127.0.0.1\nport = {port}")

    def is_ready():
        with suppress(ConnectionRefusedError):  # the port is opened after the server has said where it serves
            return ask(port, "/ready").code == 200

    eventually(is_ready)
    server.signal(signal.SIGHUP)
    codes = []
    while server.log_text().count("Skitai serves") < 2 or server.pids() != {server.process.pid}:
        codes.append(ask(port, "/ready", fields=[("Connection", "close")]).code)
        time.sleep(0.02)
    assert set(codes) == {200}
    assert "is in use" not in server.log_text()
    assert 'skitai_workers{state="ready"} 1' in ask(port, "/metrics").body.decode()


def test_new_addresses_and_workers(one, tmp_path):
    """What the new config wants counts: another address, and workers."""
    path = tmp_path / "site.sock"
    server = one(f"listen = 127.0.0.1:0, unix:{path}")
    load = Load(server.port, clients=2)
    server.reload()
    eventually(lambda: server.pids() == {server.process.pid})
    assert ask(str(path), "/").code == 200
    server.write("listen = 127.0.0.1:0\nprocesses = 2")
    server.reload()
    server.said("with 2 workers")
    eventually(lambda: len(server.workers()) == 2 and len(server.nurseries()) == 1)
    assert not path.exists()
    assert server.ask("/multiprocess").body == b"True"
    server.reload()
    assert load.stop() > 0
    assert (dict(load.failures), set(load.answers)) == ({}, {200})


def test_asked_by_an_app(one):
    """``was.restart()`` does the same, after the request that asks; a broken config is refused."""
    server = one()
    server.write("port = 0\nthreads = x")
    assert server.ask("/restart").code == 200
    server.said(REFUSED)
    server.write(ONE)
    assert server.ask("/restart").code == 200
    server.said("Skitai serves", 2)
    eventually(lambda: server.pids() == {server.process.pid})
    assert server.ask("/").body == str(server.process.pid).encode()


def test_sockets_from_systemd(served):
    """Sockets that the service manager has opened stay open."""
    config = served.write("port = 1")
    with socket.create_server(("127.0.0.1", 0)) as passed:
        server = served.running(config, kind=OneProcess, **passing(passed))
    load = Load(server.port, clients=2)
    for _ in range(2):
        server.reload()
        eventually(lambda: server.pids() == {server.process.pid})
    assert load.stop() > 0
    assert dict(load.failures) == {}


def test_service_manager(served, tmp_path):
    """systemd is told of the reload, and of nothing else: the main process is the same."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        config = served.write(ONE)
        server = served.running(config, kind=OneProcess, NOTIFY_SOCKET=str(tmp_path / "notify"))
        said = [manager.recv(1000).decode()]
        server.signal(signal.SIGHUP)
        said += [manager.recv(1000).decode() for _ in range(2)]
        server.signal(signal.SIGTERM)
        said.append(manager.recv(1000).decode())
        words = [text.partition("=")[0] for text in said]
    assert words == ["READY", "RELOADING", "READY", "STOPPING"]


def test_reopened_logs(one):
    """SIGUSR1 opens the logs anew, also after a reload."""
    server = one("port = 0\napp_log = app.log")
    log = server.folder / "app.log"
    server.ask("/")  # it takes signals
    server.reload()
    eventually(lambda: server.pids() == {server.process.pid})
    server.ask("/log")
    eventually(lambda: "said" in log.read_text())
    log.rename(server.folder / "app.log.1")
    server.signal(signal.SIGUSR1)
    eventually(log.exists)
    server.ask("/log")
    eventually(lambda: "said" in log.read_text())


@pytest.mark.parametrize("nohup", [False, True])
def test_closed_terminal(served, nohup, tmp_path):
    """Who closes the window ends the server, unless nohup(1) started it; that is no reload."""
    config = served.write(ONE)
    script = (
        "import os, sys, signal, time\n"
        "out = os.dup(1)\n"
        "pid, terminal = os.forkpty()\n"
        "if not pid:\n"
        "    signal.signal(signal.SIGHUP, signal.SIG_IGN if sys.argv[1] == 'nohup' else signal.SIG_DFL)\n"
        "    os.dup2(out, 1)\n"
        "    os.dup2(out, 2)\n"
        "    os.execv(sys.argv[2], sys.argv[2:])\n"
        "open('child', 'w').write(str(pid))\n"
        "while not os.path.exists('close'): time.sleep(0.02)\n"
        "os.close(terminal)\n"
        "time.sleep(60)\n"
    )
    launcher = [TWIST[0], "-c", script, "nohup" if nohup else "-"]
    server = served.running(config, kind=OneProcess, launcher=launcher)
    child = int((tmp_path / "child").read_text())
    (tmp_path / "close").touch()
    if nohup:
        time.sleep(0.5)
        assert server.ask("/").code == 200
        os.kill(child, signal.SIGHUP)
        server.said("Skitai serves", 2)
        os.kill(child, signal.SIGKILL)
    else:
        eventually(lambda: not is_alive(child), "the end of the server")
    server.process.kill()
    server.process.wait()
