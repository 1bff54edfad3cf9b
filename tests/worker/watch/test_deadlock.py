"""A lock that would stop everybody under ``threads = 0``."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from serving import config_text, eventually

APP = """
import operator
import queue
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from skitai import was

LOCK = threading.Lock()
pool = ThreadPoolExecutor(1)

def hold():
    with LOCK:
        print("held", flush=True)
        was.sleep(6)

def take():
    with LOCK:
        return

def twice():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()

def get():
    queue.Queue().get()

def wait():
    threading.Event().wait()

def ping():
    pass

# What takes long, but ends.

def sleep():
    time.sleep(3.5)

def result():
    pool.submit(time.sleep, 3.5).result()

def taken_by_thread():
    lock = threading.Lock()
    lock.acquire()
    threading.Timer(3.5, lock.release).start()
    lock.acquire()

def timeout():
    LOCK.acquire()
    LOCK.acquire(timeout=3.5)
    LOCK.release()

def function_in_c():
    event = threading.Event()
    was.run(list, map(operator.call, [partial(time.sleep, 3.5), event.set]))
    event.wait()

def alarm():
    event = threading.Event()
    signal.signal(signal.SIGALRM, lambda *_: event.set())
    signal.setitimer(signal.ITIMER_REAL, 3.5)
    try:
        event.wait()
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

def app(environ, start_response):
    globals()[environ["PATH_INFO"][1:]]()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of the app ``locking:app``."""
    path = tmp_path_factory.mktemp("app")
    (path / "locking.py").write_text(APP)
    return path


@pytest.fixture(scope="module")
def start(running_server, folder):
    """Return ``start()``: a server with plain greenlets, which nobody else has used."""
    return lambda: running_server(config_text({"/": f"{folder}/locking:app"}), threads=0)


@pytest.fixture
def server(start):
    """One such server."""
    return start()


#: Code that takes long, or waits for a thread or a signal.
LONG = ["/sleep", "/result", "/taken_by_thread", "/timeout", "/function_in_c", "/alarm"]
#: Code that waits for itself, or for what no thread can bring.
HOPELESS = ["/twice", "/get", "/wait"]


@pytest.fixture(scope="module")
def met(start):
    """A server, and its answer, for each of these: they wait beside each other, for seconds each."""
    servers = {path: start() for path in (*HOPELESS, *LONG)}
    with ThreadPoolExecutor(len(servers)) as pool:
        asked = {path: pool.submit(server.ask, path) for path, server in servers.items()}
    return {path: (servers[path], asked[path].result()) for path in servers}


def test_a_lock_that_a_greenlet_holds(server, folder):
    """Who waits for it gets an error that names line, holder and remedy; the others go on."""
    with ThreadPoolExecutor(1) as pool:
        holder = pool.submit(server.ask, "/hold")
        eventually(lambda: "held" in server.log_text(), "the holder")
        assert server.ask("/take").status.startswith("500")
        assert holder.result().status == "200 OK"
    assert server.ask("/take").status == "200 OK"
    file = folder / "locking.py"
    assert (
        f"DeadlockError: the lock at {file}:21 in take cannot be released: GET /hold holds it and waits at"
        f" {file}:18 in hold, in the thread that all requests share; give the app threads, or set"
        " cooperative = yes; or release the lock before you wait\n" in server.log_text()
    )


@pytest.mark.parametrize("path", HOPELESS)
def test_what_nobody_can_release(met, path):
    """A request that waits for itself, or for what no thread can bring, ends, and the server goes on."""
    server, answer = met[path]
    assert answer.status.startswith("500")
    assert server.ask("/ping").status == "200 OK"
    assert (
        "cannot be released: no thread runs that could do so, and all requests share this one; give the app"
        in server.log_text()
    )


@pytest.mark.parametrize("path", LONG)
def test_what_only_takes_long(met, path):
    """Code that takes long, or waits for a thread or a signal, is not interrupted."""
    server, answer = met[path]
    assert answer.status == "200 OK"
    assert "cannot be released" not in server.log_text()
