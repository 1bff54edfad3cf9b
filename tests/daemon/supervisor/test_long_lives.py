"""Workers that live long, and what becomes of long connections when they are replaced."""

import os
import re
import signal
import socket
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from serving import eventually
from supervised import Load, OneProcess, Supervised, shares
from wire import PATIENCE, Client

TALK = """
import os
import skitai
from skitai.saddle import Saddle

app = Saddle(__name__)

@app.route("/pid")
def pid(was):
    return str(os.getpid())

@app.route("/talk")
def talk(was):
    if "websocket_init" in was.env:
        was.env["websocket_init"] = (skitai.WEBSOCKET_DEDICATE, 60, None)
        return ""
    ws = was.env["websocket"]
    for message in ws:
        ws.send(message)
"""
LEAK = """
kept = []

def app(environ, start_response):
    kept.append(b"x" * (1 << 16))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"kept"]
"""
_STATUS = b"HTTP/1.1 200 "
#: What 50,000 requests may add to the memory of a worker, in KB: a leak of 100 bytes each would be 5,000.
_GROWTH_KB = 3000


def use(port, times, connections=8, at_once=50):
    """Have ``times`` requests answered: each connection sends some before it reads the answers of all."""
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    ends = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(connections)]
    for _ in range(times // connections // at_once):
        for end in ends:
            end.sendall(request * at_once)
        for end in ends:
            got, tail = 0, b""
            while got < at_once:
                received = end.recv(1 << 16)
                assert received, "a connection was closed"
                got += (tail + received).count(_STATUS)
                tail = (tail + received)[1 - len(_STATUS) :]
    for end in ends:
        end.close()


def memory_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"RssAnon:\s+(\d+)", file.read())[1])


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.parametrize("threads", [4, 0], ids=["threads", "greenlets"])
def test_memory_and_descriptors(served, threads):
    """They are no more after many requests as after some. SKITAI_MANY=50000 for the real number."""
    many = int(os.environ.get("SKITAI_MANY", "6000"))
    server = served(f"port = 0\nprocesses = 2\nthreads = {threads}")
    use(server.port, many // 10)
    eventually(lambda: len(server.workers()) == 2)
    workers = sorted(server.workers())

    def figures():
        return [descriptors(pid) for pid in workers]

    eventually(lambda: max(figures()) - min(figures()) == 0)
    before, memory = figures(), [memory_kb(pid) for pid in workers]
    use(server.port, many)
    # Fewer than before is no leak: the first count may have met connections that were about to close.
    eventually(lambda: all(now <= then for now, then in zip(figures(), before, strict=True)))
    after = [memory_kb(pid) for pid in workers]
    print("KB after a tenth and after all:", memory, after)
    assert all(new - old < _GROWTH_KB for old, new in zip(memory, after, strict=True))
    assert sorted(server.workers()) == workers


def test_max_memory(served):
    """A worker that has grown beyond it is replaced, and no request fails."""
    config = served.write("port = 0\nprocesses = 2\nmax_memory = 160 MB")
    (config.parent / "served.py").write_text(LEAK)
    server = served.running(config)
    load = Load(server.port, clients=2)
    eventually(lambda: len(re.findall(r"is replaced after \d+ MB", server.log_text())) >= 3)
    load.stop()
    assert (dict(load.failures), set(load.answers)) == ({}, {200}), server.log_text()
    eventually(lambda: len(server.workers()) == 2)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM], ids=lambda number: number.name)
def test_websockets(served, processes, number):
    """They are closed with 1001 when their worker is replaced, and when the server stops."""
    config = served.write(f"port = 0\nprocesses = {processes}", "/ = ./talking:app")
    (config.parent / "talking.py").write_text(TALK)
    server = served.running(config, kind=Supervised if processes > 1 else OneProcess)
    url = f"ws://127.0.0.1:{server.port}/talk"
    with ExitStack() as opened:
        clients = [opened.enter_context(connect(url, compression=None)) for _ in range(4)]
        for client in clients:
            client.send("hi")
            assert client.recv(PATIENCE) == "hi"
        server.signal(number)
        codes = []
        for client in clients:
            with pytest.raises(ConnectionClosed):
                client.recv(PATIENCE)
            codes.append(client.close_code)
        assert codes == [1001] * 4
    if number == signal.SIGTERM:
        server.ends()
    else:
        server.said("Skitai serves", 2)


def test_even_load_of_many(served):
    """Four workers share out 800 connections within a fifth."""
    server = served("port = 0\nprocesses = 4")
    found = shares(server.port, 800)
    assert len(found) == 4
    assert found[0] >= 0.8 * found[-1]


def test_generations_that_drain(served):
    """Besides the one that was replaced last, two may still have requests; those of an older one are cut."""
    server = served("port = 0\nprocesses = 2\nthreads = 2\nshutdown_timeout = 60")
    clients = []
    for number in range(4):
        eventually(lambda number=number: len(server.workers()) == 2 + number)  # nobody else drains
        client = Client(server.port)
        client.send(b"GET /sleep?100 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert server.ask("/").code == 200
        clients.append(client)
        server.reload()
    eventually(lambda: (len(server.workers()), len(server.nurseries())) == (2 + 3, 1 + 3))
    assert clients[0].at_end()
    assert "Traceback" not in server.log_text()
    server.signal(signal.SIGQUIT)
    assert server.ends() == 0
    for client in clients:
        client.close()
