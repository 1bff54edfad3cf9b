"""``cooperative = yes``: code that waits in the standard library holds up nobody."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from processes import environment, run_twist
from serving import FIXTURE_APPS

pytest.importorskip("gevent")


@pytest.fixture(scope="module")
def server(running_server):
    """A server that runs ``fixtureapps.waiting`` in greenlets of gevent."""
    return running_server({"/": f"{FIXTURE_APPS}/waiting:app"}, cooperative="yes")


def ask_all(server, path, count=100):
    """Return the bodies of ``count`` requests at once, and the seconds that they took."""
    began = time.monotonic()
    with ThreadPoolExecutor(count) as threads:
        responses = list(threads.map(lambda number: server.ask(f"{path}?{number}"), range(count)))
    assert {response.status for response in responses} == {"200 OK"}
    return [response.body for response in responses], time.monotonic() - began


def test_sleeping_requests_sleep_together(server):
    """A hundred requests sleep half a second at the same time, each with its own thread-local value."""
    bodies, seconds = ask_all(server, "/sleep")
    assert bodies == [str(number).encode() for number in range(100)]
    assert seconds < 100 * 0.5 / 4


def test_requests_hold_a_lock_over_a_call(server):
    """A lock that is held while a call is under way makes the others wait, and not the server."""
    bodies, _ = ask_all(server, "/lock", 20)
    assert bodies == [str(number).encode() for number in range(20)]


def test_threads_of_an_app_run_beside_it(server):
    """A request may wait for a thread of its own."""
    bodies, _ = ask_all(server, "/thread", 20)
    assert bodies == [str(number).encode() for number in range(20)]


AS_UNDER_GEVENT = """
import os
import queue
import threading

before = (os.close, threading.Event, queue.Queue)
from gevent import Timeout, monkey, pool

monkey.patch_all()
assert before == (os.close, threading.Event, queue.Queue)

from skitai import was

def app(environ, start_response):
    url = f"http://127.0.0.1:{environ['SERVER_PORT']}/"
    if environ["PATH_INFO"] == "/pool":
        body = str(pool.Pool(3).map(lambda _: was.get(url).getwait(5).code, range(3)))
    elif environ["PATH_INFO"] == "/timeout":
        try:
            with Timeout(0.05):
                was.sleep(10)
        except Timeout:
            body = "too late"
    else:
        body = "pong"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]
"""


def test_an_app_that_knows_gevent(running_server, tmp_path):
    """What an app patches itself is patched already; gevent's pools and time-outs work around ``was``."""
    (tmp_path / "knows.py").write_text(AS_UNDER_GEVENT)
    server = running_server({"/": f"{tmp_path}/knows:app"}, cooperative="yes")
    assert server.ask("/pool").body == b"[200, 200, 200]"
    assert server.ask("/timeout").body == b"too late"
    assert "MonkeyPatchWarning" not in server.log_text()


@pytest.mark.parametrize("threads", [0, 2])
def test_an_app_that_patches_too_late(running_server, tmp_path, threads):
    """If an app patches without ``cooperative = yes`` and cannot be loaded, the log says what to do."""
    (tmp_path / "patches.py").write_text("from gevent import monkey\nmonkey.patch_all()\n1 / 0\n")
    server = running_server({"/": f"{tmp_path}/patches:app"}, threads=threads)
    assert server.ask("/").status.startswith("503")
    assert (
        f"[error] {tmp_path}/patches:app: gevent has patched the standard library while the server runs:"
        " take out monkey.patch_all(), and set cooperative = yes instead"
    ) in server.log_text()


def test_threads_stay_what_they_were_elsewhere(running_server):
    """Without the key nothing is patched, though gevent is installed."""
    plain = running_server({"/": f"{FIXTURE_APPS}/waiting:app"}, threads=0, queue_timeout="off")
    _, seconds = ask_all(plain, "/sleep", 3)
    assert seconds > 3 * 0.5


@pytest.mark.parametrize("keys", [{"cooperative": "yes"}, {"threads": 0}], ids=["cooperative", "greenlets"])
def test_a_forked_child_serves_nobody(running_server, keys):
    """A child goes on with its own request alone, waits as it likes, and ends when that is over."""
    forking = running_server({"/": f"{FIXTURE_APPS}/waiting:app"}, queue_timeout="off", **keys)
    bodies, _ = ask_all(forking, "/fork", 10)
    assert bodies == [f"{number} 70".encode() for number in range(10)]
    assert ask_all(forking, "/ping", 10)[0] == [b"pong"] * 10


WITH_A_THREAD = """
import os
import threading
import time

go, gone = threading.Event(), []
threading.Thread(target=lambda: gone.append(go.wait()), daemon=True).start()

def app(environ, start_response):
    child = os.fork()
    if not child:
        go.set()
        time.sleep(0.1)
        os._exit(len(gone))
    _, status = os.waitpid(child, 0)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.waitstatus_to_exitcode(status)).encode()]
"""


def test_threads_of_an_app_end_in_a_forked_child(running_server, tmp_path):
    """A thread that an app started when it was loaded does not go on in a child, as under any server."""
    (tmp_path / "threaded.py").write_text(WITH_A_THREAD)
    server = running_server({"/": f"{tmp_path}/threaded:app"}, cooperative="yes")
    assert server.ask("/").body == b"0"


WITH_A_LOCK = """
import os
import threading
import time

lock, wanted = threading.Lock(), threading.Event()

def want():
    wanted.set()
    with lock:
        pass

def app(environ, start_response):
    with lock:
        threading.Thread(target=want).start()
        wanted.wait()
        time.sleep(0.05)
        child = os.fork()
    if not child:
        os._exit(not lock.acquire(timeout=1))
    _, status = os.waitpid(child, 0)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.waitstatus_to_exitcode(status)).encode()]
"""


def test_a_forked_child_keeps_its_locks(running_server, tmp_path):
    """A lock that a child gives back goes to nobody who waited for it in the server."""
    (tmp_path / "locked.py").write_text(WITH_A_LOCK)
    server = running_server({"/": f"{tmp_path}/locked:app"}, cooperative="yes")
    assert server.ask("/").body == b"0"


def test_the_command_line_takes_it(tmp_path):
    """``--cooperative`` stands for the key, and greenlets are the default then."""
    config = tmp_path / "some.conf"
    config.write_text("[server]\nport = 0\n")
    shown = run_twist("skitai", "--config", config, "--cooperative", "--check").stdout
    assert "cooperative = yes" in shown
    assert "threads = 0" in shown


def test_a_missing_gevent_is_named(tmp_path):
    """The error names the line and what to install."""
    (tmp_path / "gevent.py").write_text("raise ImportError('not here')")
    config = tmp_path / "some.conf"
    config.write_text("[server]\ncooperative = yes\n")
    ended = run_twist("skitai", "--config", config, env=environment(tmp_path))
    assert ended.returncode == 2
    assert "2: [server] cooperative: needs gevent: pip install 'skitai[gevent]'" in ended.stderr


def test_a_patch_of_somebody_else_is_refused(tmp_path):
    """A process that gevent has patched without Skitai does not start: its locks lose wake-ups."""
    config = tmp_path / "some.conf"
    config.write_text("[server]\nport = 0\ncooperative = yes\n")
    (tmp_path / "sitecustomize.py").write_text("from gevent import monkey\nmonkey.patch_all()\n")
    ended = run_twist("skitai", "--config", config, env=environment(tmp_path))
    assert ended.returncode == 2
    assert "3: [server] cooperative: needs a standard library that nobody has patched yet" in ended.stderr
