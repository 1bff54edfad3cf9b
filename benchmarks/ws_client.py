"""Clients of websockets (RFC 6455) that do as little as they can, so that the server is what is measured."""

from __future__ import annotations

import select
import socket
from array import array
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.measure import CONNECTIONS_PER_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TEXT, PING, PONG = 0x81, 0x89, 0x8A
MASKED = 0x80
#: Any four bytes are a mask; with these the payload is what it was, and the server cannot know that.
MASK = b"\0\0\0\0"
PATIENCE = 30.0  # seconds in which something must come
EVENTS = 1024  # at most, of one look at the sockets
_HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def masked_frame(payload: bytes, first: int = TEXT) -> bytes:
    """Return the frame of a client for a payload of less than 126 bytes."""
    return bytes((first, MASKED | len(payload))) + MASK + payload


def frames_in(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the first byte and the payload of each frame of a server, none longer than 125 bytes."""
    at = 0
    while at < len(data):
        start = at + 2
        at = start + data[at + 1]
        if at > len(data):
            raise ConnectionError("a frame came in parts")
        yield data[start - 2], data[start:at]


def opened(port: int, path: str, number: int = 0) -> socket.socket:
    """Return a websocket; raises ConnectionError if the server refuses it."""
    source = f"127.0.0.{2 + number // CONNECTIONS_PER_ADDRESS}"
    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE, source_address=(source, 0))
    try:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(_HANDSHAKE.format(path=path, port=port).encode())
        _read_head(client)
    except BaseException:
        client.close()
        raise
    return client


def _read_head(client: socket.socket) -> None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        chunk = client.recv(4096)
        if not chunk:
            break
        head += chunk
    if not head.startswith(b"HTTP/1.1 101 "):
        raise ConnectionError(f"no websocket, but {head[:80]!r}")


@contextmanager
def websockets(port: int, path: str, count: int) -> Iterator[list[socket.socket]]:
    """Have that many websockets open for the length of the block."""
    clients: list[socket.socket] = []
    try:
        for number in range(count):
            clients.append(opened(port, path, number))
        yield clients
    finally:
        for client in clients:
            client.close()


def still_open(clients: Sequence[socket.socket]) -> int:
    """Count the websockets that the server has not closed: it may have sent something, such as a ping."""
    return sum(map(_is_open, clients))


def _is_open(client: socket.socket) -> bool:
    try:
        return bool(client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return True


@dataclass
class Echoes:
    """What came back within `seconds`: the times that each message took, in seconds."""

    seconds: float = 0.0
    times: array[float] = field(default_factory=lambda: array("d"))

    @property
    def per_second(self) -> float:
        """Messages a second."""
        return len(self.times) / self.seconds

    @property
    def p99_ms(self) -> float:
        """Milliseconds in which 99 of 100 came back."""
        return percentile(self.times, 0.99) * 1000


def percentile(times: Sequence[float], share: float) -> float:
    """Return what `share` of the times, of which there is at least one, are below."""
    return sorted(times)[min(int(len(times) * share), len(times) - 1)]


def echo(clients: Sequence[socket.socket], message: bytes, seconds: float) -> Echoes:
    """Send `message` over each websocket, and again each time that it has come back.

    Raises ConnectionError for anything else than the echo, TimeoutError if nothing comes.
    """
    found = Echoes()
    frame, expected = masked_frame(message), bytes((TEXT, len(message))) + message
    sockets = {client.fileno(): (client.recv, client.send) for client in clients}
    sent = {}
    note = found.times.append
    with select.epoll() as poll:
        began = now = perf_counter()
        for number, (_, send) in sockets.items():
            poll.register(number, select.EPOLLIN)
            sent[number] = now
            send(frame)
        while now < began + seconds:
            ready = poll.poll(PATIENCE, EVENTS)
            if not ready:
                raise TimeoutError("no message came back")
            for number, _ in ready:
                receive, send = sockets[number]
                data = receive(4096)
                if data != expected and not _is_echo(data, expected, send):
                    continue
                now = perf_counter()
                note(now - sent[number])
                sent[number] = now
                send(frame)
    found.seconds = now - began
    return found


def _is_echo(data: bytes, expected: bytes, send: Callable[[bytes], int]) -> bool:
    """Answer the pings in `data`; return whether the echo is there, too. Raises ConnectionError for more."""
    frames = dict(frames_in(data))
    if (ping := frames.pop(PING, None)) is not None:
        send(masked_frame(ping, PONG))
    if frames not in ({}, {TEXT: expected[2:]}):
        raise ConnectionError(f"this is not the echo: {data[:80]!r}")
    return bool(frames)
