"""SIGTERM and SIGINT end the process, whatever its code does."""

import importlib.util
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving import RunningServer, config_text, eventually
from wire import PATIENCE

APP = """
import ctypes
import os
import signal
import threading
import time

from skitai import was

lock = threading.Lock()

def sleep():
    time.sleep(1e6)

def compute():
    while True:
        pass

def wait_for_lock():
    lock.acquire()
    lock.acquire()

def refuse():
    while True:
        try:
            sleep()
        except BaseException:
            pass

def call_c():
    mutex = ctypes.create_string_buffer(64)
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(mutex)

def leave():
    threading.Thread(target=sleep).start()
    was.shutdown()

def fork():
    child = os.fork()
    if not child:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
        os.kill(os.getpid(), signal.SIGTERM)
        sleep()
    os.waitpid(child, 0)

def keep():
    threading.Thread(target=sleep).start()

def app(environ, start_response):
    print("entered", flush=True)
    globals()[environ["PATH_INFO"][1:]]()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""

EXECUTORS = {"threads": {"threads": 2}, "greenlets": {"threads": 0}}
if importlib.util.find_spec("gevent"):
    EXECUTORS["cooperative"] = {"cooperative": "yes"}


@pytest.fixture
def stuck(tmp_path):
    """Return ``stuck(path, executor)``: a server that has been asked for ``path``."""
    servers = []
    pool = ThreadPoolExecutor(2 * len(EXECUTORS))
    (tmp_path / "stuck.py").write_text(APP)

    def start(path, executor, response_timeout="0.5"):
        text = config_text(
            {"/": f"{tmp_path}/stuck:app"}, response_timeout=response_timeout, **EXECUTORS[executor]
        )
        folder = tmp_path / executor
        folder.mkdir()
        server = RunningServer(folder, text, None)
        servers.append(server)
        for _ in range(2):
            pool.submit(server.ask, path)
        eventually(lambda: "entered" in server.log_text(), "the request")
        return server

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
    pool.shutdown()


def ended(server):
    """Return the status of a process that must end, and the seconds until it does."""
    began = time.monotonic()
    return server.process.wait(PATIENCE), time.monotonic() - began


@pytest.fixture(params=["sleep", "compute", "wait_for_lock", "refuse", "call_c", "keep"])
def path(request):
    """What a view does for ever."""
    return request.param


def test_a_signal_ends_it(stuck, path):
    """A view that never returns, and threads that never end, do not keep the process from ending.

    The servers with each of the executors end beside each other, for an end takes two seconds.
    """
    servers = {executor: stuck(f"/{path}", executor) for executor in EXECUTORS}
    for server in servers.values():
        server.process.send_signal(signal.SIGTERM)
    with ThreadPoolExecutor(len(servers)) as pool:
        found = dict(zip(servers, pool.map(ended, servers.values()), strict=True))
    for executor, (status, seconds) in found.items():
        assert (executor, status) == (executor, -signal.SIGTERM)
        assert seconds < 10, executor
        if path == "call_c" and executor != "threads":
            log = servers[executor].log_text()
            assert "the server has not stopped in time: the process is ended: GET /" in log, executor


def test_what_is_interrupted_is_named(stuck):
    """The log names the request that held up the stop; then the server stops in good order."""
    server = stuck("/sleep", "greenlets")
    server.process.send_signal(signal.SIGINT)
    assert ended(server)[0] == -signal.SIGINT
    log = server.log_text()
    assert "the server stops: what holds it up is interrupted: GET /sleep\n" in log
    assert "GET /sleep failed (request " in log
    assert "Main loop terminated" in log


def test_a_second_signal_ends_it_soon(stuck):
    """Whoever sends a second signal does not wait for requests any longer."""
    server = stuck("/sleep", "greenlets", response_timeout=60)
    server.process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        server.process.wait(0.5)
    server.process.send_signal(signal.SIGINT)
    status, seconds = ended(server)
    assert status == -signal.SIGINT
    assert seconds < 10


def test_threads_of_an_app_do_not_hold_up_its_end(stuck):
    """After an end that the app has asked for, the interpreter does not wait for its threads for ever."""
    assert ended(stuck("/leave", "threads"))[0] == 0


def test_signals_of_a_child_are_its_own(stuck):
    """A signal to a process that an app has forked does not stop the server."""
    server = stuck("/fork", "threads")
    with pytest.raises(subprocess.TimeoutExpired):
        server.process.wait(3)
    server.stop()
