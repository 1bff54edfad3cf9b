"""Large bodies, and many of them, through ``twist skitai`` in a process of its own: its memory is bounded."""

import asyncio
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from proxy_world import Member

from wire import PATIENCE, Client

MB = 1 << 20
GB = 1 << 30
PIECE = bytes(range(256)) * 4096
MANY, EACH = 200, 10 * MB


class Answering:
    """A member that answers each request with ``size`` bytes, in a thread of its own."""

    def __init__(self, size):
        self._size = size
        self._writers = []
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    async def _serve(self, reader, writer):
        self._writers.append(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self._size)
                for _ in range(self._size // MB):
                    writer.write(PIECE)
                    await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass  # the proxy has closed it

    async def _end(self):
        self._server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)
        await asyncio.sleep(0.1)  # the tasks of the connections see their ends

    def close(self):
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="module")
def ends():
    """A member for uploads, and one for many replies."""
    made = Member(), Answering(EACH)
    yield made
    for member in made:
        member.close()


@pytest.fixture(scope="module")
def server(running_server, ends):
    """A proxy in front of both."""
    literal, many = ends
    return running_server(
        "[server]\nip = 127.0.0.1\nport = 0\naccess_log = off\nbody_max = 2 gb\n"
        "[http]\nconnections_per_host = 500\n"
        "[routes:line]\n/one = @one\n/streamed = @one buffer=no\n/many = @many\n"
        f"[@one]\nmembers = 127.0.0.1:{literal.port}\n[@many]\nmembers = 127.0.0.1:{many.port}\n"
    )


@pytest.fixture
def growth(server):
    """Return ``growth()``: how many bytes the server has needed at most beyond those at the start."""
    process = Path("/proc", str(server.process.pid))
    (process / "clear_refs").write_text("5")  # its peak is the present size

    def memory(name):
        lines = (process / "status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))

    before = memory("VmRSS")
    return lambda: memory("VmHWM") - before


def send(send, size):
    for _ in range(size // MB):
        send(PIECE)


def is_whole(read, size):
    """Return whether what is read are ``size`` bytes as ``send`` sends them."""
    return all(read(MB) == PIECE for _ in range(size // MB))


@pytest.mark.parametrize(("path", "size"), [("/streamed", GB), ("/one", GB // 4)])
def test_upload(server, ends, growth, path, size):
    """1 GB goes to a member as it comes; what is collected first waits in a file."""
    with Client(server.port) as client:
        client.send(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode())
        sender = threading.Thread(target=send, args=(client.send, size))
        sender.start()
        connection = ends[0].accept()
        assert f"Content-Length: {size}".encode() in connection.head()
        assert is_whole(connection.file.read, size)
        sender.join()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert client.response().body == b"ok"
        connection.close()
    assert growth() < 16 * MB


def test_download(server, ends, growth):
    """1 GB comes from a member."""
    with Client(server.port) as client:
        client.send(b"GET /one HTTP/1.1\r\nHost: a\r\n\r\n")
        connection = ends[0].accept()
        connection.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GB)
        sender = threading.Thread(target=send, args=(connection.send, GB))
        sender.start()
        assert client.read_head().code == 200
        assert is_whole(client.read, GB)
        sender.join()
        connection.close()
    assert growth() < 16 * MB


def test_many_downloads(server, growth):
    """200 clients take 10 MB each, at the same time, after all have let their replies wait."""

    async def begin():
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /many HTTP/1.1\r\nHost: a\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        return reader, writer

    async def finish(reader, writer):
        left = EACH
        while left:
            data = await reader.read(MB)
            assert data
            left -= len(data)
        writer.close()
        await writer.wait_closed()

    async def run():
        begun = await asyncio.gather(*(begin() for _ in range(MANY)))
        await asyncio.gather(*(finish(*pair) for pair in begun))

    asyncio.run(run())
    assert growth() < MANY * 3 * MB // 2


MEMBER = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection = listener.accept()[0]
connection.recv(65536)
connection.sendall(b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n3\\r\\nabc\\r\\n")
connection.recv(1)
"""


def test_member_killed(proxy, lines):
    """A member that is killed in the middle of a reply cuts the client off, and the next request is a 502."""
    with subprocess.Popen([sys.executable, "-c", MEMBER], stdout=subprocess.PIPE) as member:
        server = proxy(f"127.0.0.1:{int(member.stdout.readline())}")
        with server.client() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.read_head().code == 200
            assert client.read_chunk() == b"abc"
            member.send_signal(signal.SIGKILL)
            assert client.read_chunk() is None
    assert server.ask("/").code == 502
    assert [line for line in lines() if "has no more of the reply for GET /" in line]
