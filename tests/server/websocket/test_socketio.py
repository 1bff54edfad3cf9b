"""Flask-SocketIO and flask-sock apps as they are, in servers of their own with each executor."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import socketio
from websockets.sync.client import connect

from serving import eventually
from wire import PATIENCE

APPS = Path(__file__).parent / "apps" / "chatting"
EXECUTORS = {"threads": {"threads": 4}, "greenlets": {"threads": 0}, "cooperative": {"cooperative": "yes"}}
#: Under plain greenlets a poll, which waits in a queue of the library, would hold up everybody.
WAYS = {
    "threads": (["websocket"], ["polling", "websocket"], ["polling"]),
    "greenlets": (["websocket"],),
    "cooperative": (["websocket"], ["polling", "websocket"], ["polling"]),
}


@pytest.fixture(scope="module", params=EXECUTORS)
def executor(request):
    """The name of an executor."""
    return request.param


@pytest.fixture(scope="module")
def server(executor, running_server):
    mounts = {"/": f"{APPS}:app", "/sock": f"{APPS}:plain", "/own": f"{APPS}:plain threads=2"}
    return running_server(mounts, response_timeout="2", **EXECUTORS[executor])


class Member:
    """A client of Socket.IO; ``heard`` is what it was sent."""

    def __init__(self, server, transports, **options):
        self.heard = []
        self.client = socketio.Client(reconnection=False, request_timeout=PATIENCE)
        self.client.on("echoed", self.heard.append)
        self.client.on("told", self.heard.append)
        self.client.connect(server.url, transports=transports, wait_timeout=PATIENCE, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.wait()

    def ask(self, event, *data):
        return self.client.call(event, data, timeout=PATIENCE)

    def hears(self, message):
        eventually(lambda: message in self.heard, "the message")


@contextmanager
def members(server, transports, count):
    """Yield so many clients, which leave together: each takes a second for it."""
    made = [Member(server, transports) for _ in range(count)]
    try:
        yield made
    finally:
        with ThreadPoolExecutor() as threads:
            list(threads.map(Member.__exit__, made))


def test_socketio(executor, server):
    """All ways of Engine.IO: texts and bytes, short and long, answers, rooms, events from a plain view."""
    for transports in WAYS[executor]:
        with members(server, transports, 2) as (member, other):
            assert member.ask("sum", 2, 3) == 5
            for data in ("hi", b"\0\1", "x" * 1_000_000, b"x" * 2_000_000):
                member.client.emit("echo", data)
                member.hears(data)
            assert other.ask("enter", "here") == member.ask("enter", "here") == "entered"
            assert server.ask("/tell/here?text=news").body == b"told"
            for one in (member, other):
                one.hears("news")
            assert member.client.transport() == transports[-1]


def test_more_clients_than_threads(server):
    """Websockets take no thread from others."""
    with members(server, ["websocket"], 6) as here:
        assert [member.ask("sum", 1, 1) for member in here] == [2] * 6
        assert server.ask("/tell/nobody?text=x").body == b"told"


def test_refused_and_ended(server):
    """The app may refuse a client, and end one; a client that leaves is missed."""
    with pytest.raises(socketio.exceptions.ConnectionError):
        Member(server, ["websocket"], auth={"key": "wrong"})
    before = int(server.ask("/left").body)
    with Member(server, ["websocket"]) as member:
        member.client.emit("end")
        eventually(lambda: not member.client.connected, "the end by the app")
    with Member(server, ["websocket"]):
        pass
    eventually(lambda: int(server.ask("/left").body) == before + 2, "the end of both")


@pytest.mark.parametrize("mount", ["sock", "own"])
def test_flask_sock(executor, server, mount):
    """A mount with threads of its own is served in them, whatever the others run in."""
    url = f"ws://127.0.0.1:{server.port}/{mount}"
    with connect(f"{url}/echo", max_size=None, open_timeout=PATIENCE) as client:
        for message in ("hi", b"\0\1", "é" * 100_000, b"x" * 3_000_000, ""):
            client.send(message)
            assert client.recv(PATIENCE) == message
    assert client.close_code == 1000
    with connect(f"{url}/about", open_timeout=PATIENCE) as client:
        name, multithread = client.recv(PATIENCE).rsplit(" ", 1)
    assert multithread == str(mount == "own" or executor != "cooperative")
    if mount == "own":
        assert name.startswith("skitai-app-/own-")


def test_coming_and_going(server):
    """Clients that come and go leave neither threads nor descriptors."""

    def counts():
        folder = Path(f"/proc/{server.process.pid}")
        return len(os.listdir(folder / "fd")), len(os.listdir(folder / "task"))

    def visit():
        for path in ("/sock/echo", "/own/echo"):
            with connect(f"ws://127.0.0.1:{server.port}{path}", open_timeout=PATIENCE) as client:
                client.send("hi")
                assert client.recv(PATIENCE) == "hi"
                if path == "/own/echo":
                    client.socket.close()

    visit()
    before = counts()
    for _ in range(50):
        visit()
    eventually(lambda: all(now <= then for now, then in zip(counts(), before, strict=True)), "the end of all")


def test_the_end(server):
    """The server stops in order though websockets are open, and has logged no failure.

    A thread of the library may end with a traceback, under any server: it closes a socket that another thread
    of the library has just closed.
    """
    here = [Member(server, ["websocket"]) for _ in range(3)]
    with connect(f"ws://127.0.0.1:{server.port}/sock/echo", open_timeout=PATIENCE):
        server.stop()
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda member: member.client.wait(), here))
    log = server.log_text()
    assert "[error]" not in log, log
    assert "[critical]" not in log, log
