"""The machine that the fan-out apps ask: `GET /N` is answered after N milliseconds.

`python -m benchmarks.upstream PORT` runs it until it is ended. It need only be much faster than who asks.
"""

from __future__ import annotations

import asyncio
import sys

BODY = b'{"answer": 42}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
ANSWER = HEAD % len(BODY) + BODY
BACKLOG = 4096


class Upstream(asyncio.Protocol):
    """One connection that carries one request at a time, each in one piece: enough for what asks here."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        milliseconds = int(data.split(b" ", 2)[1].lstrip(b"/") or b"0")
        if milliseconds:
            asyncio.get_running_loop().call_later(milliseconds / 1000, self.answer)
        else:
            self.answer()

    def answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(ANSWER)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
