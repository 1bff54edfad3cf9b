"""Apps that set signal handlers: the server's stay, and the apps' are called, too.

Under gunicorn such a handler for SIGTERM takes that of the worker away, and only SIGKILL ends it.
"""

import os
import signal
import subprocess
import time

import pytest

from serving import RunningServer, config_text, eventually
from wire import PATIENCE

APP = """
import os, signal, subprocess, sys

def told(number, frame):
    print("told", signal.Signals(number).name, flush=True)
    if number == signal.SIGTERM:
        if callable(before):  # the server's own, unless the app is loaded before that
            before(number, frame)
        sys.exit(3)

def fails(number, frame):
    raise ValueError("of the app")

try:
    before = signal.signal(signal.SIGTERM, told)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, told)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, fails)
    print("set", flush=True)
except ValueError as error:
    print("cannot:", error, flush=True)

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/again":
        signal.signal(signal.SIGTERM, lambda *_: print("told again", flush=True))
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/child":
        return [str(subprocess.run(["true"]).returncode).encode()]
    return [str(os.getpid()).encode()]
"""


def start(folder, threads, **keys):
    (folder / "views.py").write_text(APP, encoding="utf-8")
    return RunningServer(folder, config_text({"/": "./views:app"}, **keys), threads)


def ended(server):
    status = server.process.wait(PATIENCE)
    assert status in (0, -signal.SIGTERM, -signal.SIGINT), server.log_text()
    return server.log_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("threads", "keys"),
    [(0, {}), (4, {}), (0, {"processes": 2}), (4, {"processes": 2, "preload": "yes"})],
    ids=["greenlets", "threads", "workers", "preloaded"],
)
def test_the_server_ends_and_the_app_is_told(tmp_path, threads, keys, number):
    """However the app was loaded, in a thread, too, the signal ends the server, and the app hears of it."""
    server = start(tmp_path, threads, **keys)
    try:
        server.ask("/")
        eventually(lambda: "set\n" in server.log_text(), "the load")
        eventually(lambda: "has set a handler for SIGTERM" in server.log_text(), "the warning")
        server.process.send_signal(number)
        log = ended(server)
    finally:
        server.process.kill()
        server.process.wait()
    if number == signal.SIGTERM or not keys:  # a worker is told to end by SIGTERM
        assert f"told {number.name}" in log
    assert log.count("has set a handler for SIGTERM") == 1  # not each worker
    assert "Traceback" not in log


def test_reload_logs_and_children(tmp_path):
    """SIGHUP reloads, SIGUSR1 opens logs anew, children are reaped; what a handler raises ends nothing."""
    server = start(tmp_path, 0)
    try:
        pid = server.ask("/").body
        for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"):
            eventually(lambda name=name: f"has set a handler for {name}" in server.log_text(), name)
        eventually(lambda: "taken the handler of SIGCHLD away" in server.log_text(), "SIGCHLD")
        assert server.ask("/child").body == b"0"
        server.process.send_signal(signal.SIGUSR1)
        eventually(
            lambda: "fails failed" in server.log_text() and "ValueError: of the app" in server.log_text()
        )
        assert server.ask("/").body == pid
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: "told SIGHUP" in server.log_text(), "the app's handler")
        eventually(lambda: server.log_text().count("set\n") >= 2, "the reload")
    finally:
        server.stop()


def test_a_handler_that_is_set_in_a_view(tmp_path):
    """One that is set later takes the place for a second at most."""
    server = start(tmp_path, 0)
    try:
        server.ask("/again")
        eventually(lambda: "views.app.<locals>.<lambda> has set" in server.log_text(), "the warning")
        server.process.send_signal(signal.SIGTERM)
        assert "told again" in ended(server)
    finally:
        server.process.kill()
        server.process.wait()


@pytest.mark.parametrize(
    ("threads", "keys"), [(4, {}), (0, {}), (4, {"processes": 2})], ids=["threads", "greenlets", "workers"]
)
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_signals_that_mean_nothing(tmp_path, threads, keys, number):
    """SIGUSR2 changes nothing, and SIGUSR1 only the logs; by default either would end the process."""
    (tmp_path / "plain.py").write_text(
        "import os\n\ndef app(environ, start_response):\n    start_response('200 OK', [])\n"
        "    return [str(os.getpid()).encode()]\n",
        encoding="utf-8",
    )
    server = RunningServer(tmp_path, config_text({"/": "./plain:app"}, **keys), threads)
    try:
        worker = int(server.ask("/").body)
        for pid in {server.process.pid, worker}:
            os.kill(pid, number)
        # What is sent later is handled later: when this has an effect, so had the others.
        children = subprocess.run(
            ["pgrep", "-P", str(server.process.pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        for pid in map(int, children):
            os.kill(pid, number)
        time.sleep(0.3)
        for _ in range(5):
            assert server.ask("/").code == 200
        os.kill(worker, 0)
        assert server.process.poll() is None
    finally:
        server.stop()


CHILDREN = """
import multiprocessing, os, signal

NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1)

def handlers(queue):
    queue.put([repr(signal.getsignal(number)) for number in NUMBERS] + [signal.set_wakeup_fd(-1)])

def app(environ, start_response):
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=handlers, args=(queue,))
    child.start()
    found = queue.get()
    child.join()
    pool = context.Pool(1)
    pool.apply(os.getpid)
    pool.terminate()
    pool.join()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["\\n".join(map(str, found)).encode()]
"""


@pytest.mark.parametrize("threads", [4, 0], ids=["threads", "greenlets"])
def test_children_have_no_handler_of_the_server(tmp_path, threads):
    """A forked child has the defaults, and wakes nobody's reactor; a pool of them can be terminated.

    It would otherwise write to the descriptor that both share. SIGTERM, which ``Pool.terminate`` sends, would
    ask a reactor that does not run there.
    """
    (tmp_path / "forking.py").write_text(CHILDREN, encoding="utf-8")
    server = RunningServer(tmp_path, config_text({"/": "./forking:app"}), threads)
    try:
        for _ in range(2):
            term, interrupt, hang_up, child, usr1, wakeup = server.ask("/").body.decode().splitlines()
            # In a thread, Python lets nobody change handlers; the child's only thread is the main one.
            assert "SIG_DFL" in term
            assert "default_int_handler" in interrupt
            assert "SIG_DFL" in hang_up
            assert "SIG_DFL" in child
            assert "SIG_DFL" in usr1
            assert wakeup == "-1"
    finally:
        server.stop()
