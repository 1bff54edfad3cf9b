"""The folder of a cache belongs to one server: its processes share it, and another server is refused."""

import os
import subprocess
import sys
import threading
import time

import pytest
from cache_world import reply

from processes import environment
from serving import eventually, patient
from skitai.services.proxy.cache import claim
from skitai.services.proxy.cache.claim import NAME, Claim, InUseError
from supervised import OneProcess, Supervised, is_alive
from wire import PATIENCE

LOOKUP = "X-Cache-Lookup"
FRESH = "Cache-Control: max-age=60"
REFUSED = "; replies are kept in memory only"
HOLDS = """
import resource, runpy, sys
from pathlib import Path
if sys.argv[4:]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # no byte can be written
Claim = runpy.run_path(sys.argv[1])["Claim"]  # nothing else is loaded
claim = Claim(Path(sys.argv[2]), int(sys.argv[3]))
print("holds", flush=True)
sys.stdin.read()
"""
TRIES = """
import os, runpy, sys
from pathlib import Path
claim = runpy.run_path(sys.argv[1])
os.close = lambda file: None  # a process may be halted there
for main_pid in range(2, 40):  # those below the place of server 1, and those above it
    try:
        claim["Claim"](Path(sys.argv[2]), main_pid)
    except claim["InUseError"]:
        print("refused", flush=True)
sys.stdin.read()
"""
CONFIG = """
[server]
ip = 127.0.0.1
port = 0
processes = 2
access_log = off

[routes:line]
/ = @up cache=yes

[cache]
folder = {folder}

[@up]
members = 127.0.0.1:{port}
"""


@pytest.fixture
def holding(tmp_path):
    """Return ``holding(main_pid)``: another process that has the folder ``cache`` for that server.

    ``full``: its disk is.
    """
    started = []
    (tmp_path / "cache").mkdir()

    def start(main_pid, *, full=False):
        arguments = [claim.__file__, str(tmp_path / "cache"), str(main_pid), *["full"] * full]
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDS, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(),
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == b"holds\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_another_server(caching, holding, tmp_path, lines):
    """As long as another server has the folder, replies are in memory; one that was killed has it no more."""
    process = holding(1)
    refused = caching("folder = cache")
    refused.put(FRESH)
    assert refused.ask()[LOOKUP] == "MEM_HIT"
    host = os.uname().nodename
    assert f"[cache] folder: another server has it (process 1 on {host}){REFUSED}" in lines()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [NAME]
    process.kill()
    process.wait()
    caching("folder = cache").put(FRESH)
    assert caching("folder = cache").ask()[LOOKUP] == "HIT"


def test_processes_of_one_server(caching, holding):
    """Processes of one server share the folder, whoever comes first."""
    first = holding(os.getpid())
    cache = caching("folder = cache")
    cache.put(FRESH)
    holding(os.getpid())
    first.kill()
    first.wait()
    assert caching("folder = cache").ask()[LOOKUP] == "HIT"


def test_a_server_that_is_being_refused(holding, tmp_path):
    """It keeps out no process of the server that has the folder, which may claim it at that moment."""
    holding(1)
    command = [sys.executable, "-c", TRIES, claim.__file__, str(tmp_path / "cache")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as process:
        assert [process.stdout.readline() for _ in range(38)] == 38 * [b"refused\n"]
        holding(1)


def test_a_server_whose_disk_is_full(holding, tmp_path):
    """The folder is for one server then, too, though nothing can be written that says for which."""
    holding(1, full=True)
    with pytest.raises(InUseError, match="its name is not known"):
        Claim(tmp_path / "cache", 2)
    assert (tmp_path / "cache" / NAME).stat().st_size == 0
    Claim(tmp_path / "cache", 1)


def test_a_folder_of_something_else(tmp_path):
    """A folder that was named by mistake keeps what is in it, also what has a name that many files have."""
    (tmp_path / "server").write_text("a program")
    Claim(tmp_path, 1)
    assert (tmp_path / "server").read_text() == "a program"


def test_a_server_that_stops(holding, tmp_path):
    """What is released is for others, although the process goes on for the requests under way."""
    claimed = Claim(tmp_path / "cache", 1)
    with pytest.raises(AssertionError):
        holding(2)
    claimed.release()
    holding(2)
    with pytest.raises(InUseError):
        Claim(tmp_path / "cache", 1)


def test_a_server_that_answers_while_it_stops(caching, holding, scripted):
    """It lets go when its stop begins, not when what is under way has been answered."""
    may_answer = threading.Event()

    def late(connection):
        may_answer.wait(PATIENCE)
        connection.send(reply(b"late", FRESH))

    scripted.replies = [late]
    server = caching("folder = cache").server
    stops = []
    with server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        scripted.wait_for(1)
        server.loop.call(lambda: stops.append(server.instance.stopService()))
        try:
            holding(1)
            assert not stops[0].called
        finally:
            may_answer.set()
        assert client.response().body == b"late"
    server.loop.call(stops.pop)


def test_a_reload_of_one_process(scripted, tmp_path):
    """The folder goes from the process to its stand-in and back, and stays the server's."""
    scripted.replies = [reply(b"ok", "Cache-Control: max-age=1000")]
    folder = tmp_path / "cache"
    config = CONFIG.replace("processes = 2\n", "").format(folder=folder, port=scripted.port)
    (tmp_path / "site.conf").write_text(patient(config))
    server = OneProcess(tmp_path, tmp_path / "site.conf")
    try:
        assert server.ask("/", host="a")[LOOKUP] == "MISS"
        server.reload()
        assert server.ask("/", host="a")[LOOKUP] in ("HIT", "MEM_HIT")
        eventually(lambda: server.pids() == {server.process.pid}, "the end of the stand-in")
        with pytest.raises(InUseError, match=f"process {server.process.pid} on"):
            Claim(folder, 1)
        assert REFUSED not in server.log_text()
        assert len(scripted.asked) == 1
    finally:
        server.end()


def test_workers(caching, scripted, clock, tmp_path, lines):
    """Workers share the folder, and no other server has it before their end, as after a kill."""
    clock.now = time.time()
    scripted.replies = [reply(b"ok", "Cache-Control: max-age=1000")]
    folder = tmp_path / "cache"
    (tmp_path / "site.conf").write_text(patient(CONFIG.format(folder=folder, port=scripted.port)))
    workers = Supervised(tmp_path, tmp_path / "site.conf")

    def lookup(server):
        return server.ask("/", host="a")[LOOKUP]

    try:
        assert lookup(workers) == "MISS"
        eventually(lambda: list(folder.glob("??/*")), "the reply in the folder")
        eventually(lambda: lookup(workers) == "HIT", "the worker that has not asked")
        assert len(scripted.asked) == 1
        scripted.replies = [reply(b"other", "Cache-Control: max-age=1000")]
        refused = caching("folder = cache")
        assert (lookup(refused), lookup(refused)) == ("MISS", "MEM_HIT")
        taken = f"another server has it (process {workers.process.pid} on {os.uname().nodename})"
        assert f"[cache] folder: {taken}{REFUSED}" in lines()
        assert REFUSED not in workers.log_text()
        pids = workers.workers()
        workers.process.kill()
        workers.process.wait()
        eventually(lambda: not any(map(is_alive, pids)), "the end of the workers")
        assert lookup(caching("folder = cache")) == "HIT"
    finally:
        workers.end()
