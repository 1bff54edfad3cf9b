"""Slow machines in a thread of their own: they stand for the other servers that a real page asks.

The worker that asks must not be the one that answers: four threads that all wait for a free thread wait
for ever. So this is a server beside it, on a port that the system picks, and one asyncio loop sleeps for all.
"""

import asyncio
import json
import random
import socket
import threading
import time
from typing import NamedTuple


class Machine(NamedTuple):
    """What it knows, and how many seconds it takes to say so."""

    delay: float
    answer: str


MACHINES = {
    "weather": Machine(0.24, "18 °C, light rain"),
    "profile": Machine(0.15, "Ada, since 1843"),
    "adverts": Machine(1.80, "Buy one kettle, get one kettle"),
    "search": Machine(0.90, "12 kettles found"),
    "stock": Machine(0.42, "31 left in Haarlem"),
    "orders": Machine(0.73, "2 on their way"),
}

#: Seconds that a connection may idle: longer than the client keeps one, so that the client closes first.
IDLE = 30


class Neighbourhood:
    """The server that plays every machine; it starts when the first address is asked for.

    Starting late keeps it out of processes that never ask, and a forked worker gets one of its own.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._listener = None

    def url(self, name):
        """Return the address of a machine. Any thread may ask."""
        with self._lock:
            if self._listener is None:
                self._listener = socket.create_server(("127.0.0.1", 0))
                main = _serve(self._listener)
                threading.Thread(target=asyncio.run, args=(main,), name="slow machines", daemon=True).start()
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/{name}"


async def _serve(listener):
    server = await asyncio.start_server(_converse, sock=listener)
    await server.serve_forever()


async def _converse(reader, writer):
    """Answer the requests of one connection, one after the other, until the client has had enough."""
    try:
        while await _answer(reader, writer):
            pass
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, TimeoutError):
        pass  # it hung up, fell asleep, or does not speak HTTP
    finally:
        writer.close()


async def _answer(reader, writer):
    """Answer one request; return whether the connection can carry another."""
    async with asyncio.timeout(IDLE):
        head = await reader.readuntil(b"\r\n\r\n")
    received = time.monotonic()
    method, path, _ = head.decode("latin-1").split(" ", 2) if head.count(b" ") > 1 else ("", "", "")
    machine = MACHINES.get(path.removeprefix("/")) if method == "GET" else None
    if machine is None:
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return False
    delay = machine.delay * random.uniform(0.92, 1.08)
    await asyncio.sleep(delay)
    # The clock is the machine's, which is the page's too: both can draw on one time axis.
    said = {"answer": machine.answer, "delay": delay, "received": received, "answered": time.monotonic()}
    body = json.dumps(said).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    writer.write(head % len(body) + body)
    await writer.drain()
    return True


neighbourhood = Neighbourhood()
