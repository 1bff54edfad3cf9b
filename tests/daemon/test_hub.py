"""Rooms where a server has several workers: they meet at a hub."""

import json
import os
import signal
import subprocess
from contextlib import ExitStack

import pytest
from websockets.sync.client import connect

from serving import REPOSITORY, eventually

SAMPLE = REPOSITORY / "etc" / "sample" / "websocket_app:app"
VISITORS = 8


@pytest.fixture(scope="module")
def server(running_server):
    """Three workers with the room of the sample."""
    return running_server(
        f"[server]\nip = 127.0.0.1\nport = 0\nprocesses = 3\n[routes:line]\n/websocket = {SAMPLE}\n"
    )


@pytest.fixture
def visitors(server):
    """Some visitors of the room, of several workers."""
    url = f"ws://127.0.0.1:{server.port}/websocket/room?last=&name="
    with ExitStack() as stack:
        yield [stack.enter_context(connect(f"{url}N{number}")) for number in range(VISITORS)]


def names(server):
    """Who is in the room, as a worker knows it; nobody while it does not reach the hub."""
    return json.loads(server.ask("/websocket/who").body)["names"] or []


def hear(visitor, text):
    """Wait until ``visitor`` hears ``text``."""
    while text not in json.loads(visitor.recv(60)).get("data", ""):
        pass


def hubs(server):
    """The process ids of the hubs of the server."""
    command = ["ps", "-o", "pid=,args=", "--ppid", str(server.process.pid)]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    return [int(line.split()[0]) for line in lines if "skitai.daemon.hub" in line]


def test_all_workers_have_one_room(server, visitors):
    """Who is there and what is said is the same for all, whichever worker they are at."""
    eventually(lambda: sorted(names(server)) == [f"N{n}" for n in range(VISITORS)], "all of them")
    visitors[0].send("hello")
    for visitor in visitors:
        hear(visitor, "hello")
    assert len(hubs(server)) == 1


def test_a_hub_that_dies(server, visitors):
    """Another one takes its place, with those who are there."""
    eventually(lambda: len(names(server)) == VISITORS, "all of them")
    (hub,) = hubs(server)
    os.kill(hub, signal.SIGKILL)
    eventually(lambda: hubs(server) not in ([], [hub]), "the next hub")
    eventually(lambda: server.log_text().count("the hub of the rooms is back") >= 2, "the workers")
    eventually(lambda: len(names(server)) == VISITORS, "all of them")
    visitors[-1].send("still here?")
    for visitor in visitors:
        hear(visitor, "still here?")


def test_no_hub_without_rooms(running_server):
    """It begins with the first room, and ends with the server."""
    server = running_server(
        f"[server]\nip = 127.0.0.1\nport = 0\nprocesses = 2\n[routes:line]\n/websocket = {SAMPLE}\n"
    )
    assert server.ask("/websocket/").code == 200
    assert hubs(server) == []
    names(server)
    (hub,) = hubs(server)
    server.stop()
    eventually(lambda: not os.path.exists(f"/proc/{hub}"), "the end")
