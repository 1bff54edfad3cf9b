"""Three bakeries that can be opened and closed: they stand for the members of a cluster.

Their ports are those of ``[@bakery]`` in sample.conf. Like the slow machines they live in a thread of their
own. Where another program has a port, that bakery is left to it.
"""

import asyncio
import contextlib
import itertools
import json
import threading
from http import HTTPStatus

#: Port and name, as in sample.conf.
BAKERIES = {5071: "Haarlem", 5072: "Delft", 5073: "Leiden"}
#: Seconds that a bakery takes to serve.
DELAY = 0.04
#: Seconds that a connection may idle.
IDLE = 30


class Bakery:
    """One member: a small HTTP server that says who it is. All but ``open`` and ``shut`` is its loop's."""

    def __init__(self, loop, port):
        self.name = BAKERIES[port]
        self._loop = loop
        self._port = port
        self._server = None
        self._clients = set()
        self._loaves = itertools.count(1)

    @property
    def is_open(self):
        """Whether it serves."""
        return self._server is not None

    def open(self):
        """Begin to serve. Any thread may call it."""
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(5)

    def shut(self):
        """Stop serving at once, like a machine that loses power. Any thread may call it."""
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(5)

    async def _open(self):
        if self._server is None:
            with contextlib.suppress(OSError):  # another program listens there
                self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def _shut(self):
        server, self._server = self._server, None
        if server is not None:
            server.close()
            for client in self._clients:
                client.transport.abort()

    async def _serve(self, reader, writer):
        self._clients.add(writer)
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, TimeoutError):
            pass  # it hung up, fell asleep, or does not speak HTTP
        finally:
            self._clients.discard(writer)
            writer.close()

    async def _answer(self, reader, writer):
        """Answer one request; return whether the connection can carry another."""
        async with asyncio.timeout(IDLE):
            head = await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(DELAY)
        known = head.startswith(b"GET ")
        status = HTTPStatus.OK if known else HTTPStatus.METHOD_NOT_ALLOWED
        body = json.dumps({"bakery": self.name, "loaf": next(self._loaves)}).encode()
        fields = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(fields.encode() + body)
        await writer.drain()
        return known


class Street:
    """All bakeries; they open when somebody comes for the first time."""

    def __init__(self):
        self._lock = threading.Lock()
        self._bakeries = {}

    def bakeries(self):
        """Return the bakeries by port. Any thread may ask."""
        with self._lock:
            if not self._bakeries:
                loop = asyncio.new_event_loop()
                threading.Thread(target=loop.run_forever, name="bakeries", daemon=True).start()
                self._bakeries = {port: Bakery(loop, port) for port in BAKERIES}
                for bakery in self._bakeries.values():
                    bakery.open()
        return self._bakeries


street = Street()
